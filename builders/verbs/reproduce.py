# SPDX-License-Identifier: GPL-2.0-or-later
"""Build again as if on another box, and compare every byte.

Exit status 1 where a package differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.verbs.option import TARGETS, OfRecipe, Reported, option, recipe_read

if TYPE_CHECKING:
    from builders.pipeline.run import Run
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported, OfRecipe):
    recipe: str = recipe_read()
    flavour: str = option(
        "of the kernel; one that was not built is built", usual="the one that was built"
    )
    target: str = option("only this build", choices=TARGETS, hidden=("only",))
    fresh_image: bool = option(
        "the second build's image is made anew from the recipe's lock", False
    )
    seconds: int = option("how far the second build's clock is ahead", 97_200, value="SECONDS")


def run(options: Options) -> Outcome:
    from builders.verbs import builds

    return again(builds.begun(options, reads=True), options)


def again(it: Run, options: Options) -> Outcome:
    """Build again what was built in that run."""
    from builders.pipeline.current import current
    from builders.pipeline.stages import STAGES
    from builders.proofs.rebuild import reproduce
    from builders.proofs.rebuild.variation import Variation
    from builders.show import boots

    targets = [options.target] if options.target else None
    flavour = options.flavour
    if not flavour:
        first = current(it, only=options.target)
        it, flavour = first.run, first.flavour
        targets = [target.partition("-")[0] for target in first.targets]
    if options.fresh_image:
        from builders.verbs import builds

        it = builds.from_lock(it)
    compared = reproduce.reproduce(
        it, flavour, targets, seconds=options.seconds, fresh_image=options.fresh_image
    )
    kept = it.folder / reproduce.FOLDER / STAGES
    about = Variation(seconds=options.seconds).about()
    if options.fresh_image:
        about += ", image made anew from the lock"
    return boots.rebuild(compared, about, kept)
