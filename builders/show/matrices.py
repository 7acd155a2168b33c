# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is to say of builds of several recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from builders.errors import BuildError, Exit, Interrupted
from builders.pipeline.stages import State
from builders.show import face, made
from builders.show.outcome import Outcome
from builders.text import clock, duration

if TYPE_CHECKING:
    from builders.pipeline.matrix import Part

FINISHED, FAILED, STOPPED = "finished", "failed", "stopped"


@dataclass(frozen=True)
class SpellEntry:
    stage: str
    machine: Annotated[str, "the worker that made it; empty for this box"]
    begun: Annotated[float, "in seconds since 1970", {"minimum": 0}]
    seconds: Annotated[float, "wall time", {"minimum": 0}]


@dataclass(frozen=True)
class MatrixEntry:
    recipe: str
    targets: Annotated[Sequence[str], "what was to be built, as the manifest names it"]
    state: Literal["finished", "failed", "stopped"]
    seconds: Annotated[float, "wall time, with the waiting for others", {"minimum": 0}]
    error: Annotated[str, "why it failed; empty where it did not"]
    packages: Sequence[made.PackageEntry]
    stages: Annotated[Sequence[SpellEntry], "what was made; what was there before is not in it"]


@dataclass(frozen=True)
class MatrixDocument:
    """How the builds of several recipes ended; said of failed ones too."""

    kind: ClassVar[str] = "matrix"
    schema: ClassVar[int] = 1
    seconds: Annotated[float, "wall time of all", {"minimum": 0}]
    builds: Sequence[MatrixEntry]


@dataclass(frozen=True)
class PlannedEntry:
    recipe: str
    stages: Sequence[made.StageEntry]


@dataclass(frozen=True)
class MatrixStagesDocument:
    """What builds of several recipes would make, and what is there."""

    kind: ClassVar[str] = "matrix-stages"
    schema: ClassVar[int] = 1
    builds: Sequence[PlannedEntry]


def stages(found: Mapping[str, Sequence[State]]) -> Outcome:
    """What `--explain` says, of each recipe by its name."""

    def document() -> MatrixStagesDocument:
        return MatrixStagesDocument(
            [PlannedEntry(name, made.stages(its).stages) for name, its in found.items()]
        )

    blocks = [f"{face.paint(name, 'bold')}\n{face.states(its)}" for name, its in found.items()]
    return Outcome(document, "\n\n".join(blocks))


def built(parts: Sequence[Part], seconds: float, page: str = "") -> Outcome:
    """How the builds ended. The exit status is that of the first failure, where there is one.

    page: the file with the time line.
    """
    failures = [p.failure for p in parts if isinstance(p.failure, BuildError)]
    code = failures[0].exit if failures else Exit.DONE
    return Outcome(lambda: _document(parts, seconds), _text(parts, seconds, page), code)


def state(part: Part) -> str:
    """How a part ended."""
    if part.failure is None:
        return FINISHED
    return STOPPED if isinstance(part.failure, Interrupted) else FAILED


def _document(parts: Sequence[Part], seconds: float) -> MatrixDocument:
    return MatrixDocument(
        round(seconds, 1),
        [
            MatrixEntry(
                part.name,
                part.pipeline.targets,
                state(part),  # type: ignore[arg-type]
                round(part.seconds, 1),
                part.failure.message if isinstance(part.failure, BuildError) else "",
                made.packages(part.packages).packages,
                [
                    SpellEntry(s.stage, s.where, round(s.begun, 1), round(s.ended - s.begun, 1))
                    for s in part.spells
                ],
            )
            for part in parts
        ],
    )


def _text(parts: Sequence[Part], seconds: float, page: str) -> str:
    colours = {FINISHED: "green", FAILED: "red", STOPPED: "yellow"}
    rows: list[tuple[str, ...]] = []
    for part in parts:
        ended = state(part)
        there = {spell.stage for spell in part.spells}
        last = "" if ended != FINISHED or there else "all of it was built before"
        rows.append((part.name, ended, clock(part.seconds), last))
        rows += [
            (f"  {spell.stage}", "made", clock(spell.ended - spell.begun), spell.where)
            for spell in part.spells
        ]
    table = face.table(rows)
    for word, colour in colours.items():
        table = table.replace(f" {word} ", f" {face.paint(word, colour)} ")
    lines = [table]
    for part in parts:
        if isinstance(part.failure, BuildError):
            lines += ["", f"{part.name}:", face.present(part.failure)]
    done = [part for part in parts if state(part) == FINISHED]
    count = sum(len(part.packages) for part in done)
    folder = face.near(done[0].pipeline.run.folder.parent) if done else ""
    where = f"; {count} packages in {folder}" if done else ""
    lines += ["", f"{len(done)} of {len(parts)} finished in {duration(seconds)}{where}"]
    lines += [f"time line: {page}"] if page else []
    lines += [
        f"{'next:' if n == 0 else ' ' * 5} ./inv install-test --recipe {part.name}"
        for n, part in enumerate(done)
    ]
    return "\n".join(lines)
