# SPDX-License-Identifier: GPL-2.0-or-later
"""Another box, as far as one container can play it: what a second build has that is different."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from builders.plan import WORK, Plan
from builders.recipe import DebianPackage, Recipe

_CLOCK = "clock"  # the source that brings libfaketime

# faketime(1): every program of the phase sees another time. Files keep the times that the kernel
# gives them, but for those that `touch` sets.
_PRELOAD = f"""
export LD_PRELOAD="$(find {WORK}/faketime -name libfaketime.so.1)"
test -n "$LD_PRELOAD"
export FAKETIME="{{seconds:+d}}" FAKETIME_DONT_FAKE_MONOTONIC=1
"""
_UNPACK_CLOCK = f"dpkg-deb -x {WORK}/in/{_CLOCK}/*.deb {WORK}/faketime\n"


@dataclass(frozen=True)
class Variation:
    """How a build differs from an ordinary one.

    hostname: of the container. seconds: how far its clock is ahead. environment: variables
    that are set besides, such as another user's. Nothing is taken from ccache, so that every
    object is made anew.
    """

    hostname: str = "elsewhere"
    seconds: int = 0
    environment: tuple[tuple[str, str], ...] = (
        ("USER", "somebody"),
        ("LOGNAME", "somebody"),
        ("HOME", "/tmp"),  # noqa: S108 - in the container
        ("LANG", "C"),
        ("TZ", "Pacific/Kiritimati"),
    )

    def recipe(self, recipe: Recipe) -> Recipe:
        """`recipe` with the source that the other clock needs."""
        if not self.seconds:
            return recipe
        clock = DebianPackage(_CLOCK, "libfaketime", "*")
        return dataclasses.replace(recipe, sources={**recipe.sources, _CLOCK: clock})

    def plan(self, plan: Plan) -> Plan:
        """`plan` as it runs there; the tree is unpacked and patched as ever."""
        exports = "".join(f"export {key}='{value}'\n" for key, value in self.environment)
        prelude = f"{exports}export CCACHE_DISABLE=1\n"
        if self.seconds:
            prelude += _PRELOAD.format(seconds=self.seconds)
        phases = []
        for phase in plan.phases:
            if phase.name == "unpack":
                script = phase.script + (_UNPACK_CLOCK if self.seconds else "")
            else:
                script = prelude + phase.script
            phases.append(dataclasses.replace(phase, script=script))
        sources = (*plan.sources, _CLOCK) if self.seconds else plan.sources
        return dataclasses.replace(plan, phases=tuple(phases), sources=sources)
