# SPDX-License-Identifier: GPL-2.0-or-later
"""A lock of what a recipe would be built from now: its sources, and what is in its image."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from builders.errors import BuildError
from builders.files import scratch
from builders.ground.sources.pins import DebianPackage, DebianSource
from builders.ground.suite import archive, index, mirror
from builders.ground.suite.pinned import MAIN, SECURITY, TIME, gone
from builders.pipeline import lockfile
from builders.pipeline.lockfile import (
    Lock,
    LockedFile,
    LockedPackage,
    LockedRelease,
    LockedSource,
)
from builders.pipeline.supplies import Supplies

if TYPE_CHECKING:
    from builders.ground.sources.cache import Fetched
    from builders.ground.suite.archive import Lists
    from builders.ground.suite.index import Offer
    from builders.ground.suite.mirror import Mirror
    from builders.pipeline.recipe import Source
    from builders.pipeline.run import Run

_OF_SNAPSHOT = re.compile(rf"/({TIME.pattern})(?:/|$)")


def lock(run: Run, *, refresh: bool = False) -> Lock:
    """The lock of the run's recipe; the image and the sources are made and fetched where missing.

    refresh: both are first made anew of what the suite has today. Raises BuildError (SOURCE) where
    the mirror no longer lists what is in the image or was fetched: its digest is not known then.
    """
    supplies = Supplies(run)
    made = supplies.image(refresh=refresh)
    fetched = supplies.fetch(refresh=refresh)
    suite = run.recipe.suite
    served = mirror.of(suite)
    installed = [line.split(" ") for line in made.packages.splitlines()]
    with scratch(archive.LISTED) as folder:
        lists = archive.lists(run, folder)
        packages = _packages(lists, served, installed)
        sources = [
            LockedSource(name, lockfile.asked_of(source), fetched[name].version, files)
            for name, source in supplies.sources.items()
            for files in [_files(lists, served, source, fetched[name])]
        ]
    return lockfile.seal(
        Lock(
            digest="",
            recipe=run.recipe.name,
            suite=suite.name,
            made=stamp(time.time()),
            snapshot=_snapshot(served),
            releases=tuple(
                LockedRelease(
                    state.suite,
                    _which(state.archive, served),
                    state.sha256,
                    stamp(state.made) if state.made else "",
                )
                for state in lists.states
            ),
            asked=lockfile.asked(run.recipe),
            sources=tuple(sources),
            packages=tuple(packages),
        )
    )


def stamp(seconds: float) -> str:
    """A time as a lock has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _snapshot(served: Mirror) -> str:
    """The time that the mirror's address names, as snapshot.debian.org's do; "" for any other."""
    match = _OF_SNAPSHOT.search(served.main)
    return match[1] if match else ""


def _which(address: str, served: Mirror) -> str:
    """Which archive of the suite an address is."""
    security = served.security.rstrip("/")
    return SECURITY if address == security != served.main.rstrip("/") else MAIN


def offers(lists: Lists, names: Collection[str]) -> Iterator[tuple[str, Offer]]:
    """The packages of these names that the suite lists, each with the address of its archive."""
    for path, at in lists.packages:
        for offer in index.packages(path, at, names):
            yield at, offer


def source_offers(lists: Lists, names: Collection[str]) -> Iterator[tuple[str, Offer]]:
    """The source packages of these names; as `offers`."""
    for path, at in lists.sources:
        for offer in index.sources(path, at, names):
            yield at, offer


def _path(url: str, at: str) -> str:
    return unquote(url.removeprefix(f"{at.rstrip('/')}/"))


def _packages(lists: Lists, served: Mirror, installed: list[list[str]]) -> list[LockedPackage]:
    listed: dict[tuple[str, ...], LockedPackage] = {}
    for at, offer in offers(lists, {line[0] for line in installed}):
        (file,) = offer.files
        locked = LockedPackage(
            offer.package,
            offer.version,
            offer.architecture,
            _which(at, served),
            _path(file.url, at),
            file.size,
            file.sha256,
        )
        listed.setdefault((offer.package, offer.version, offer.architecture), locked)
    missing = [" ".join(line[:2]) for line in installed if tuple(line) not in listed]
    if missing:
        raise gone(
            f"the mirror no longer lists {len(missing)} of the {len(installed)} packages in the "
            "builder image",
            missing,
        )
    return [listed[tuple(line)] for line in installed]


def _files(
    lists: Lists, served: Mirror, source: Source, fetched: Fetched
) -> tuple[LockedFile, ...]:
    """The files of a source, each with where an archive has it, where one has."""
    if not isinstance(source, (DebianSource, DebianPackage)):
        return tuple(LockedFile(f.name, "", "", f.size, f.sha256) for f in fetched.files)
    places: dict[str, tuple[str, str]] = {}
    which = offers if isinstance(source, DebianPackage) else source_offers
    for at, offer in which(lists, {source.package}):
        for file in offer.files:
            places.setdefault(file.sha256, (_which(at, served), _path(file.url, at)))
    pooled = source.pooled if isinstance(source, DebianSource) else None
    if pooled:
        places.setdefault(pooled.sha256, (MAIN, pooled.path))
    if any(f.sha256 not in places for f in fetched.files):
        raise gone(
            f"source {source.name}: the mirror no longer lists",
            [f"{source.package} {fetched.version}"],
        )
    return tuple(LockedFile(f.name, *places[f.sha256], f.size, f.sha256) for f in fetched.files)


def needs_lock(run: Run) -> BuildError:
    """The error where something is to be made from a lock, and the run has none."""
    return BuildError(
        "there is no lock to make it from",
        hint=f"./inv lock --recipe {run.origin or run.recipe.name}, then build with --locked",
    )
