# SPDX-License-Identifier: GPL-2.0-or-later
"""Open a shell in the builder of a recipe."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.verbs.building import OfKernel
from builders.verbs.option import TARGETS, OfRecipe, option

if TYPE_CHECKING:
    from builders.pipeline.run import Run
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(OfKernel, OfRecipe):
    target: str = option(
        "unpack and patch the tree of this build", choices=TARGETS, hidden=("tree",)
    )


def run(options: Options) -> Outcome:
    from builders.show.outcome import Outcome
    from builders.verbs import builds

    return Outcome(code=interact(builds.begun(options), options))


def interact(it: Run, options: Options) -> int:
    """An interactive shell in the recipe's builder, with the tree of a build unpacked or none."""
    from builders.ground.engine.step import Step
    from builders.pipeline.graph import Pipeline
    from builders.pipeline.steps import ccache, terminal
    from builders.pipeline.steps.tree import prepare
    from builders.verbs import builds

    if not sys.stdin.isatty():
        raise BuildError("a shell needs a terminal", hint="run it in one")
    targets = [options.target] if options.target else []
    pipeline = Pipeline(it, builds.usual(it, options.flavour, targets), targets)
    compiled = {ccache.volume(it): "/ccache"}
    with it.alone():
        builder = pipeline.supplies.image()
        fetched = pipeline.supplies.fetch() if targets else {}
        with Step(it, "shell", builder.name, volumes=compiled) as step:
            for target in targets:
                plan = pipeline.plan(target)
                prepare(step, plan, fetched)
                for phase in plan.phases:
                    if phase.name in {"unpack", "place", "patch", "apply"}:
                        step.phase(phase.name, phase.script, folder=phase.folder)
            step.pause()
            return terminal.interact(step.container, "/build/tree" if targets else "/build")
