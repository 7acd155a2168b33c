# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetch and verify every source of a recipe into the cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.verbs.building import FromLock, OfStore
from builders.verbs.option import OfRecipe, Reported, option

if TYPE_CHECKING:
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(FromLock, Reported, OfStore, OfRecipe):
    again: bool = option("ask the suite again for its newest version", False)


def run(options: Options) -> Outcome:
    from builders.show import reports
    from builders.verbs import builds

    it = builds.with_store(builds.begun(options, locked=options.locked), options)
    return reports.sources(builds.fetch(it, refresh=options.again))
