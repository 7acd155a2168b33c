# SPDX-License-Identifier: GPL-2.0-or-later
"""What a bisection found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from builders.show import face
from builders.show.outcome import Outcome


@dataclass(frozen=True)
class Step:
    commit: str
    subject: str
    verdict: Annotated[str, "good, bad or skip", {"enum": ["good", "bad", "skip"]}]
    seconds: Annotated[float, "wall time of its build and its verdict", {"minimum": 0}]


@dataclass(frozen=True)
class Suspect:
    commit: str
    subject: str


@dataclass(frozen=True)
class BisectDocument:
    """The commit that a bisection found, and the steps to it."""

    kind: ClassVar[str] = "bisect"
    schema: ClassVar[int] = 1
    folder: Annotated[str, "absolute path of the repository"]
    found: Annotated[
        Sequence[Suspect], "the first bad commit; several where some could not be tried"
    ]
    steps: Sequence[Step]


def outcome(folder: Path, found: Sequence[tuple[str, str]], steps: Sequence[Step]) -> Outcome:
    """What was found, and how each commit was judged."""
    rows = [
        (step.commit[:12], step.verdict, f"{step.seconds:.0f} s", step.subject) for step in steps
    ]
    lines = [face.table(rows)] if rows else []
    if len(found) == 1:
        lines.append(f"{found[0][0]} is the first bad commit: {found[0][1]}")
    else:
        lines.append("one of these is the first bad commit; those between could not be tried:")
        lines += [f"  {commit} {subject}" for commit, subject in found]
    suspects = [Suspect(commit, subject) for commit, subject in found]
    return Outcome(BisectDocument(str(folder), suspects, list(steps)), "\n".join(lines))
