# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds of several recipes and flavours at once, here or on a farm."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.files import write
from builders.pipeline import chosen, matrix
from builders.pipeline.graph import Pipeline
from builders.pipeline.matrix import Cell, Part
from builders.pipeline.steps.slots import Turns
from builders.show import matrices
from builders.show.terminal import Named, Terminal
from builders.verbs import builds

if TYPE_CHECKING:
    from builders.pipeline.artifacts import Package
    from builders.pipeline.farm.client import Farm
    from builders.pipeline.run import Run
    from builders.pipeline.stages import State
    from builders.progress import Reporter, Task
    from builders.show.outcome import Outcome
    from builders.verbs.build_all import Options


def make(options: Options, farm: str) -> Outcome:
    """Build what the options ask for, or say what that would be. farm: its address, or ""."""
    cells = _cells(options)
    reporter = Terminal()
    runs = [(cell, _run(options, cell, reporter, several=len(cells) > 1)) for cell in cells]
    _apart([it for _, it in runs])
    if options.explain:
        return matrices.stages({it.recipe.name: _explain(it, cell) for cell, it in runs})
    _refuse(options, farm)
    begun = time.monotonic()
    with ExitStack() as stack:
        maker = stack.enter_context(_farm(farm, [it for _, it in runs])) if farm else None
        flavours = {id(it): _flavours(it, cell) for cell, it in runs}
        count = sum(len(it.recipe.targets) - 1 + len(flavours[id(it)]) for _, it in runs)
        turns = None if maker else Turns(matrix.at_once([it for _, it in runs], count))
        if turns:
            stack.callback(turns.close)
        parts: list[Part] = []
        for _, it in runs:
            pipeline = Pipeline(
                it,
                flavours[id(it)],
                keep_going=options.keep_going,
                clean=options.clean,
                keep=options.keep_tree,
                turns=turns,
                maker=maker,
            )
            parts.append(Part(it.recipe.name, pipeline, partial(_made, it, pipeline)))
        with reporter.work("builds") as task, _counted(parts, task):
            matrix.build(parts, keep_going=options.keep_going)
    if options.page:
        _page(Path(options.page), parts)
    return matrices.built(parts, time.monotonic() - begun, options.page)


def _cells(options: Options) -> list[Cell]:
    """What is built: of each recipe each flavour, or what the matrix file has."""
    if options.matrix:
        if options.recipe or options.flavour:
            raise BuildError(
                "--matrix has the recipes and flavours: leave --recipe and --flavour out",
                hint="or name them all here, and no file",
            )
        return matrix.read(Path(options.matrix))
    names = options.recipe or ("",)
    return matrix.merged([Cell(name, options.flavour) for name in names], "--recipe")


def _apart(runs: list[Run]) -> None:
    """BuildError where two recipes would write one folder."""
    named: dict[Path, str] = {}
    for it in runs:
        origin = it.origin or it.recipe.name
        if other := named.get(it.folder):
            raise BuildError(
                f"{other} and {origin}: the packages of both would go to {it.folder}",
                hint="name one of them alone, or give its file another name",
            )
        named[it.folder] = origin


def _refuse(options: Options, farm: str) -> None:
    """BuildError for what several builds at once can't have."""
    if options.shell:
        raise BuildError(
            "--shell: one terminal, and several builds", hint="build the one that fails alone"
        )
    if options.page and not Path(options.page).absolute().parent.is_dir():
        raise BuildError(
            f"--page {options.page}: its folder is not there", hint="make it, or name another file"
        )
    if farm and options.keep_tree:
        raise BuildError(
            "--keep-tree: a tree is kept in one engine, and a farm has several",
            hint="leave one of --keep-tree and --farm out",
        )


def _run(options: Options, cell: Cell, reporter: Reporter, *, several: bool) -> Run:
    its = Named(reporter, Path(chosen.recipe_name(cell.recipe)).name if several else "")
    own = builds.Own.of(options, None)
    it = builds.begin(
        cell.recipe,
        [*cell.set, *options.set],
        its,
        jobs=options.jobs,
        offline=options.offline,
        locked=options.locked,
        own=own,
    )
    if own.lsmod:
        for flavour in cell.flavours or ("",):
            builds.cut_down(it, builds.usual(it, flavour, None))
    return builds.with_store(it, options)


def _flavours(it: Run, cell: Cell) -> list[str]:
    """The flavours of a cell that its recipe has a kernel for; [""] where it has none."""
    if not it.recipe.kernel and cell.flavours:
        it.reporter.line("no kernel, so no flavour")
        return [""]
    return [builds.usual(it, flavour, None) for flavour in cell.flavours or ("",)]


def _explain(it: Run, cell: Cell) -> list[State]:
    return Pipeline(it, _flavours(it, cell)).explain()


def _made(it: Run, pipeline: Pipeline) -> list[Package]:
    packages = builds.built(it, pipeline)
    builds.told(it)
    return packages


@contextmanager
def _counted(parts: list[Part], task: Task) -> Iterator[None]:
    """Show how many stages have been made, of those that there may be."""
    over = threading.Event()
    most = sum(2 * len(part.pipeline.targets) for part in parts)

    def count() -> None:
        while not over.wait(0.5):
            made = sum(len(part.pipeline.made) for part in parts)
            task.show(f"{made} made, of {most} stages at most")

    counter = threading.Thread(target=count, daemon=True)
    counter.start()
    try:
        yield
    finally:
        over.set()
        counter.join()


def _farm(address: str, runs: list[Run]) -> Farm:
    """The farm at that address. Raises BuildError where it can't take these builds."""
    from builders.pipeline.farm.client import Farm

    if not runs[0].shared or not (runs[0].shared.reads and runs[0].shared.writes):
        raise BuildError(
            "--farm: packages travel by a store that is read and written, and there is none",
            hint="--store oci://HOST/PATH, which all workers can reach",
        )
    return Farm(address, runs)


def _page(path: Path, parts: list[Part]) -> None:
    from builders.show import timeline

    try:
        write(path, timeline.page(parts))
    except OSError as error:
        raise BuildError(
            f"--page {path}: {error.strerror}",
            hint="name a file that can be written; the packages are finished",
            exit=Exit.ENGINE,
        ) from None


def address(options: Options) -> str:
    """The farm that the options or the environment name; "" for none."""
    return options.farm or os.environ.get("DOM0_DEBS_FARM", "")
