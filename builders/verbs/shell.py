# SPDX-License-Identifier: GPL-2.0-or-later
"""Open a shell in the builder of a recipe."""

from __future__ import annotations

import dataclasses
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.text import amount
from builders.verbs.building import ForHost, OfTree
from builders.verbs.option import TARGETS, OfRecipe, option

if TYPE_CHECKING:
    from builders.ground.engine.step import Step
    from builders.pipeline.run import Run
    from builders.progress import Reporter
    from builders.show.outcome import Outcome


_LARGEST = 64 << 20  # bytes of a patch


@dataclass(frozen=True, kw_only=True)
class Options(ForHost, OfRecipe, OfTree):
    target: str = option("unpack and patch the tree of this build", choices=TARGETS)
    patch_out: str = option("write what was changed in the tree as a patch", value="FILE")


def run(options: Options) -> Outcome:
    from builders.show.outcome import Outcome
    from builders.verbs import builds

    if len(options.tree) == 1 and options.tree[0] in TARGETS:  # as it was called up to 0.1
        options = dataclasses.replace(options, target=options.tree[0], tree=())
    elif options.tree and not options.target:
        word = options.tree[0].partition("=")[0]
        options = dataclasses.replace(options, target="xen" if word == "xen" else "kernel")
    if options.patch_out and not options.target:
        raise BuildError(
            "--patch-out is of a tree, and none is named",
            hint="--target xen or kernel, or --tree xen=FOLDER",
        )
    own = builds.Own(options.tree, options.patch, options.target, options.lsmod)
    return Outcome(code=interact(builds.begun(options, own=own), options))


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
            if options.patch_out:
                step.phase("remember", "cp -a /build/tree /build/a")
            step.pause()
            status = terminal.interact(step.container, "/build/tree" if targets else "/build")
            if options.patch_out:
                _leave(step, Path(options.patch_out), it.reporter)
            return status


def _leave(step: Step, path: Path, reporter: Reporter) -> None:
    """Write what differs between the tree and what it was to `path`, as a patch."""
    from builders.files import appearing
    from builders.pipeline import plan

    named = plan.assigned(work=plan.WORK, tree=plan.TREE, most=str(_LARGEST))
    step.phase("compare", named + plan.shell("changes"))
    text = step.container.read("/build/changes.patch", _LARGEST + 1)
    if len(text) > _LARGEST:
        raise BuildError(
            f"the changes have more than {amount(_LARGEST)}",
            hint="were objects compiled there? make clean, or write the patch there by hand",
            exit=Exit.STEP,
        )
    try:
        with appearing(path.absolute()) as fresh:
            fresh.write_bytes(text)
    except OSError as error:
        raise BuildError(
            f"{path}: {error.strerror}", hint="name a file that can be written", exit=Exit.ENGINE
        ) from None
    changed = len(re.findall(rb"^diff -ruN ", text, re.MULTILINE))
    reporter.line(f"{path}: {changed} file(s) changed")
