# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages and source packages of the suite, as files that its verified index pins.

No apt takes part: that of an old suite neither verifies all that it downloads nor fails where it
should. The box fetches the files like any other source, by the sha256 in the index.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.files import scratch
from builders.ground.session import Session
from builders.ground.sources.fetching import Candidate
from builders.ground.sources.pins import DebianPackage, DebianSource, Pooled, UrlSource
from builders.ground.suite import archive, index, mirror
from builders.ground.suite.index import Offer
from builders.versions import parsed_version

if TYPE_CHECKING:
    from debian.debian_support import Version

# Of a source package only the upstream tarball is used (dpkg-source(1)): not what Debian adds.
_UPSTREAM = re.compile(r".*\.tar\.(gz|bz2|xz|lzma|zst)")
_DEBIAN = re.compile(r".*\.debian\.tar\.[a-z0-9]+")

DebianKind = DebianSource | DebianPackage


class Pool:
    """What the suite has of the Debian sources of a recipe."""

    def __init__(self, run: Session) -> None:
        self._run = run

    def candidates(self, sources: Sequence[DebianKind]) -> Mapping[str, Sequence[Candidate]]:
        """Each source's versions that the pin admits, the newest first; at least one each.

        BuildError (SOURCE) where the suite has none, or its lists are not to be trusted.
        """
        suite = self._run.recipe.suite
        main = mirror.of(suite).main
        binary = {s.package for s in sources if isinstance(s, DebianPackage)}
        upstream = {s.package for s in sources if isinstance(s, DebianSource)}
        with scratch(archive.LISTED) as folder:
            lists = archive.lists(self._run, folder, sources=bool(upstream))
            offered = {
                DebianPackage: [
                    offer
                    for path, at in lists.packages
                    for offer in index.packages(path, at, binary)
                ],
                DebianSource: [
                    offer
                    for path, at in lists.sources
                    for offer in index.sources(path, at, upstream)
                ],
            }
        return {s.name: admitted(s, offered[type(s)], suite.name, main) for s in sources}


def admitted(
    source: DebianKind, offered: Iterable[Offer], suite: str, main: str
) -> list[Candidate]:
    """The versions that the pin admits, newest first, and last what the recipe pins beside them.

    main: address of the main archive.
    """
    read: dict[str, tuple[Version, tuple[UrlSource, ...]]] = {}
    for offer in offered:
        version = parsed_version(offer.version) if offer.package == source.package else None
        if version is not None and (files := _wanted(source, offer)):
            read.setdefault(offer.version, (version, files))
    files_of = {text: read[text][1] for text in sorted(read, key=lambda text: read[text][0])}
    if not files_of:
        raise BuildError(
            f"sources.{source.name}: {suite} has no package {source.package}",
            hint=f"correct sources.{source.name}.package, or suite.components",
            exit=Exit.SOURCE,
        )
    candidates = [Candidate(v, files_of[v]) for v in reversed(files_of) if _admits(source, v)]
    pooled = _pooled(source)
    if pooled and pooled.version not in files_of:
        candidates.append(Candidate(pooled.version, (_of_pool(source, pooled, main),), pinned=True))
    if not candidates:
        has = ", ".join(files_of)
        raise BuildError(
            f"sources.{source.name}: {suite} has no {source.package} {source.version}: "
            f"it has {has}",
            hint=f"--set sources.{source.name}.version=..., or name a mirror that keeps old ones "
            "(--set suite.mirror=...)",
            exit=Exit.SOURCE,
        )
    return candidates


def _wanted(source: DebianKind, offer: Offer) -> tuple[UrlSource, ...]:
    """The files of a version that a build reads, as sources of the name of this one."""
    files = offer.files
    if isinstance(source, DebianSource):
        files = tuple(
            f for f in files if _UPSTREAM.fullmatch(f.name) and not _DEBIAN.fullmatch(f.name)
        )
    return tuple(UrlSource(source.name, (f.url,), f.sha256, f.size, f.name) for f in files)


def _of_pool(source: DebianKind, pooled: Pooled, main: str) -> UrlSource:
    name = pooled.path.rpartition("/")[2]
    return UrlSource(source.name, (f"{main}/{pooled.path}",), pooled.sha256, filename=name)


def _pooled(source: DebianKind) -> Pooled | None:
    """The version beside the listed ones, where the pin admits it."""
    pooled = source.pooled if isinstance(source, DebianSource) else None
    return pooled if pooled and _admits(source, pooled.version) else None


def _admits(source: DebianKind, version: str) -> bool:
    return version == source.version or fnmatch.fnmatchcase(version, source.version)
