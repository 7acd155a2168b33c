# SPDX-License-Identifier: GPL-2.0-or-later
"""What lies where in a release, and the record of it that the next one is made from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders import documents
from builders.errors import BuildError, Exit
from builders.files import of_file

RECORD = "release.json"
SUMS = "SHA256SUMS"
KEY = "dom0-debs"  # the stem of the key's files
_UNREAL = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Kept:
    """A build of an earlier release: its record in release.json, and its files with digests."""

    record: dict[str, Any]
    files: Mapping[str, str]

    @property
    def key(self) -> tuple[str, str]:
        """Target and version."""
        return self.record["target"], self.record["version"]

    @property
    def packages(self) -> dict[str, str]:
        """The .debs among the files."""
        return {path: sha for path, sha in self.files.items() if path.endswith(".deb")}


def entries(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below `folder`, folders too: its path there, and what it is."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                yield os.path.relpath(entry.path, folder), entry


def walk(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below `folder` that is no directory."""
    return ((path, e) for path, e in entries(folder) if not e.is_dir(follow_symlinks=False))


def sums(folder: Path) -> bytes:
    """SHA256SUMS over every file, in the form of sha256sum(1)."""
    paths = sorted(path for path, _ in walk(folder) if path not in (SUMS, f"{SUMS}.asc"))
    return "".join(f"{of_file(folder / path)}  {path}\n" for path in paths).encode()


def inside(path: str) -> bool:
    """Whether a path that a file states stays below the folder that it is about."""
    return bool(path) and not path.startswith("/") and ".." not in path.split("/")


def record(folder: Path) -> dict[str, Any]:
    """release.json of a release; BuildError where there is none or it is damaged."""
    try:
        if (folder / RECORD).exists() and not (folder / RECORD).is_file():
            raise ValueError  # a FIFO, which has no end
        with (folder / RECORD).open("rb") as stream:
            document = documents.parse(stream.read(documents.LARGEST + 1))
        if document["schema"] != 1:
            raise BuildError(
                f"{folder}/{RECORD} is of another version", hint="use the tool that made it"
            )
        for build in document["builds"]:
            if not (build["target"] + build["version"] and all(map(inside, build["files"]))):
                raise ValueError
        return dict(document)
    except (FileNotFoundError, NotADirectoryError):
        raise no_release(folder, RECORD) from None
    except PermissionError:
        raise
    except _UNREAL:
        raise BuildError(
            f"{folder}/{RECORD} is damaged", hint=f"./inv verify {folder} says what else is"
        ) from None


def no_release(folder: Path, missing: str) -> BuildError:
    """The error for a folder that is no release; missing: the file that each release has."""
    if not folder.exists():
        return BuildError(f"{folder}: no such folder", hint="name the folder of a release")
    why = f"it has no {missing}" if folder.is_dir() else "it is a file"
    return BuildError(
        f"{folder} is no release: {why}",
        hint="name the folder of a release; ./inv release makes one",
    )


def is_release(folder: Path, recipe: str) -> bool:
    """Whether there is a release of the recipe in `folder`, and not nothing.

    Raises BuildError where it is not ours to replace: another recipe's, or no release.
    """
    try:
        if not folder.exists() or not any(folder.iterdir()):
            return False
    except NotADirectoryError:
        raise BuildError(f"{folder} is a file", hint="name another folder with --out") from None
    aside = "move it away, or name another folder with --out"
    if not (folder / RECORD).exists():
        raise BuildError(f"{folder} has files and is no release", hint=aside)
    name = record(folder).get("recipe")
    if name != recipe:
        raise BuildError(f"{folder} is a release of {str(name)[:80]}", hint=aside)
    return True


def kept_builds(folder: Path) -> list[Kept]:
    """The builds of the release in `folder`, which was verified."""
    return [Kept(build, build["files"]) for build in record(folder)["builds"]]


def serial(folder: Path) -> int:
    """Which release of its folder it is, counted from 1; 0 where it does not say."""
    number = record(folder).get("serial", 0)
    return number if isinstance(number, int) and 0 <= number < 1 << 53 else 0


def disk_error(error: OSError, where: Path) -> BuildError:
    """The error for a folder that a release can't be made in; `where` is said where none is."""
    # Of a copy or a link the second name is the one that could not be made.
    names = (error.filename2, error.filename)
    path = next((name for name in names if isinstance(name, str)), where)
    return BuildError(
        f"{path}: {error.strerror or error}",
        hint="make room or make it writable, then run it again; the release is as it was",
        exit=Exit.ENGINE,
    )
