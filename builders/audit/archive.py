# SPDX-License-Identifier: GPL-2.0-or-later
"""The packages of a suite, as its package lists have them: what can be depended on there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field

from debian.debian_support import Version

from builders.errors import BuildError, Exit

_LIST = re.compile(rb"^(Package|Version|Provides): (.*)$", re.MULTILINE)
_PROVIDED = re.compile(r"([a-z0-9][a-z0-9+.-]+)(?::\w+)?(?:\s*\(=\s*([^)\s]+)\s*\))?")


@dataclass
class Archive:
    """What a suite has. name: of the suite, as messages have it."""

    name: str
    _versions: dict[str, list[str]] = field(default_factory=dict)
    _provided: dict[str, list[str]] = field(default_factory=dict)  # name to versions, "" for none

    def read(self, packages: bytes) -> None:
        """Take in one package list (deb822(5))."""
        name = ""
        for key, value in _LIST.findall(packages):
            text = value.decode("utf-8", "replace").strip()
            if key == b"Package":
                name = text
            elif key == b"Version":
                self.add(name, text)
            else:
                for part in text.split(","):
                    match = _PROVIDED.fullmatch(part.strip())
                    if match:
                        self._provided.setdefault(match[1], []).append(match[2] or "")

    def add(self, package: str, version: str, provides: str = "") -> None:
        """One more package, as of a repository of one's own."""
        self._versions.setdefault(package, []).append(version)
        for part in provides.split(","):
            match = _PROVIDED.fullmatch(part.strip())
            if match:
                self._provided.setdefault(match[1], []).append(match[2] or "")

    def knows(self, package: str) -> bool:
        return package in self._versions or package in self._provided

    def version(self, package: str) -> str:
        """The newest version there is, "no version" where it is only provided without one."""
        versions = self._versions.get(package, []) + self._provided.get(package, [])
        return max(filter(None, versions), key=Version, default="no version")

    def satisfies(self, package: str, operator: str, version: str) -> bool:
        """Whether a relation can be met; a provided name without a version meets none with one."""
        if not operator:
            return self.knows(package)
        versions = self._versions.get(package, []) + self._provided.get(package, [])
        return any(_meets(each, operator, version) for each in versions if each)


def _meets(have: str, operator: str, wanted: str) -> bool:
    one, other = Version(have), Version(wanted)
    return {
        "<<": one < other,
        "<=": one <= other,
        "<": one <= other,
        "=": one == other,
        ">=": one >= other,
        ">": one >= other,
        ">>": one > other,
    }[operator]


def of_box(suite: str) -> Archive | None:
    """The suite as the box's own apt knows it; None where it does not know that suite.

    Raises BuildError where apt has such a list, but cannot read it.
    """
    form = "$(CODENAME)\t$(SUITE)\t$(COMPONENT)\t$(FILENAME)"
    try:
        targets = _run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"])
    except FileNotFoundError:
        return None
    lists = []
    for line in targets.decode("utf-8", "replace").splitlines():
        codename, name, _, path = line.split("\t", 3)
        if suite in {codename.partition("-")[0], name.partition("-")[0]}:
            lists.append(path)
    return _read(suite, lists) if lists else None


def _read(suite: str, lists: Iterable[str]) -> Archive:
    archive = Archive(suite)
    for path in lists:
        archive.read(_run(["/usr/lib/apt/apt-helper", "cat-file", path]))
    return archive


def _run(command: list[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise BuildError(
            f"the package lists cannot be read: {said or command[0]}",
            hint="run apt-get update, or leave out --suite",
            exit=Exit.ENGINE,
        )
    return done.stdout
