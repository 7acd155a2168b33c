# SPDX-License-Identifier: GPL-2.0-or-later
"""Look at all that a build needs, and change nothing.

The exit status is that of the build that would fail. With --online the addresses of the recipe are
looked at instead, and the status is 3 where one does not serve what is pinned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.verbs.option import OfRecipe, Reported, option

if TYPE_CHECKING:
    from builders.pipeline.doctor import Check
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported, OfRecipe):
    online: bool = option("ask each address of the recipe whether it serves what is pinned", False)
    full: bool = option("with --online: read all of each file, and fetch each commit", False)


def run(options: Options) -> Outcome:
    from builders.ground.engine import connection
    from builders.pipeline import doctor, online
    from builders.pipeline.current import named
    from builders.show import upkeep
    from builders.verbs import builds

    if options.full and not options.online:
        raise BuildError("--full is of --online", hint="./inv doctor --online --full")
    it = builds.begun(options)
    if options.online:
        return upkeep.addresses(online.examine(it, full=options.full))
    checks = doctor.examine(
        it,
        dict(it.recipe.sources),
        connect=lambda: connection.connect(it.reporter, setup=False),
    )
    return upkeep.checks(checks, status(checks), doctor.verdict(checks, it), named(it))


def status(checks: Sequence[Check]) -> int:
    """The exit status for what the doctor found."""
    from builders.pipeline import doctor

    error = doctor.failed(list(checks))
    return int(error.exit) if error else 0
