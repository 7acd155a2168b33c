# SPDX-License-Identifier: GPL-2.0-or-later
"""The packages of a suite, as its package lists have them: what can be depended on there."""

from __future__ import annotations

import contextlib
import hashlib
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from builders.debkit.deb.relations import read_relations
from builders.errors import BuildError, Exit
from builders.files import appearing
from builders.versions import parsed_version

_LIST = re.compile(rb"^(Package|Version|Provides): (.*)$", re.MULTILINE)


@dataclass
class Archive:
    """What a suite has. name: of the suite, as messages have it."""

    name: str
    _versions: dict[str, list[str]] = field(default_factory=dict)
    _provided: dict[str, list[str]] = field(default_factory=dict)  # name to versions, "" for none

    def add(self, package: str, version: str, provides: str = "") -> None:
        """One more package, as of a repository of one's own. provides: the field."""
        self._add(package, version, _provided(provides))

    def _add(self, package: str, version: str, provided: Iterable[str]) -> None:
        """provided: as `_provided` has it."""
        self._versions.setdefault(package, []).append(version)
        for word in provided:
            name, _, its_version = word.partition("=")
            self._provided.setdefault(name, []).append(its_version)

    def knows(self, package: str) -> bool:
        return package in self._versions or package in self._provided

    def version(self, package: str) -> str:
        """The newest version there is, "no version" where it is only provided without one."""
        versions = self._versions.get(package, []) + self._provided.get(package, [])
        known = [(version, text) for text in versions if (version := parsed_version(text))]
        return max(known, default=(None, "no version"))[1]

    def satisfies(self, package: str, operator: str, version: str) -> bool:
        """Whether a relation can be met; a provided name without a version meets none with one."""
        if not operator:
            return self.knows(package)
        versions = self._versions.get(package, []) + self._provided.get(package, [])
        return any(_meets(each, operator, version) for each in versions if each)


def _provided(field: str) -> list[str]:
    """What the field Provides names: NAME or NAME=VERSION each."""
    groups, _ = read_relations("Provides", field)
    ones = [one for group in groups for one in group.choices]
    return [f"{one.name}={one.version}" if one.version else one.name for one in ones]


def _meets(have: str, operator: str, wanted: str) -> bool:
    one, other = parsed_version(have), parsed_version(wanted)
    if one is None or other is None:
        return False
    return bool(
        {
            "<<": one < other,
            "<=": one <= other,
            "<": one <= other,
            "=": one == other,
            ">=": one >= other,
            ">": one >= other,
            ">>": one > other,
        }[operator]
    )


LISTS = Path("/var/lib/apt/lists")


def of_box(suite: str, cache: Path, lists: Path = LISTS) -> Archive | None:
    """The suite as the box's own apt knows it; None where it does not know that suite.

    cache: a folder for what was read, so that the next time takes a moment; it is made.
    Raises BuildError where apt has such lists, but cannot read them.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]*", suite):
        raise BuildError(f"--suite {suite}: no name of a suite", hint="such as bookworm")
    pattern = rf".*_dists_{suite}(-[a-z]+)?_[^_]+_binary-[a-z0-9]+_Packages(\.[a-z0-9]+)?"
    try:
        files = sorted(path for path in lists.iterdir() if re.fullmatch(pattern, path.name))
    except OSError:
        return None
    if not files:
        return None
    stated = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    key = hashlib.sha256(repr((2, stated)).encode()).hexdigest()
    kept = cache / f"{suite}-{key[:24]}.tsv"
    archive = Archive(suite)
    try:
        rows = kept.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        rows = "".join(_rows(_cat(path)) for path in files)
        _keep(kept, rows)
    for row in rows.splitlines():
        name, version, provides = row.split("\t", 2)
        archive._add(name, version, provides.split())
    return archive


def _rows(packages: bytes) -> str:
    """A package list (deb822(5)) as lines of name, version and what it provides (`_provided`)."""
    rows: list[list[str]] = []
    for key, value in _LIST.findall(packages):
        text = value.decode("utf-8", "replace").strip().replace("\t", " ")
        if key == b"Package":
            rows.append([text, "", ""])
        elif rows and key == b"Version":
            rows[-1][1] = text
        elif rows:
            rows[-1][2] = " ".join(_provided(text))
    return "".join("\t".join(row) + "\n" for row in rows)


def _keep(path: Path, rows: str) -> None:
    """For the next time; a cache that cannot be written is none."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob(f"{path.name.partition('-')[0]}-*.tsv"):
            old.unlink()
        with appearing(path) as fresh:
            fresh.write_text(rows, "utf-8")


def _cat(path: Path) -> bytes:
    """The content of a list, which apt may keep compressed."""
    done = subprocess.run(
        ["/usr/lib/apt/apt-helper", "cat-file", str(path)], capture_output=True, check=False
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise BuildError(
            f"the package lists cannot be read: {said or path}",
            hint="run apt-get update, or leave out --suite",
            exit=Exit.ENGINE,
        )
    return done.stdout
