# SPDX-License-Identifier: GPL-2.0-or-later
"""What was proved by booting packages and by building them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from builders.errors import Exit
from builders.proofs.boot import checks
from builders.proofs.rebuild import reproduce
from builders.show import face
from builders.show.outcome import Outcome


@dataclass(frozen=True)
class CheckEntry:
    name: str
    good: Annotated[bool, "it holds"]
    seen: str


@dataclass(frozen=True)
class BootEntry:
    name: str
    good: Annotated[bool, "all checks hold that should, and just those fail that must"]
    seconds: Annotated[float, "wall time", {"minimum": 0}]
    log: Annotated[str, "absolute path of the whole console"]
    must_fail: Annotated[Sequence[str], "names of checks; a negative control has some"]
    checks: Sequence[CheckEntry]


@dataclass(frozen=True)
class BootsDocument:
    """The boots of the packages, and what was checked in each."""

    kind: ClassVar[str] = "boot-test"
    schema: ClassVar[int] = 1
    boots: Sequence[BootEntry]


@dataclass(frozen=True)
class RebuiltEntry:
    file: str
    first: Annotated[str, "sha256 of the first build's, empty where it is missing"]
    second: Annotated[str, "likewise of the second's"]
    differences: Annotated[Sequence[str], "what differs, a line each"]


@dataclass(frozen=True)
class RebuildDocument:
    """What a second build made of the same packages."""

    kind: ClassVar[str] = "reproduce"
    schema: ClassVar[int] = 1
    packages: Sequence[RebuiltEntry]


def boots(made: Sequence[checks.Boot]) -> Outcome:
    """The boots and their checks; the status is 1 where one is not as it should be."""
    lines = []
    for each in made:
        kind = "a negative control" if each.wanted else "the proof"
        state = "passed" if each.good else "FAILED"
        lines.append(f"{each.name}: {state}, {kind}, {each.seconds:.1f} s")
        rows = []
        for check in each.checks:
            fails = "fails, as it must" if check.name in each.wanted else "FAILS"
            holds = "HOLDS, and must not" if check.name in each.wanted else "holds"
            # What dom0 answered is in columns of its own.
            seen = " ".join(check.seen.split())
            rows.append((f"  {check.name}", holds if check.good else fails, seen))
        lines.append(face.table(rows))
        if not each.good:
            lines.append(f"  the whole console: {each.log}")
    document = BootsDocument(
        [
            BootEntry(
                each.name,
                each.good,
                round(each.seconds, 1),
                str(each.log),
                sorted(each.wanted),
                [CheckEntry(check.name, check.good, check.seen) for check in each.checks],
            )
            for each in made
        ]
    )
    good = all(each.good for each in made)
    return Outcome(document, "\n".join(lines), Exit.DONE if good else Exit.AUDIT)


def rebuild(compared: Sequence[reproduce.Compared], about: str, kept: Path) -> Outcome:
    """What was compared; the status is 1 where something differs.

    about: how the second build was varied. kept: where it is, if it differs.
    """
    lines = [f"built again with {about}"]
    for each in compared:
        lines.append(f"{'same' if each.same else 'DIFFERS':<8} {each.file}  {each.first[:16]}")
        lines += [f"         {text}" for text in each.differences]
    same = all(each.same for each in compared)
    if not same:
        lines.append(f"the second build is kept: {kept}")
    document = RebuildDocument(
        [RebuiltEntry(c.file, c.first, c.second, c.differences) for c in compared]
    )
    return Outcome(document, "\n".join(lines), Exit.DONE if same else Exit.AUDIT)
