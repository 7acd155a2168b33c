# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs report that make or fetch something: for people, and as JSON (docs/json.md).

A verb says one document on standard output and nothing else there; what it is doing meanwhile
goes to standard error. Where it fails there is no document, but an exit status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol, cast

from builders.files import of_file
from builders.show import face
from builders.show.outcome import Outcome

if TYPE_CHECKING:
    from builders.ground.sources.cache import Fetched
    from builders.ground.suite.image import Image
    from builders.pipeline.stages import State

SHA256 = "^[0-9a-f]{64}$"


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


@dataclass(frozen=True)
class PackageEntry:
    file: Annotated[str, "absolute path"]
    package: str
    version: str
    architecture: str
    size: Annotated[int, "bytes", {"minimum": 0}]
    sha256: Annotated[str, "of the file", {"pattern": SHA256}]
    notes: Annotated[Sequence[str], "what a person may want to correct"]


@dataclass(frozen=True)
class PackagesDocument:
    """Packages that were made."""

    kind: ClassVar[str] = "packages"
    schema: ClassVar[int] = 1
    packages: Sequence[PackageEntry]


@dataclass(frozen=True)
class StageEntry:
    stage: str
    state: Literal["hit", "miss", "unknown"]
    why: Annotated[
        str,
        "of a hit the key of its output, or the version;"
        " else what is missing or which inputs changed",
    ]


@dataclass(frozen=True)
class StagesDocument:
    """What a build would make, and what is there."""

    kind: ClassVar[str] = "stages"
    schema: ClassVar[int] = 1
    stages: Sequence[StageEntry]


@dataclass(frozen=True)
class FileEntry:
    name: str
    file: Annotated[str, "absolute path in the cache"]
    size: Annotated[int, "bytes", {"minimum": 0}]
    sha256: Annotated[str, "of the file", {"pattern": SHA256}]


@dataclass(frozen=True)
class SourceEntry:
    source: Annotated[str, "its name in the recipe"]
    version: str
    files: Sequence[FileEntry]


@dataclass(frozen=True)
class SourcesDocument:
    """What is in the cache of each source."""

    kind: ClassVar[str] = "sources"
    schema: ClassVar[int] = 1
    sources: Sequence[SourceEntry]


@dataclass(frozen=True)
class InstalledEntry:
    name: str
    version: str
    architecture: str


@dataclass(frozen=True)
class ImageDocument:
    """The builder image, and what is installed in it."""

    kind: ClassVar[str] = "image"
    schema: ClassVar[int] = 1
    image: Annotated[str, "its name in the engine"]
    fingerprint: Annotated[
        str, "digest of how it was made and of all that is installed", {"pattern": SHA256}
    ]
    packages: Annotated[Sequence[InstalledEntry], "what is installed in it"]


def packages(made: Sequence[Packed]) -> Outcome:
    """Packages that were made."""
    lines: list[str] = []
    documents: list[PackageEntry] = []
    for each in made:
        size = each.path.stat().st_size
        shown = f"{size / (1 << 20):.1f} MiB" if size >= 1 << 20 else f"{-(-size >> 10)} KiB"
        lines.append(f"{face.near(each.path)}  {shown}")
        lines += [f"  note: {note}" for note in each.notes]
        about = PackageEntry(
            str(each.path.absolute()),
            each.package,
            each.version,
            each.architecture,
            size,
            of_file(each.path),
            each.notes,
        )
        documents.append(about)
    return Outcome(PackagesDocument(documents), "\n".join(lines))


def stages(states: Sequence[State]) -> Outcome:
    """What `--explain` says."""
    documents = [
        StageEntry(s.stage, cast(Literal["hit", "miss", "unknown"], s.state), s.why) for s in states
    ]
    return Outcome(StagesDocument(documents), face.states(states))


def sources(fetched: Mapping[str, Fetched]) -> Outcome:
    """What is in the cache of each source."""
    rows = [(name, f.version, file.name) for name, f in fetched.items() for file in f.files]
    documents = [
        SourceEntry(
            name,
            each.version,
            [FileEntry(f.name, str(f.path), f.size, f.sha256) for f in each.files],
        )
        for name, each in fetched.items()
    ]
    return Outcome(SourcesDocument(documents), face.table(rows))


def image(made: Image) -> Outcome:
    """The builder image, and what is installed in it."""
    installed = [InstalledEntry(*line.split()) for line in made.packages.splitlines()]
    return Outcome(
        ImageDocument(made.name, made.fingerprint, installed),
        f"{made.name}: {len(installed)} packages",
    )
