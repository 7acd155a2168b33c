# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is to say of the project's own jobs: tests, benchmarks, CI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal


@dataclass(frozen=True)
class JobStageEntry:
    stage: str
    state: Literal["passed", "failed", "stopped"]
    seconds: Annotated[float, "wall time", {"minimum": 0}]
    said: Annotated[str, "on it, a line"]


@dataclass(frozen=True)
class JobDocument:
    """The stages of a CI job; said of one that failed too."""

    kind: ClassVar[str] = "ci"
    schema: ClassVar[int] = 1
    title: str
    stages: Sequence[JobStageEntry]


@dataclass(frozen=True)
class PartEntry:
    part: str
    state: Literal["passed", "left out"]
    seconds: Annotated[float, "wall time", {"minimum": 0}]


@dataclass(frozen=True)
class PartsDocument:
    """The parts of the tests that were run."""

    kind: ClassVar[str] = "test"
    schema: ClassVar[int] = 1
    parts: Sequence[PartEntry]


@dataclass(frozen=True)
class FigureEntry:
    name: str
    ours: Annotated[Sequence[float], "seconds, a number for each run"]
    peer: Annotated[Sequence[float], "the same of the peer; empty where there is none"]
    figure: Annotated[float, "median ratio ours / peer, or median seconds", {"minimum": 0}]
    goal: Annotated[float, "that the figure is held against", {"minimum": 0}]
    met: bool


@dataclass(frozen=True)
class FiguresEntry:
    machine: Annotated[str, "that it ran on"]
    rows: Sequence[FigureEntry]
    more: Annotated[Mapping[str, float], "other numbers, each with a name of its own"] = field(
        metadata={"flat": True}
    )


@dataclass(frozen=True)
class BenchmarksDocument:
    """What the benchmarks measured."""

    kind: ClassVar[str] = "bench"
    schema: ClassVar[int] = 1
    benchmarks: Annotated[Mapping[str, FiguresEntry], "by the name of the benchmark"]


def figures(said: Mapping[str, Any]) -> FiguresEntry:
    """What one benchmark has said in JSON."""
    more = {name: value for name, value in said.items() if name not in ("machine", "rows")}
    return FiguresEntry(said["machine"], [FigureEntry(**row) for row in said["rows"]], more)
