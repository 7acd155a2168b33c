# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether each address that a recipe names serves today what is pinned.

Nothing is kept of it, but that with `full` the suite's package lists go into the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from builders.errors import BuildError, Exit
from builders.ground.sources import serving
from builders.ground.sources.address import Failed, shown
from builders.ground.sources.pins import UrlSource
from builders.ground.suite import archive, mirror
from builders.ground.suite.pool import Pool
from builders.pipeline.recipe import DebianPackage, DebianSource, GitSource, Recipe
from builders.pipeline.run import Run

PINNED, LIKELY, FAILED = "pinned", "likely", "failed"
_SIDE_BY_SIDE = 8  # addresses at once


@dataclass(frozen=True)
class Address:
    """What one address was found to serve.

    what: whose address it is: "source xen", "suite wheezy".
    state: "pinned": what the recipe pins, or what a verified Release file lists; "likely": all that
        was looked at agrees with that; "failed": it does not serve it.
    """

    what: str
    url: str
    state: str
    why: str


def examine(run: Run, *, full: bool) -> list[Address]:
    """All addresses of a recipe, in its order; full: all of each file is read."""
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        suites = [pool.submit(_suite, run, address, name, full) for address, name in _places(run)]
        sources = [
            pool.submit(_file, run, f"source {name}", source, url, full)
            for name, source in run.recipe.sources.items()
            if isinstance(source, (UrlSource, GitSource))
            for url in source.urls
        ]
        debian = pool.submit(_debian, run) if full else None
        try:
            return [
                *(address for suite in suites for address in suite.result()),
                *(source.result() for source in sources),
                *(debian.result() if debian else ()),
            ]
        except BaseException:
            run.live.stopping.set()
            raise


def unserved(addresses: Sequence[Address]) -> list[str]:
    """What no address serves, such as "source xen"."""
    served = {address.what for address in addresses if address.state != FAILED}
    return list(dict.fromkeys(a.what for a in addresses if a.what not in served))


def lacking(run: Run, addresses: Sequence[Address]) -> list[str]:
    """What no address serves, and the cache has not got either."""
    scope = mirror.scope(run.recipe.suite)
    cached = {
        f"source {name}"
        for name, source in run.recipe.sources.items()
        if run.cache.resolved(source, scope=scope)
    }
    return [what for what in unserved(addresses) if what not in cached]


def names_addresses(recipe: Recipe) -> bool:
    """Whether a recipe names addresses of its own: a mirror, or sources that no suite has."""
    sources = recipe.sources.values()
    return bool(recipe.suite.mirror) or any(isinstance(s, (UrlSource, GitSource)) for s in sources)


def status(addresses: Sequence[Address]) -> int:
    """The exit status: 3 where an address does not serve what is pinned."""
    return int(Exit.SOURCE if any(a.state == FAILED for a in addresses) else Exit.DONE)


def verdict(addresses: Sequence[Address]) -> str:
    """What it comes to, in words."""
    failed = sum(address.state == FAILED for address in addresses)
    proven = sum(address.state == PINNED for address in addresses)
    counts = f"{len(addresses)} addresses: {proven} serve what is pinned"
    if likely := len(addresses) - failed - proven:
        counts += f", {likely} likely do (--full reads all of it)"
    if not failed:
        return counts
    counts += f", {failed} do not"
    missing = unserved(addresses)
    if not missing:
        return f"{counts}; each source has another that does"
    return f"{counts}; nobody serves {', '.join(missing)}"


def _places(run: Run) -> list[tuple[str, str]]:
    """Address and name of the suite and its pockets."""
    suite = run.recipe.suite
    return mirror.places(suite, mirror.of(suite))


def _address(what: str, url: str, look: Callable[[], serving.Served]) -> Address:
    try:
        served = look()
    except Failed as error:
        return Address(what, shown(url), FAILED, error.reason)
    except BuildError as error:
        return Address(what, shown(url), FAILED, error.message.removeprefix(f"{url} "))
    return Address(what, shown(url), PINNED if served.proven else LIKELY, served.why)


def _file(run: Run, what: str, source: UrlSource | GitSource, url: str, full: bool) -> Address:
    def look() -> serving.Served:
        return serving.serves(source, url, run.cache, run.live.stopping, full=full)

    return _address(what, url, look)


def _suite(run: Run, address: str, name: str, full: bool) -> list[Address]:
    """The Release file of a suite, and the package lists that it states."""
    lists: list[UrlSource] = []

    def look() -> serving.Served:
        why, stated = archive.served(run, address, name, serving.PATIENCE)
        lists.extend(stated)
        return serving.Served(True, why)

    what = f"suite {name}"
    file = "Release" if run.recipe.suite.signed_by else "InRelease"
    release = _address(what, f"{address.rstrip('/')}/dists/{name}/{file}", look)
    return [release, *(_file(run, f"lists of {name}", s, s.urls[-1], full) for s in lists)]


def _debian(run: Run) -> list[Address]:
    """The files of the pool that the recipe's Debian sources stand for, each read whole."""
    sources = [
        source
        for source in run.recipe.sources.values()
        if isinstance(source, (DebianSource, DebianPackage))
    ]
    if not sources:
        return []
    try:
        candidates = Pool(run).candidates(sources)
    except BuildError as error:
        why = error.message
        return [Address(f"source {s.name}", "", FAILED, f"not known: {why}") for s in sources]
    return [
        _file(run, f"source {source.name}", file, file.urls[0], True)
        for source in sources
        for file in candidates[source.name][0].files
    ]
