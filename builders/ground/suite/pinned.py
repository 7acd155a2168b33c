# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of a suite's archive that a lock pins: by digest, wherever they are still served.

The mirror of the day is asked first, then an archive of all days (snapshot.debian.org, or what
$DOM0_DEBS_SNAPSHOT names), at the time that the lock tells.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from builders import forms
from builders.errors import BuildError, Exit
from builders.ground.session import Session
from builders.ground.sources.cache import CachedFile
from builders.ground.sources.fetching import Candidate
from builders.ground.sources.pins import DebianPackage, DebianSource, UrlSource
from builders.ground.suite import mirror
from builders.ground.suite.model import Suite
from builders.progress import Silent
from builders.text import printable

SNAPSHOT = "DOM0_DEBS_SNAPSHOT"
_ARCHIVE = "https://snapshot.debian.org/archive"
MAIN, SECURITY = "main", "security"  # the archives of a suite
_FOLDERS = {MAIN: "debian", SECURITY: "debian-security"}  # of an archive of all days
TIME = re.compile(r"[0-9]{8}T[0-9]{6}Z")  # as snapshot.debian.org writes it
_SHOWN = 5  # names in an error
_AT_ONCE = 8  # files that are fetched side by side


@dataclass(frozen=True)
class PinnedFile:
    """A file of the archive "main" or "security": its path there, bytes and sha256."""

    name: str
    archive: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class PinnedPackage:
    """One version of a package, and its file."""

    package: str
    version: str
    architecture: str
    file: PinnedFile


@dataclass(frozen=True)
class Pinned:
    """What a run takes of the suite, and nothing else.

    packages: of the builder image. times: archive -> the time at which an archive of all days has
    these files. sources: name of a source of the recipe -> its version and files.
    anew: the image is made although the engine has it, under a name of its own.
    """

    packages: tuple[PinnedPackage, ...]
    times: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, tuple[str, tuple[PinnedFile, ...]]] = field(default_factory=dict)
    anew: bool = False

    @property
    def installed(self) -> str:
        """The packages as the image lists them (see `image.PACKAGES`)."""
        lines = (f"{p.package} {p.version} {p.architecture}\n" for p in self.packages)
        return "".join(sorted(lines, key=str.encode))

    @property
    def digest(self) -> str:
        """Of the packages of the image, by their contents."""
        lines = sorted(f"{p.package} {p.version} {p.file.sha256}" for p in self.packages)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def addresses(suite: Suite, file: PinnedFile, times: Mapping[str, str]) -> tuple[str, ...]:
    """Where a file may be served, the nearest first."""
    served = mirror.of(suite)
    path = quote(file.path, safe="/+~:=,@")
    places = [served.security if file.archive == SECURITY else served.main]
    if time := times.get(file.archive):
        places.append(f"{_snapshot()}/{_FOLDERS[file.archive]}/{time}")
    return tuple(f"{place.rstrip('/')}/{path}" for place in places if place)


def _snapshot() -> str:
    address = os.environ.get(SNAPSHOT, "") or _ARCHIVE
    if problem := forms.mirror(address):
        raise BuildError(f"{SNAPSHOT}: {printable(problem)}", hint=f"such as {_ARCHIVE}")
    return address.rstrip("/")


class PinnedIndex:
    """The one version of each Debian source that a lock pins (a `DebianIndex`)."""

    def __init__(self, suite: Suite, pinned: Pinned) -> None:
        self._suite = suite
        self._pinned = pinned

    def candidates(
        self, sources: Sequence[DebianSource | DebianPackage]
    ) -> Mapping[str, Sequence[Candidate]]:
        candidates: dict[str, list[Candidate]] = {}
        for source in sources:
            version, files = self._pinned.sources[source.name]
            urls = tuple(as_source(self._suite, source.name, f, self._pinned) for f in files)
            candidates[source.name] = [Candidate(version, urls, pinned=True)]
        return candidates


def as_source(suite: Suite, name: str, file: PinnedFile, pinned: Pinned) -> UrlSource:
    """A pinned file as a source of that name."""
    urls = addresses(suite, file, pinned.times)
    return UrlSource(name, urls, file.sha256, file.size, file.name)


def packages(run: Session, pinned: Pinned) -> list[CachedFile]:
    """Every package of the image in the cache, its digest computed now.

    BuildError (SOURCE) names those that neither the mirror nor an archive of all days serves.
    """
    from builders.ground.sources.fetching import fetch_all

    cached: list[CachedFile] = []
    missing: dict[str, PinnedPackage] = {}
    for package in pinned.packages:
        file = run.cache.lookup(package.file.sha256, name=package.file.name, note=run.reporter.line)
        if file:
            cached.append(file)
        else:
            missing[package.package] = package
    if not missing:
        return cached
    if run.offline:
        raise gone(f"{len(missing)} packages are not in the cache, and the run is offline", missing)
    suite = run.recipe.suite
    with run.reporter.work("image") as task:
        task.show("fetch", f"{len(missing)} locked packages")
        try:
            fetched = fetch_all(
                [as_source(suite, name, p.file, pinned) for name, p in missing.items()],
                run.cache,
                Silent(),
                jobs=_AT_ONCE,
                cancel=run.live.stopping,
            )
        except BuildError as error:
            lost = {n: p for n, p in missing.items() if not run.cache.has(p.file.sha256)}
            if error.exit is not Exit.SOURCE or not lost:
                raise
            raise gone(
                f"{len(lost)} of {len(pinned.packages)} locked packages can't be had", lost, error
            ) from None
    return cached + [file for each in fetched.values() for file in each.files]


def gone(
    what: str, lost: Mapping[str, PinnedPackage] | Iterable[str], error: BuildError | None = None
) -> BuildError:
    """The error for pinned packages that can't be had."""
    names = (
        [f"{p.package} {p.version}" for p in lost.values()]
        if isinstance(lost, Mapping)
        else list(lost)
    )
    shown = ", ".join(map(printable, names[:_SHOWN]))
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    why = f"\n{error.message}" if error else ""
    return BuildError(
        f"{what}: {shown}{more}{why}",
        hint=f"a mirror of all days has what this one has dropped ({SNAPSHOT}=http://.../archive); "
        "or lock what is served today: ./inv lock --again, with the same --recipe",
        exit=Exit.SOURCE,
    )
