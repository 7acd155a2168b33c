# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is to say of a store that several machines use."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from builders.errors import Exit
from builders.show import face
from builders.show.outcome import Outcome
from builders.text import amount, printable

if TYPE_CHECKING:
    from builders.pipeline.shared import Entry


@dataclass(frozen=True)
class StoredEntry:
    tag: str
    size: Annotated[int, "bytes of its files", {"minimum": 0}]
    created: Annotated[int, "when it was put there, in seconds since 1970", {"minimum": 0}]
    kept: Annotated[bool, "a release names it: it is never pruned"]


@dataclass(frozen=True)
class StoredDocument:
    """What lies in a store, or what was removed from it."""

    kind: ClassVar[str] = "store"
    schema: ClassVar[int] = 1
    entries: Sequence[StoredEntry]


@dataclass(frozen=True)
class DamagedEntry:
    tag: str
    why: str


@dataclass(frozen=True)
class StoreCheckDocument:
    """What in a store is not what was put there."""

    kind: ClassVar[str] = "store-check"
    schema: ClassVar[int] = 1
    damaged: Sequence[DamagedEntry]


@dataclass(frozen=True)
class StoreLogDocument:
    """The log of a step that failed."""

    kind: ClassVar[str] = "store-log"
    schema: ClassVar[int] = 1
    tag: str
    lines: Sequence[str]


def _document(entries: Sequence[Entry]) -> StoredDocument:
    return StoredDocument(
        [StoredEntry(e.tag, e.size, max(0, int(e.created)), e.kept) for e in entries]
    )


def _row(entry: Entry) -> tuple[str, str, str, str]:
    day = time.strftime("%Y-%m-%d %H:%M", time.gmtime(entry.created))
    return entry.tag, amount(entry.size), day, "in a release" if entry.kept else ""


def entries(there: Sequence[Entry]) -> Outcome:
    """All that lies in a store."""
    whole = f"{len(there)} entries, {amount(sum(entry.size for entry in there))}"
    rows = face.table([_row(entry) for entry in there])
    return Outcome(lambda: _document(there), f"{rows}\n\n{whole}" if there else "nothing is in it")


def pruned(gone: Sequence[Entry]) -> Outcome:
    """What was removed from a store."""
    size = amount(sum(entry.size for entry in gone))
    last = f"{len(gone)} entries, {size}, removed; the room comes back with its garbage collection"
    rows = [face.table([_row(entry) for entry in gone]), ""] if gone else []
    return Outcome(
        lambda: _document(gone), "\n".join([*rows, last if gone else "nothing to remove"])
    )


def damage(wrong: Sequence[tuple[str, str]]) -> Outcome:
    """What is damaged in a store."""
    rows = [(tag, printable(why)) for tag, why in wrong]
    return Outcome(
        lambda: StoreCheckDocument([DamagedEntry(*row) for row in rows]),
        face.table(rows) if rows else "all of it is sound",
        Exit.AUDIT if wrong else Exit.DONE,
    )


def log(tag: str, content: bytes) -> Outcome:
    """What a step said; none of it does anything to a terminal."""
    lines = [printable(line) for line in content.decode("utf-8", "replace").splitlines()]
    return Outcome(lambda: StoreLogDocument(tag, lines), "\n".join(lines))
