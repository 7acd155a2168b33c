# SPDX-License-Identifier: GPL-2.0-or-later
"""Which packages are compared with which."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from builders.debkit import audit
from builders.debkit.deb import Deb
from builders.errors import BuildError


@dataclass(frozen=True)
class Pairs:
    """What is compared, and the packages that have no counterpart."""

    pairs: tuple[tuple[Path, Path], ...]
    only_old: tuple[Path, ...]
    only_new: tuple[Path, ...]


def pairs(old: Path, new: Path) -> Pairs:
    """Two files are a pair. In folders the packages with the same name and architecture are.

    A package that has its version in its name, as a kernel does, goes with the one that is
    called the same but for the numbers, where there is one only on each side.
    Raises BuildError for a path without packages, and for a name that is there twice.
    """
    if not old.is_dir() and not new.is_dir():
        for path in (old, new):
            audit.expand([path])
        return Pairs(((old, new),), (), ())
    first, second = audit.expand([old]), audit.expand([new])
    before, after = _named(first), _named(second)
    found = {before.pop(name): after.pop(name) for name in [n for n in before if n in after]}
    loose, other = _loose(before), _loose(after)
    for key, names in loose.items():
        match = other.get(key, ())
        if len(names) == len(match) == 1:
            found[before.pop(names[0])] = after.pop(match[0])
    if not found:
        raise BuildError(
            f"no package of {old} has its counterpart in {new}", hint="name two files to compare"
        )
    return Pairs(tuple(sorted(found.items())), tuple(before.values()), tuple(after.values()))


Name = tuple[str, str]  # package and architecture


def _named(paths: Iterable[Path]) -> dict[Name, Path]:
    named: dict[Name, Path] = {}
    for path in paths:
        control = Deb.open(path).control
        name = (control.get("Package", ""), control.get("Architecture", ""))
        if name in named:
            raise BuildError(
                f"{named[name]} and {path} are the same package", hint="name the two files"
            )
        named[name] = path
    return named


def _loose(named: Mapping[Name, Path]) -> dict[Name, list[Name]]:
    found: dict[Name, list[Name]] = {}
    for name in named:
        key = (re.sub(r"[0-9]+([.+~][0-9]+)*", "#", name[0]), name[1])
        found.setdefault(key, []).append(name)
    return found
