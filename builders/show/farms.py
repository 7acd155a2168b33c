# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is to say of a farm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from builders.show import face
from builders.show.outcome import Outcome

if TYPE_CHECKING:
    from builders.pipeline.farm.service import Member, Note, Process


@dataclass(frozen=True)
class ProcessEntry:
    what: Annotated[str, "scheduler or worker"]
    name: str
    pid: int
    alive: bool
    log: Annotated[str, "absolute path"]


@dataclass(frozen=True)
class WorkerEntry:
    name: str
    address: str
    same: Annotated[bool, "it is of this version, and so is used"]
    resources: Annotated[Mapping[str, float], "what it has: slots for builds, memory in GiB"]
    busy: Annotated[Sequence[str], "the stages that it has been given, by name and key"]


@dataclass(frozen=True)
class FarmDocument:
    """A farm, or what was begun or ended of it on this machine."""

    kind: ClassVar[str] = "farm"
    schema: ClassVar[int] = 1
    address: Annotated[str, "of the scheduler; empty where there is none"]
    processes: Annotated[Sequence[ProcessEntry], "that farm up began on this machine"]
    workers: Annotated[Sequence[WorkerEntry], "that the scheduler has"]


def _processes(processes: Sequence[Process]) -> list[ProcessEntry]:
    return [ProcessEntry(p.what, p.name, p.pid, p.alive, p.log) for p in processes]


def up(note: Note) -> Outcome:
    """What was begun."""
    rows = [(p.what, p.name, f"pid {p.pid}", p.log) for p in note.processes]
    lines = [face.table(rows), "", f"next: ./inv build-all --farm {note.address} --store oci://..."]
    lines.append("      ./inv farm status, ./inv farm down")
    return Outcome(
        lambda: FarmDocument(note.address, _processes(note.processes), ()), "\n".join(lines)
    )


def down(ended: Sequence[Process]) -> Outcome:
    """What was ended."""
    rows = [(p.what, p.name, "ended") for p in ended]
    return Outcome(
        lambda: FarmDocument("", _processes(ended), ()),
        face.table(rows) if rows else "nothing that was begun here runs",
    )


def status(address: str, members: Sequence[Member], note: Note | None) -> Outcome:
    """What a farm is at."""
    here = note.processes if note and note.address == address else ()

    def document() -> FarmDocument:
        workers = [WorkerEntry(m.name, m.address, m.same, m.resources, m.busy) for m in members]
        return FarmDocument(address, _processes(here), workers)

    rows = []
    for member in members:
        size = (
            f"{member.resources.get('slots', 0):g} at once, "
            f"{member.resources.get('memory', 0):g} GiB"
        )
        doing = ", ".join(member.busy) or "idle"
        rows.append((member.name, size, doing if member.same else "of another version: not used"))
    lines = [f"scheduler {address}", face.table(rows) if rows else "no worker"]
    lines += [f"{p.name} (pid {p.pid}) has ended: {p.log}" for p in here if not p.alive]
    return Outcome(document, "\n".join(lines))


def keys(folder: Path, *, made: bool) -> Outcome:
    """Where the keys are."""
    first = "made" if made else "there already"
    return Outcome(
        None,
        f"keys {first}: {folder}\nfor another machine: ./inv farm keys --out FOLDER, "
        "then copy that folder there, and let DOM0_DEBS_FARM_KEYS name it",
    )


def certified(folder: Path) -> Outcome:
    """Where a certificate for another machine is."""
    return Outcome(
        None,
        f"made: {folder}\ncopy it there by a way that nobody else reads, remove it here, and let "
        "DOM0_DEBS_FARM_KEYS name it there",
    )


def ended(action: str) -> Outcome:
    """That a scheduler or a worker has ended."""
    return Outcome(None, f"{action} ended")
