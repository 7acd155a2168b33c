# SPDX-License-Identifier: GPL-2.0-or-later
"""The documents on what was made or fetched (docs/json.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast

from builders.files import of_file

if TYPE_CHECKING:
    from builders.ground.sources.cache import Fetched
    from builders.ground.suite.image import Image
    from builders.pipeline.stages import State
    from builders.show.reports import Packed

SHA256 = "^[0-9a-f]{64}$"


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


def packages(made: Sequence[Packed]) -> PackagesDocument:
    """Packages that were made; their digests are those of the files as they are now."""
    return PackagesDocument(
        [
            PackageEntry(
                str(each.path.absolute()),
                each.package,
                each.version,
                each.architecture,
                each.path.stat().st_size,
                of_file(each.path),
                each.notes,
            )
            for each in made
        ]
    )


def stages(states: Sequence[State]) -> StagesDocument:
    """What `--explain` says."""
    return StagesDocument(
        [
            StageEntry(s.stage, cast(Literal["hit", "miss", "unknown"], s.state), s.why)
            for s in states
        ]
    )


def sources(fetched: Mapping[str, Fetched]) -> SourcesDocument:
    """What is in the cache of each source."""
    return SourcesDocument(
        [
            SourceEntry(
                name,
                each.version,
                [FileEntry(f.name, str(f.path), f.size, f.sha256) for f in each.files],
            )
            for name, each in fetched.items()
        ]
    )


def image(made: Image) -> ImageDocument:
    """The builder image, and what is installed in it."""
    installed = [InstalledEntry(*line.split()) for line in made.packages.splitlines()]
    return ImageDocument(made.name, made.fingerprint, installed)
