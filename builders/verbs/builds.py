# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs do that build packages, correct them and try them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from builders import ends
from builders.errors import BuildError
from builders.ground.engine.step import Step
from builders.ground.sources.cache import Cache
from builders.ground.suite import image
from builders.pipeline import artifacts, current, doctor, recipe, run
from builders.pipeline.artifacts import Manifest, Package
from builders.pipeline.graph import Pipeline
from builders.pipeline.recipe import TARGETS
from builders.pipeline.run import Run
from builders.pipeline.stages import State
from builders.pipeline.steps import ccache
from builders.pipeline.steps.tree import prepare
from builders.pipeline.supplies import Supplies
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
    loaded = recipe.load(name, overrides)
    if builder := maintainer.overrides(os.environ, loaded.targets):
        loaded = recipe.load(name, [*builder, *overrides])
    folder = run.artifacts() / loaded.name
    origin = str(Path(name).resolve()) if name.endswith(".toml") else ""
    return Run(loaded, reporter, folder, Cache.default(), jobs=jobs, offline=offline, origin=origin)


def build(
    it: Run,
    flavour: str,
    targets: Iterable[str] | None = None,
    *,
    keep_going: bool = False,
    shell: bool = False,
    clean: bool = False,
) -> list[Package]:
    """Make all that is missing; the finished packages.

    flavour: of the kernel; "" is the usual one. targets: those of the recipe if left out.
    clean: compile all of it here, nothing taken from ccache, and take no earlier build that was.
    """
    from builders.pipeline.steps import terminal

    if shell and not sys.stdin.isatty():
        raise BuildError("a shell needs a terminal", hint="leave it out")
    pipeline = Pipeline(
        it,
        _usual(it, flavour, targets),
        targets,
        keep_going=keep_going,
        clean=clean,
        shell=terminal.on_failure(it.reporter) if shell else None,
    )
    with it.alone():
        if not pipeline.ready():
            checks = doctor.examine(it, pipeline.supplies.sources, connect=lambda: it.client)
            error = doctor.failed(checks)
            if error:
                raise error
            for check in checks:
                if check.state == doctor.WARN:
                    it.reporter.line(f"warning: {check.name}: {check.why}: {check.remedy}")
        return pipeline.build()


def _usual(it: Run, flavour: str, targets: Iterable[str] | None) -> str:
    """The flavour to build; the one that a recipe has where none is named."""
    if flavour and not it.recipe.kernel:
        raise it.recipe.lacks("kernel")
    if flavour or (targets is not None and "kernel" not in targets):
        return flavour
    return recipe.default_flavour(it.recipe)


def explain(it: Run, flavour: str, targets: Iterable[str] | None = None) -> list[State]:
    """Every stage with hit or miss, and why."""
    return Pipeline(it, _usual(it, flavour, targets), targets).explain()


def fetch(it: Run, *, refresh: bool = False) -> dict[str, Fetched]:
    """All sources of the recipe, of every flavour, in the cache."""
    with it.alone():
        return Supplies(it).fetch(refresh=refresh)


def make_image(it: Run, *, refresh: bool = False) -> image.Image:
    """The builder image, made where it is missing, or anew."""
    with it.alone():
        return Supplies(it).image(refresh=refresh)


def shell(it: Run, tree: str, flavour: str) -> int:
    """An interactive shell in the recipe's builder, with the tree of a build unpacked or none."""
    from builders.pipeline.steps import terminal

    if tree not in ("", *TARGETS):
        raise BuildError(f"--tree {tree}: there is no such build", hint="xen or kernel")
    if not sys.stdin.isatty():
        raise BuildError("a shell needs a terminal", hint="run it in one")
    targets = [tree] if tree else []
    pipeline = Pipeline(it, _usual(it, flavour, targets), targets)
    compiled = {ccache.volume(it): "/ccache"}
    with it.alone():
        builder = pipeline.supplies.image()
        fetched = pipeline.supplies.fetch() if tree else {}
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
    """Correct the packages anew that were built last, and publish them."""
    with it.alone():
        built = (artifacts.read(it.folder) or Manifest()).builds
        names = current.choose(built, flavour, current.named(it))
        if not names:
            raise current.nothing_built(current.named(it))
        current.say(it, names)
        kinds = {name.partition("-")[0]: name.partition("-")[2] for name in names}
        return Pipeline(it, kinds.get("kernel", ""), kinds).finish_again()


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


@contextmanager
def _tried(
    it: Run, flavour: str, paths: Sequence[str]
) -> Iterator[tuple[Run, list[Path], list[Path]]]:
    """The run, the packages to try and the raw ones before them; nobody else writes them then.

    They are what was built, in a run of the recipe that it was built from, or the .debs at `paths`.
    """
    if any(paths):
        from builders.debkit import audit

        with it.alone():
            yield it, audit.expand([Path(path) for path in paths if path]), []
        return
    these = current.current(it, flavour)
    with these.run.alone():
        yield these.run, [package.path for package in these.packages()], these.raw()


def check(it: Run, flavour: str, paths: Sequence[str]) -> list[judges.Verdict]:
    """What lintian and piuparts of the suite say of the packages."""
    from builders.proofs.trial import judges

    with _tried(it, flavour, paths) as (run, debs, raw):
        return judges.check(run, debs, raw)


def install_test(it: Run, flavour: str, paths: Sequence[str]) -> list[install.Outcome]:
    """What became of the packages on clean machines."""
    from builders.proofs.trial import install

    with _tried(it, flavour, paths) as (run, debs, raw):
        return install.install_test(run, debs, raw)


def known_form(form: str) -> None:
    """BuildError where `form` is no form of output."""
    if form not in ("table", "json"):
        raise BuildError(f"--format {form}: no such format", hint="table or json")
