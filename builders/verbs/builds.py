# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs do that build packages, correct them and try them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builders import ends
from builders.errors import BuildError
from builders.ground.engine.step import Step
from builders.ground.sources.cache import Cache
from builders.ground.suite import image
from builders.pipeline import doctor, recipe, run
from builders.pipeline.artifacts import Package
from builders.pipeline.graph import TARGETS, Pipeline, State
from builders.pipeline.run import Run
from builders.pipeline.steps import ccache
from builders.pipeline.steps.tree import prepare
from builders.progress import Reporter
from builders.verbs import maintainer

if TYPE_CHECKING:
    from builders.debkit.finish import Finished
    from builders.ground.sources.cache import Fetched
    from builders.proofs.trial import install, judges


def begin(
    name: str,
    overrides: Sequence[str],
    reporter: Reporter,
    *,
    jobs: int = 0,
    offline: bool = False,
    form: str = "table",
) -> Run:
    """A run of the recipe of that name; form: in which there will be something to say."""
    known_form(form)
    ends.watch()
    loaded = recipe.load(name, [*maintainer.overrides(os.environ), *overrides])
    folder = run.artifacts() / loaded.name
    origin = str(Path(name).resolve()) if name.endswith(".toml") else ""
    return Run(loaded, reporter, folder, Cache.default(), jobs=jobs, offline=offline, origin=origin)


def build(
    it: Run,
    flavour: str,
    targets: Iterable[str] = TARGETS,
    *,
    keep_going: bool = False,
    shell: bool = False,
    clean: bool = False,
) -> list[Package]:
    """Make all that is missing; the finished packages.

    clean: compile all of it here, nothing taken from ccache, and take no earlier build that was.
    """
    from builders.pipeline.steps import terminal

    if shell and not sys.stdin.isatty():
        raise BuildError("a shell needs a terminal", hint="leave it out")
    pipeline = Pipeline(
        it,
        flavour,
        targets,
        keep_going=keep_going,
        clean=clean,
        shell=terminal.on_failure(it.reporter) if shell else None,
    )
    with it.alone():
        if not pipeline.ready():
            checks = doctor.examine(it, pipeline.sources, connect=lambda: it.client)
            error = doctor.failed(checks)
            if error:
                raise error
            for check in checks:
                if check.state == doctor.WARN:
                    it.reporter.line(f"warning: {check.name}: {check.why}: {check.remedy}")
        return pipeline.build()


def explain(it: Run, flavour: str, targets: Iterable[str] = TARGETS) -> list[State]:
    """Every stage with hit or miss, and why."""
    return Pipeline(it, flavour, targets).explain()


def fetch(it: Run, *, refresh: bool = False) -> dict[str, Fetched]:
    """All sources of the recipe, of every flavour, in the cache."""
    flavours = sorted(it.recipe.kernel.flavours)
    # The flavour on the packaged config reads the most sources.
    flavours.sort(key=lambda name: it.recipe.kernel.flavours[name].base != "packaged")
    with it.alone():
        return Pipeline(it, flavours[0]).fetch(refresh=refresh)


def make_image(it: Run, *, refresh: bool = False) -> image.Image:
    """The builder image, made where it is missing, or anew."""
    with it.alone():
        return Pipeline(it, next(iter(it.recipe.kernel.flavours))).image(refresh=refresh)


def shell(it: Run, tree: str, flavour: str) -> int:
    """An interactive shell in the recipe's builder, with the tree of a build unpacked or none."""
    from builders.pipeline.steps import terminal

    if tree not in ("", *TARGETS):
        raise BuildError(f"--tree {tree}: there is no such build", hint="xen or kernel")
    if not sys.stdin.isatty():
        raise BuildError("a shell needs a terminal", hint="run it in one")
    pipeline = Pipeline(it, flavour, [tree] if tree else TARGETS)
    compiled = {ccache.volume(it): "/ccache"}
    with it.alone():
        builder = pipeline.image()
        fetched = pipeline.fetch() if tree else {}
        with Step(it, "shell", builder.name, volumes=compiled) as step:
            if tree:
                plan = pipeline.plan(tree)
                prepare(step, plan, fetched)
                for phase in plan.phases:
                    if phase.name in {"unpack", "place", "patch"}:
                        step.phase(phase.name, phase.script, folder=phase.folder)
            step.pause()
            return terminal.interact(step.container, "/build/tree" if tree else "/build")


def finish(it: Run, flavour: str) -> list[Package]:
    """Correct the built packages anew and publish them."""
    with it.alone():
        return Pipeline(it, flavour).finish_again()


def finish_own(
    paths: Sequence[str],
    rules: str,
    out: str,
    name: str,
    overrides: Sequence[str],
    reporter: Reporter,
) -> list[Finished]:
    """Correct the .debs at `paths` by the file `rules`; what was made."""
    from builders.verbs import custom

    wanted = [Path(path) for path in paths if path]
    if not wanted or not rules:
        raise BuildError(
            "a package of your own needs its rules" if wanted else "no package is named",
            hint="./inv finish some.deb --rules my.toml",
        )
    it = begin(name, overrides, reporter) if name else None
    return custom.correct(wanted, Path(rules), Path(out or "."), it)


def given(it: Run, flavour: str, paths: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """The packages to try and the raw ones before them: what was built, or the .debs at `paths`."""
    if any(paths):
        from builders.debkit import audit

        return audit.expand([Path(path) for path in paths if path]), []
    debs = [package.path for package in build(it, flavour)]
    return debs, Pipeline(it, flavour).raw()


def check(it: Run, flavour: str, paths: Sequence[str]) -> list[judges.Verdict]:
    """What lintian and piuparts of the suite say of the packages."""
    from builders.proofs.trial import judges

    debs, raw = given(it, flavour, paths)
    with it.alone():
        return judges.check(it, debs, raw)


def install_test(it: Run, flavour: str, paths: Sequence[str]) -> list[install.Outcome]:
    """What became of the packages on clean machines."""
    from builders.proofs.trial import install

    debs, raw = given(it, flavour, paths)
    with it.alone():
        return install.install_test(it, debs, raw)


def known_form(form: str) -> None:
    """BuildError where `form` is no form of output."""
    if form not in ("table", "json"):
        raise BuildError(f"--format {form}: no such format", hint="table or json")
