# SPDX-License-Identifier: GPL-2.0-or-later
"""The artifacts folder of a recipe: its finished packages, and the manifest of what is current.

manifest.json says, for each target ("xen", "kernel-minimal"), which finished packages lie in the
folder and which stages they come from. What is current is what it names, never what is newest.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from builders.errors import BuildError, Exit
from builders.files import link, of_file, write
from builders.pipeline.recipe import Recipe
from builders.pipeline.record import behind
from builders.pipeline.stages import Output

MANIFEST = "manifest.json"
_LARGEST = 16 << 20  # bytes of a manifest
_KEY = re.compile(r"[0-9a-f]{24}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"\w[\w.+~:%-]*\.u?deb")


@dataclass(frozen=True)
class Package:
    """One finished package in the artifacts folder."""

    path: Path
    package: str
    version: str
    architecture: str
    sha256: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Listed:
    """A package as the manifest lists it, under the name of its file."""

    package: str
    version: str
    architecture: str
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """What the manifest says of one target.

    stage, build: keys of its finished stage, and of the build stage that was corrected.
    overrides: the `--set` of the run, as they were typed.
    """

    stage: str
    build: str
    overrides: tuple[str, ...]
    packages: Mapping[str, Listed]


NOTHING = Target("", "", (), {})  # of a target that was not built


@dataclass(frozen=True)
class Noted:
    """A build: the key of its stage, and the `--set` of the run that made or found it."""

    key: str
    overrides: tuple[str, ...]


@dataclass
class Manifest:
    """What is current in a recipe's artifacts.

    targets: what is published of each target. builds: target -> the build that a run made or
    found last; another one than the target's where its correction failed. numbers: target -> the
    last number in the version of packages from a changed tree.
    """

    recipe: str = ""
    suite: str = ""
    targets: dict[str, Target] = field(default_factory=dict)
    builds: dict[str, Noted] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


class DamagedManifestError(BuildError):
    """A manifest that is there and cannot be believed."""


def read(folder: Path) -> Manifest | None:
    """The manifest in `folder`; None where there is none.

    Raises DamagedManifestError where it is not as `publish` writes it.
    """
    path = folder / MANIFEST
    try:
        if path.exists() and not path.is_file():
            raise ValueError  # a FIFO, which has no end
        with path.open("rb") as stream:
            raw = stream.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            raise ValueError("too large")
        said = json.loads(raw)
        targets = {_text(name): _target(slot) for name, slot in said["targets"].items()}
        return Manifest(
            _text(said.get("recipe", "")),
            _text(said.get("suite", "")),
            targets,
            {
                _text(name): _noted(slot, targets.get(name, NOTHING))
                for name, slot in said.get("builds", {}).items()
            },
            {_text(name): _number(value) for name, value in said.get("numbers", {}).items()},
        )
    except FileNotFoundError:
        return None
    except (NotADirectoryError, PermissionError) as error:
        raise DamagedManifestError(
            f"{path}: {error.strerror}",
            hint="see who may read it (ls -ld), or name another folder in DOM0_DEBS_ARTIFACTS",
            exit=Exit.ENGINE,
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not as it was written"
        raise DamagedManifestError(
            f"{path} is damaged: {why}",
            hint=f"move it away; building again makes it anew from what is kept: {folder.name}",
        ) from None


def _target(slot: Mapping[str, Any]) -> Target:
    return Target(
        _matching(_KEY, slot["stage"]),
        _matching(_KEY, slot["build"]) if slot.get("build") else "",
        tuple(map(_text, slot["overrides"])),
        {
            _matching(_FILE, file): Listed(
                _text(about["package"]),
                _text(about["version"]),
                _text(about["architecture"]),
                _matching(_DIGEST, about["sha256"]),
                tuple(map(_text, about.get("notes", ()))),
            )
            for file, about in slot["packages"].items()
        },
    )


def _noted(slot: Any, published: Target) -> Noted:
    if isinstance(slot, str):  # as up to version 0.1: the key alone
        same = slot == published.build
        return Noted(_matching(_KEY, slot), published.overrides if same else ())
    return Noted(_matching(_KEY, slot["key"]), tuple(map(_text, slot["overrides"])))


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 10**9:
        raise ValueError(f"not a number: {value!r}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a string: {value!r}")
    return value


def _matching(form: re.Pattern[str], value: object) -> str:
    text = _text(value)
    if not form.fullmatch(text):
        raise ValueError(text)
    return text


def _kept(folder: Path) -> Manifest:
    """The manifest, or an empty one in place of what cannot be believed."""
    try:
        return read(folder) or Manifest()
    except DamagedManifestError:
        return Manifest()


def note_build(folder: Path, target: str, build: Noted) -> None:
    """Remember that `build` is the current one of `target`, finished or not.

    Raises BuildError (ENGINE) where the folder can't be written.
    """
    manifest = _kept(folder)
    if manifest.builds.get(target) != build:
        manifest.builds[target] = build
        _store(folder, manifest)


@dataclass(frozen=True)
class Made:
    """A target that was made: the recipe of it, its build, and that build finished.

    notes: what to know of its packages. number: of a changed tree's build, which is in its version.
    """

    recipe: Recipe
    build: Output
    finished: Output
    notes: tuple[str, ...] = ()
    number: int = 0


def publish(folder: Path, made: Mapping[str, Made]) -> list[Package]:
    """Put the packages of each target into `folder`, each whole, and then the manifest.

    Packages of an earlier run that these replace are removed. Raises BuildError (ENGINE) where
    the folder can't be written.
    """
    manifest = _kept(folder)
    before = {file for target in manifest.targets.values() for file in target.packages}
    published: list[Package] = []
    for name, each in made.items():
        recipe, build, output = each.recipe, each.build, each.finished
        packages: dict[str, Listed] = {}
        newer = behind(build)
        for file, about in output.notes["packages"].items():
            _place(output, file, folder / file)
            listed = Listed(
                about["package"],
                about["version"],
                about["architecture"],
                output.files[file],
                (
                    *each.notes,
                    *about["notes"],
                    *(f"source {name}: {text}" for name, text in newer.items()),
                ),
            )
            packages[file] = listed
            published.append(Package(path=folder / file, **vars(listed)))
        manifest.targets[name] = Target(output.key, build.key, recipe.overrides, packages)
        manifest.builds[name] = Noted(build.key, recipe.overrides)
        if each.number:
            manifest.numbers[name] = max(each.number, manifest.numbers.get(name, 0))
        manifest.recipe, manifest.suite = recipe.name, recipe.suite.name
    _store(folder, manifest)
    now = {file for target in manifest.targets.values() for file in target.packages}
    for replaced in before - now:
        with contextlib.suppress(OSError):  # it is no longer in the manifest
            (folder / replaced).unlink(missing_ok=True)
    return published


def _place(output: Output, name: str, target: Path) -> None:
    """Make `target` the stage's file: a hard link, or a copy where the file system has none."""
    source = output.folder / name
    try:
        if target.exists() and (
            target.samefile(source)
            # A copy: its digest says whether it is still the stage's file.
            or (target.is_file() and of_file(target) == output.files[name])
        ):
            return
        link(source, target)
    except OSError as error:
        raise _unwritten(target, error) from None


def _store(folder: Path, manifest: Manifest) -> None:
    document = json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n"
    path = folder / MANIFEST
    with contextlib.suppress(OSError):
        if path.read_text(encoding="utf-8") == document:
            return
    try:
        write(path, document)
    except OSError as error:
        raise _unwritten(path, error) from None


def _unwritten(path: Path, error: OSError) -> BuildError:
    return BuildError(
        f"{path} cannot be written: {error.strerror or error}",
        hint="make room or make the folder yours, then run it again: finished stages are kept",
        exit=Exit.ENGINE,
    )
