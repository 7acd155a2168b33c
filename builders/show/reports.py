# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs report that make or fetch something: for people, and as JSON (docs/json.md).

A verb says one document on standard output and nothing else there; what it is doing meanwhile
goes to standard error. Where it fails there is no document, but an exit status. The documents
are in `made`, which is loaded for programs alone: they cost digests of all packages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from builders.show import face
from builders.show.outcome import Document, Outcome
from builders.text import amount

if TYPE_CHECKING:
    from builders.ground.sources.cache import Fetched
    from builders.ground.suite.image import Image
    from builders.pipeline.stages import State


class Packed(Protocol):
    """A finished package: one that was built, or corrected."""

    @property
    def path(self) -> Path: ...
    @property
    def package(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def architecture(self) -> str: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


def packages(made: Sequence[Packed], closing: str = "") -> Outcome:
    """Packages that were made; closing: the last words, for people."""

    def document() -> Document:
        from builders.show import made as documents

        return documents.packages(made)

    lines: list[str] = []
    for each in made:
        size = each.path.stat().st_size
        lines.append(f"{face.near(each.path)}  {amount(size)}")
        lines += [f"  note: {note}" for note in each.notes]
    lines += ["", closing] if closing else []
    return Outcome(document, "\n".join(lines))


def stages(states: Sequence[State]) -> Outcome:
    """What `--explain` says."""

    def document() -> Document:
        from builders.show import made as documents

        return documents.stages(states)

    return Outcome(document, face.states(states))


def sources(fetched: Mapping[str, Fetched]) -> Outcome:
    """What is in the cache of each source."""

    def document() -> Document:
        from builders.show import made as documents

        return documents.sources(fetched)

    rows = [(name, f.version, file.name) for name, f in fetched.items() for file in f.files]
    return Outcome(document, face.table(rows))


def image(made: Image) -> Outcome:
    """The builder image, and what is installed in it."""

    def document() -> Document:
        from builders.show import made as documents

        return documents.image(made)

    count = len(made.packages.splitlines())
    return Outcome(document, f"{made.name}: {count} packages")
