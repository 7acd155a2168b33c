# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs report that make or fetch something: for people, and as JSON (docs/json.md).

A verb says one document on standard output and nothing else there; what it is doing meanwhile
goes to standard error. Where it fails there is no document, but an exit status.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from builders.files import of_file
from builders.show import face

if TYPE_CHECKING:
    from builders.ground.sources.cache import Fetched
    from builders.ground.suite.image import Image
    from builders.pipeline.stages import State

SCHEMA = 1  # of every document; it changes when a key changes its meaning


@dataclass(frozen=True)
class Report:
    """What there is to say. text: for people; document: the same for programs."""

    text: str
    document: Mapping[str, Any]

    def said(self, form: str) -> str:
        """The report in that form: "json", or any other for people."""
        return to_json(self.document) if form == "json" else self.text


def to_json(document: Mapping[str, Any]) -> str:
    """A document as it is said."""
    return json.dumps({"schema": SCHEMA, **document}, indent=2)


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


def packages(made: Sequence[Packed]) -> Report:
    """Packages that were made."""
    lines: list[str] = []
    documents: list[Mapping[str, Any]] = []
    for each in made:
        size = each.path.stat().st_size
        shown = f"{size / (1 << 20):.1f} MiB" if size >= 1 << 20 else f"{-(-size >> 10)} KiB"
        lines.append(f"{face.near(each.path)}  {shown}")
        lines += [f"  note: {note}" for note in each.notes]
        about = {
            "file": str(each.path.absolute()),
            "package": each.package,
            "version": each.version,
            "architecture": each.architecture,
            "size": size,
            "sha256": of_file(each.path),
            "notes": list(each.notes),
        }
        documents.append(about)
    return Report("\n".join(lines), {"packages": documents})


def stages(found: Sequence[State]) -> Report:
    """What `--explain` says."""
    return Report(face.states(found), {"stages": [asdict(state) for state in found]})


def sources(found: Mapping[str, Fetched]) -> Report:
    """What is in the cache of each source."""
    rows = [(name, f.version, file.name) for name, f in found.items() for file in f.files]
    documents = [
        {
            "source": name,
            "version": fetched.version,
            "files": [
                {"name": f.name, "file": str(f.path), "size": f.size, "sha256": f.sha256}
                for f in fetched.files
            ],
        }
        for name, fetched in found.items()
    ]
    return Report(face.table(rows), {"sources": documents})


def image(made: Image) -> Report:
    """The builder image, and what is installed in it."""
    lines = [line.split() for line in made.packages.splitlines()]
    keys = ("name", "version", "architecture")
    return Report(
        f"{made.name}: {len(lines)} packages",
        {
            "image": made.name,
            "fingerprint": made.fingerprint,
            "packages": [dict(zip(keys, words, strict=True)) for words in lines],
        },
    )
