# SPDX-License-Identifier: GPL-2.0-or-later
"""Write down the exact sources and packages of a recipe.

NAME.lock, beside the recipe's file, has each source and each package of the builder image with its
version, place and digest. A build with --locked takes these and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.verbs.option import OfRecipe, Reported, option

if TYPE_CHECKING:
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported, OfRecipe):
    again: bool = option("lock the suite's newest: image and sources are made anew", False)


def run(options: Options) -> Outcome:
    from builders.pipeline import lockfile, locking
    from builders.pipeline.current import named
    from builders.show import locks
    from builders.verbs import builds

    it = builds.begun(options)
    at = lockfile.path(named(it))
    with it.alone():
        made = locking.lock(it, refresh=options.again)
        lockfile.write(made, at)
    return locks.written(made, at, named(it))
