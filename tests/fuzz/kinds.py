# SPDX-License-Identifier: GPL-2.0-or-later
"""The register of hostile packages: what each one is made to do, and how it is made.

A kind is one way to hurt whoever reads a package. Cases of one kind differ in a number or a word
only, and count once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Pair = tuple[bytes, bytes]  # an old package and a new one, for who compares

LIMIT = 5_000_000  # bytes of a package: what the limits of time and memory are for
AREAS = ("ar", "compression", "tar", "control", "scripts", "elf", "files", "pairs")
_Made = TypeVar("_Made", bytes, Pair)


@dataclass(frozen=True)
class Case:
    """One hostile package, or a pair. area: the part of a package that is hostile."""

    area: str
    kind: str
    make: Callable[[], bytes | Pair]


CASES: dict[str, Case] = {}


def case(
    area: str, kind: str = "", name: str = ""
) -> Callable[[Callable[[], _Made]], Callable[[], _Made]]:
    """Register what makes a package. kind, name: "" for the name of the function."""

    def register(make: Callable[[], _Made]) -> Callable[[], _Made]:
        own = make.__name__.replace("_", "-")
        assert area in AREAS
        assert (name or own) not in CASES
        CASES[name or own] = Case(area, kind or own, make)
        return make

    return register


def kinds() -> dict[tuple[str, str], list[str]]:
    """Area and kind to the names of its cases."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, it in CASES.items():
        found.setdefault((it.area, it.kind), []).append(name)
    return found
