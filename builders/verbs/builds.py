# SPDX-License-Identifier: GPL-2.0-or-later
"""What several verbs do that build packages or read those that were built."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders import ends
from builders.errors import BuildError
from builders.ground import defaults
from builders.ground.registry.address import Address, parse
from builders.ground.sources.cache import Cache
from builders.ground.suite import image
from builders.pipeline import (
    artifacts,
    chosen,
    current,
    doctor,
    kernel,
    lockfile,
    modulekey,
    recipe,
    run,
    trees,
)
from builders.pipeline import loaded as modules_loaded
from builders.pipeline.artifacts import Package
from builders.pipeline.graph import Pipeline
from builders.pipeline.record import BuildRecord, build_stage, finish_stage
from builders.pipeline.run import Run
from builders.pipeline.shared import Shared
from builders.pipeline.stages import STAGES, State, Store
from builders.pipeline.supplies import Supplies
from builders.progress import Reporter
from builders.show import reports
from builders.show.closing import closing
from builders.show.terminal import Terminal
from builders.verbs import maintainer
from builders.verbs.building import KernelAsked

if TYPE_CHECKING:
    from builders.ground.sources.cache import Fetched
    from builders.show.outcome import Outcome
    from builders.verbs.building import Building, BuildingAny, OfStore, Trial
    from builders.verbs.option import OfRecipe


def begin(
    name: str,
    overrides: Sequence[str],
    reporter: Reporter,
    *,
    jobs: int = 0,
    offline: bool = False,
    reads: bool = False,
    locked: bool = False,
    own: Own | None = None,
    maintained: bool = True,
) -> Run:
    """A run of the recipe of that name.

    name: "" for the one that `chosen` tells, which is said. reads: it reads packages that were
    built. locked: it takes what the recipe's lock names, and nothing else. own: trees and patches
    in place of the recipe's sources. maintained: the maintainer is whom the environment names.
    """
    ends.watch()
    meant = chosen.to_read(name) if reads else chosen.to_build(name)
    name = meant.value
    loaded = recipe.load(name, overrides)
    if meant.why:
        reporter.line(f"recipe {loaded.name} ({meant.why}), for {loaded.suite.name}")
    named = maintainer.overrides(os.environ, loaded.targets) if maintained else []
    overrides = [*named, *overrides]
    cache = Cache.default()
    if own and (own.tree or own.patch):
        usual = own.target if own.target in loaded.targets else ""
        overrides += trees.overrides(loaded, own.tree, own.patch, cache, reporter, usual=usual)
    if own and own.lsmod:
        overrides += modules_loaded.overrides(loaded, own.lsmod)
    if own and own.dbg:
        overrides += kernel.dbg(loaded)
    if own and own.module_key:
        overrides += modulekey.overrides(loaded, own.module_key, reporter)
    if len(overrides) > len(loaded.overrides):
        loaded = recipe.load(name, overrides)
    folder = run.artifacts() / loaded.name
    origin = str(Path(name).resolve()) if name.endswith(".toml") else ""
    if not jobs and (default := defaults.read().jobs):
        jobs = default.value
        reporter.line(f"jobs {jobs} ({default})")
    it = Run(loaded, reporter, folder, cache, jobs=jobs, offline=offline, origin=origin)
    it.module_key = own.module_key if own else ""
    return from_lock(it) if locked else it


def from_lock(it: Run) -> Run:
    """The same run, of what the lock of its recipe names; that is said."""
    at = lockfile.path(current.named(it))
    lock = lockfile.read(it.recipe, at)
    it.reporter.line(f"locked: {at.name} of {lock.made}")
    return dataclasses.replace(it, lock=lock)


@dataclass(frozen=True)
class Own:
    """Trees and patches as they were typed; target: "xen" or "kernel", which a patch is of.

    lsmod: a file with the modules that a host has loaded. dbg: with a package of debugging
    information. module_key: a file with the key that signs the modules.
    """

    tree: Sequence[str] = ()
    patch: Sequence[str] = ()
    target: str = ""
    lsmod: str = ""
    dbg: bool = False
    module_key: str = ""

    @classmethod
    def of(cls, options: BuildingAny, targets: Sequence[str] | None) -> Own:
        """What the options of a verb say that builds."""
        target = targets[0] if targets else ""
        own = cls(options.tree, options.patch, target)
        if isinstance(options, KernelAsked):
            more = {name: getattr(options, name) for name in ("lsmod", "dbg", "module_key")}
            own = dataclasses.replace(own, **more)
        return own


def begun(
    options: OfRecipe,
    *,
    jobs: int = 0,
    offline: bool = False,
    reads: bool = False,
    locked: bool = False,
    own: Own | None = None,
) -> Run:
    """A run of the recipe that the options of a verb name, which reports on the terminal."""
    return begin(
        options.recipe,
        options.set,
        Terminal(),
        jobs=jobs,
        offline=offline,
        reads=reads,
        locked=locked,
        own=own,
    )


def store_of(options: OfStore, reporter: Reporter) -> Address | None:
    """The store that the options, the environment or dom0-debs.toml name, which is said."""
    name, origin = options.store or os.environ.get("DOM0_DEBS_STORE", ""), ""
    if not name and (default := defaults.read().store):
        name, origin = default.value, f" ({default})"
    if not name:
        return None
    address, mode = parse(name), options.store_mode
    reporter.line(f"store {address}{origin}{'' if mode == 'both' else f', {mode} only'}")
    return address


def with_store(it: Run, options: OfStore) -> Run:
    """The run, with the store that is named."""
    if address := store_of(options, it.reporter):
        mode, line = options.store_mode, it.reporter.line
        reads, writes = mode != "write", mode != "read"
        it.shared = Shared(address, line, reads, writes, stop=it.live.stopping)
    return it


def make(
    options: Building,
    flavour: str,
    targets: Iterable[str] | None = None,
    *,
    keep_going: bool = False,
) -> Outcome:
    """Build what the options ask for, or say what that would be."""
    targets = list(targets) if targets is not None else None
    own = Own.of(options, targets)
    it = with_store(
        begun(options, jobs=options.jobs, offline=options.offline, locked=options.locked, own=own),
        options,
    )
    if own.lsmod:
        flavour = usual(it, flavour, targets)
        cut_down(it, flavour)
    if options.explain:
        return reports.stages(explain(it, flavour, targets, keep=options.keep_tree))
    begun_at = time.monotonic()
    pipeline = _pipeline(
        it,
        flavour,
        targets,
        keep_going=keep_going,
        shell=options.shell,
        clean=options.clean,
        keep=options.keep_tree,
    )
    packages = built(it, pipeline)
    told(it)
    return reports.packages(packages, _closing(it, pipeline, time.monotonic() - begun_at))


def cut_down(it: Run, flavour: str) -> None:
    """BuildError where --lsmod is given to a flavour that is the same for any host."""
    if not recipe.flavour(it.recipe, flavour).keep:
        raise BuildError(
            f"--lsmod: flavour {flavour} has the same modules for any host",
            hint="--flavour host is cut down to what one has loaded",
        )


def keep_stages(it: Run, flavour: str) -> None:
    """Note in the store of a run what a release was made from, so that it is never pruned."""
    manifest = artifacts.read(it.folder)
    if not it.shared or not manifest:
        return
    meant = {
        name: target
        for name, target in manifest.targets.items()
        if not flavour or name in ("xen", f"kernel-{flavour}")
    }
    finished = [(finish_stage(name), target.stage) for name, target in meant.items()]
    built = [(build_stage(name), target.build) for name, target in meant.items()]
    it.shared.keep(it.recipe.name, [*finished, *built])
    told(it)


def told(it: Run) -> None:
    """Raise the error of what the store of a run did not take, now that all is kept here."""
    if it.shared and (failure := it.shared.failure()):
        raise failure


def build_kept_clean(it: Run) -> None:
    """Build again, in a clean tree, each current target that was built in a kept one."""
    store = Store(it.folder / STAGES)
    for name, target in current.manifest(it.folder, current.named(it)).targets.items():
        built = store.read(build_stage(name), target.build)
        if built and BuildRecord.of(built).kept:
            kind, _, flavour = name.partition("-")
            given = trees.compressed(target.overrides, kind)
            loaded = recipe.load(current.named(it), given)
            build(dataclasses.replace(it, recipe=loaded), flavour, [kind])


def _closing(it: Run, pipeline: Pipeline, seconds: float) -> str:
    """The last words of a build that took so long."""
    manifest = artifacts.read(it.folder) or artifacts.Manifest()
    kinds = {name.partition("-")[0] for name in manifest.targets}
    several = len(chosen.flavours(list(manifest.targets))) > 1
    return closing(
        pipeline.made,
        seconds,
        it.folder,
        current.named(it),
        sorted(kinds),
        pipeline.flavour if several else "",
    )


def build(
    it: Run,
    flavour: str,
    targets: Iterable[str] | None = None,
    *,
    keep_going: bool = False,
    shell: bool = False,
    clean: bool = False,
    keep: bool = False,
) -> list[Package]:
    """Make all that is missing; the finished packages.

    flavour: of the kernel; "" is the usual one. targets: those of the recipe if left out.
    clean: compile all of it here, nothing taken from ccache, and take no earlier build that was.
    keep: in trees that are kept.
    """
    return built(
        it,
        _pipeline(it, flavour, targets, keep_going=keep_going, shell=shell, clean=clean, keep=keep),
    )


def _pipeline(
    it: Run,
    flavour: str,
    targets: Iterable[str] | None,
    *,
    keep_going: bool,
    shell: bool,
    clean: bool,
    keep: bool = False,
) -> Pipeline:
    from builders.pipeline.steps import terminal

    if shell and not sys.stdin.isatty():
        raise BuildError("a shell needs a terminal", hint="leave it out")
    return Pipeline(
        it,
        usual(it, flavour, targets),
        targets,
        keep_going=keep_going,
        clean=clean,
        keep=keep,
        shell=terminal.on_failure(it.reporter) if shell else None,
    )


def built(it: Run, pipeline: Pipeline) -> list[Package]:
    """The finished packages, after a look at what a build needs where anything is missing."""
    with it.alone():
        pipeline.supplies.take()
        if not pipeline.ready():
            checks = doctor.examine(it, pipeline.supplies.sources, connect=lambda: it.client)
            error = doctor.failed(checks, it)
            if error:
                raise error
            for check in checks:
                if check.state == doctor.WARN:
                    it.reporter.line(f"warning: {check.name}: {check.why}: {check.remedy}")
        return pipeline.build()


def usual(it: Run, flavour: str, targets: Iterable[str] | None) -> str:
    """The flavour to build; the one that `chosen` tells where none is named, which is said."""
    if not flavour and targets is not None and "kernel" not in targets:
        return flavour
    meant = chosen.flavour(flavour, it.recipe)
    if meant.why:
        it.reporter.line(f"flavour {meant.value} ({meant.why})")
    return meant.value


def explain(
    it: Run, flavour: str, targets: Iterable[str] | None = None, *, keep: bool = False
) -> list[State]:
    """Every stage with hit or miss, and why."""
    return Pipeline(it, usual(it, flavour, targets), targets, keep=keep).explain()


def fetch(it: Run, *, refresh: bool = False) -> dict[str, Fetched]:
    """All sources of the recipe, of every flavour, in the cache."""
    with it.alone():
        fetched = Supplies(it).fetch(refresh=refresh)
    told(it)
    return fetched


def make_image(it: Run, *, refresh: bool = False) -> image.Image:
    """The builder image, made where it is missing, or anew."""
    with it.alone():
        made = Supplies(it).image(refresh=refresh)
    told(it)
    return made


@contextmanager
def tried(it: Run, options: Trial) -> Iterator[tuple[Run, list[Path], list[Path]]]:
    """The run, the packages to try and the raw ones before them; nobody else writes them then.

    They are what was built, in a run of the recipe that it was built from, or the .debs that the
    options name.
    """
    paths = [Path(path) for path in options.path if path]
    if paths:
        from builders.debkit import audit

        with it.alone():
            yield it, audit.expand(paths), []
        return
    these = current.current(it, options.flavour)
    with these.run.alone():
        yield these.run, [package.path for package in these.packages()], these.raw()
