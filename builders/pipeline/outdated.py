# SPDX-License-Identifier: GPL-2.0-or-later
"""What is newer than a lock, or than what the manifest says was built."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debian.debian_support import Version

from builders.errors import BuildError
from builders.files import scratch
from builders.ground.sources import upstream
from builders.ground.sources.address import Patience
from builders.ground.sources.pins import DebianPackage, DebianSource, GitSource
from builders.ground.suite import archive, mirror
from builders.pipeline import current
from builders.pipeline.locking import offers, source_offers
from builders.pipeline.record import build_stage, image_records
from builders.pipeline.stages import STAGES, Store

if TYPE_CHECKING:
    from builders.ground.suite.archive import Lists
    from builders.ground.suite.index import Offer
    from builders.pipeline.lockfile import Lock
    from builders.pipeline.run import Run

SOURCE, PACKAGE = "source", "package"


@dataclass(frozen=True)
class State:
    """What is compared: versions of sources by their names in the recipe, and of packages.

    of: what it is the state of, in words.
    """

    of: str
    sources: Mapping[str, str]
    packages: Mapping[str, str]


@dataclass(frozen=True)
class Newer:
    """Something newer. kind: SOURCE or PACKAGE. security: of the pocket, or a stable branch.

    old, new: versions, or commits. where: the archive's address, the tag or the branch. served: as
    far as is known; the mirror lists what it could not serve otherwise.
    """

    kind: str
    name: str
    old: str
    new: str
    security: bool
    where: str
    served: bool = True


@dataclass(frozen=True)
class Comparison:
    """What is newer than a state; unasked: source -> why it could not be asked.

    unknown: sources of which nobody lists what is newer.
    """

    state: State
    newer: tuple[Newer, ...]
    unasked: Mapping[str, str]
    unknown: tuple[str, ...]


def of_lock(lock: Lock) -> State:
    """The state that a lock pins."""
    return State(
        "the lock",
        {source.name: source.version for source in lock.sources},
        {package.package: package.version for package in lock.packages},
    )


def of_built(run: Run) -> State:
    """The state that the packages were built from; BuildError where nothing was built."""
    manifest = current.manifest(run.folder, current.named(run))
    store = Store(run.folder / STAGES)
    sources: dict[str, str] = {}
    packages: dict[str, str] = {}
    for name, target in manifest.targets.items():
        build = store.read(build_stage(name), target.build)
        if not build:
            continue
        sources |= {str(n): str(v) for n, v in build.notes.get("sources", {}).items()}
        for record in image_records(store, build)[:1]:
            text = (record.folder / "packages.txt").read_text(encoding="utf-8")
            packages |= {line.split()[0]: line.split()[1] for line in text.splitlines()}
    if not sources:
        raise BuildError(
            "what was built has no record of its sources any more",
            hint="compare with a lock: ./inv lock, then ./inv outdated",
        )
    return State("what was built", sources, packages)


def compare(run: Run, state: State) -> Comparison:
    """What the suite lists, and git repositories have, that is newer.

    Raises BuildError (SOURCE) where the suite's lists can't be had or verified.
    """
    newer: list[Newer] = []
    unasked: dict[str, str] = {}
    unknown: list[str] = []
    with scratch(archive.LISTED) as folder:
        lists = archive.lists(run, folder)
        for name, old in state.sources.items():
            source = run.recipe.sources.get(name)
            if isinstance(source, (DebianPackage, DebianSource)):
                newer += _of_source(run, lists, source, old)
            elif isinstance(source, GitSource):
                try:
                    names = upstream.references(source, Patience(), run.live.stopping)
                except BuildError as error:
                    unasked[name] = error.message
                    continue
                newer += [
                    Newer(SOURCE, name, old, each.commit, each.stable, each.name)
                    for each in upstream.newer(names, old)
                ]
            elif source:
                unknown.append(name)
        listed = offers(lists, state.packages.keys())
        newer += _newest(PACKAGE, run, state.packages, ((o.package, at, o) for at, o in listed))
    return Comparison(state, tuple(newer), unasked, tuple(unknown))


def _of_source(
    run: Run, lists: Lists, source: DebianPackage | DebianSource, old: str
) -> list[Newer]:
    listed = (offers if isinstance(source, DebianPackage) else source_offers)(
        lists, {source.package}
    )
    admitted = (
        (source.name, at, offer)
        for at, offer in listed
        if offer.version == source.version or fnmatch.fnmatchcase(offer.version, source.version)
    )
    newer = _newest(SOURCE, run, {source.name: old}, admitted)
    # A mirror may list what it has not got: a new lock is of the old version then.
    fetched = run.cache.resolved(source, scope=mirror.scope(run.recipe.suite))
    unserved = fetched.unserved if fetched else ()
    return [dataclasses.replace(each, served=each.new not in unserved) for each in newer]


def _newest(
    kind: str, run: Run, old: Mapping[str, str], listed: Iterable[tuple[str, str, Offer]]
) -> list[Newer]:
    """Of each name the newest version that is listed, where it is newer than the old one."""
    served = mirror.of(run.recipe.suite)
    newest: dict[str, tuple[str, str]] = {}
    security: set[str] = set()
    for name, at, offer in listed:
        if not _later(offer.version, old[name]):
            continue
        if at == served.security.rstrip("/"):
            security.add(name)
        if name not in newest or _later(offer.version, newest[name][0]):
            newest[name] = offer.version, at
    return [
        Newer(kind, name, old[name], version, name in security, at)
        for name, (version, at) in sorted(newest.items())
    ]


def _later(new: str, old: str) -> bool:
    """Whether one version sorts above another (deb-version(7)); one that is none never does."""
    try:
        return bool(Version(new) > Version(old))
    except ValueError:
        return False
