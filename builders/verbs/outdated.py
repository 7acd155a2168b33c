# SPDX-License-Identifier: GPL-2.0-or-later
"""Say what is newer than the lock, or than what was built.

What is a security update is said. Exit status 1 where something is newer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.verbs.option import OfRecipe, Reported, option, recipe_read

if TYPE_CHECKING:
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported, OfRecipe):
    recipe: str = recipe_read()
    built: bool = option("than what was built, also where there is a lock", False)


def run(options: Options) -> Outcome:
    from builders.pipeline import current, lockfile, outdated
    from builders.show import locks
    from builders.verbs import builds

    it = builds.begun(options, reads=True)
    at = lockfile.path(current.named(it))
    if at.exists() and not options.built:
        state = outdated.of_lock(lockfile.read(it.recipe, at))
    else:
        state = outdated.of_built(it)
    return locks.outdated(outdated.compare(it, state), current.named(it))
