# SPDX-License-Identifier: GPL-2.0-or-later
"""Look at all that a build needs, and change nothing.

The exit status is that of the build that would fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.verbs.option import OfRecipe, Reported

if TYPE_CHECKING:
    from builders.pipeline.doctor import Check
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported, OfRecipe):
    pass


def run(options: Options) -> Outcome:
    from builders.ground.engine import connection
    from builders.pipeline import doctor
    from builders.pipeline.current import named
    from builders.show import upkeep
    from builders.verbs import builds

    it = builds.begun(options)
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
