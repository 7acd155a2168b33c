# SPDX-License-Identifier: GPL-2.0-or-later
"""Make the builder image of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.verbs.building import FromLock, OfStore
from builders.verbs.option import OfRecipe, Reported, option

if TYPE_CHECKING:
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(FromLock, Reported, OfStore, OfRecipe):
    again: bool = option("make it anew, with the suite's newest packages", False)


def run(options: Options) -> Outcome:
    from builders.show import reports
    from builders.verbs import builds

    it = builds.with_store(builds.begun(options, locked=options.locked), options)
    return reports.image(builds.make_image(it, refresh=options.again))
