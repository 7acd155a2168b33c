# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds of several recipes as one graph: each recipe is a part, and all parts run side by side.

A part is one pipeline, with all flavours of its recipe. How many compile at once is the business
of `steps.slots.Turns`, or of a farm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from builders import documents, forms
from builders.errors import BuildError, Interrupted
from builders.pipeline.artifacts import Package
from builders.pipeline.graph import Pipeline, Spell
from builders.pipeline.run import Run
from builders.text import nearest, printable

MOST = 500  # parts, and flavours of one; each is a thread that waits
_MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True)
class Cell:
    """What is asked for of one recipe. set: its overrides, beside those of the command line."""

    recipe: str
    flavours: tuple[str, ...] = ()
    set: tuple[str, ...] = ()


def read(path: Path) -> list[Cell]:
    """The cells of a matrix file: tables [[build]] with recipe, flavours and set.

    A recipe that is a file is relative to the matrix. Raises BuildError for anything else in it.
    """
    said = documents.toml(path)
    _known(path, "", said, ("build",))
    tables = said.get("build")
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise BuildError(
            f"{path}: has no list of tables [[build]]",
            hint='[[build]], and below it recipe = "xen-4.20-trixie" and flavours = ["minimal"]',
        )
    cells: list[Cell] = []
    for number, table in enumerate(tables):
        where = f"build[{number}]"
        _known(path, f"{where}.", table, ("recipe", "flavours", "set"))
        name = _line(path, f"{where}.recipe", table.get("recipe"))
        if name.endswith(".toml"):
            name = str(path.parent / name)
        flavours, overrides = (
            tuple(_line(path, f"{where}.{key}", each) for each in _list(path, where, key, table))
            for key in ("flavours", "set")
        )
        cells.append(Cell(name, flavours, overrides))
    return merged(cells, str(path))


def merged(cells: Sequence[Cell], where: str) -> list[Cell]:
    """The cells, those of one recipe as one. BuildError where two differ in their overrides."""
    found: dict[str, Cell] = {}
    for cell in cells:
        before = found.get(cell.recipe, cell)
        if before.set != cell.set:
            raise BuildError(
                f"{where}: {cell.recipe} is there twice, with other values of set",
                hint="its packages go to one folder: build the other one from a recipe file of "
                "another name that includes it",
            )
        flavours = tuple(dict.fromkeys((*before.flavours, *cell.flavours)))
        found[cell.recipe] = Cell(cell.recipe, flavours, cell.set)
    if not found or len(found) > MOST or any(len(c.flavours) > MOST for c in found.values()):
        raise BuildError(
            f"{where}: from 1 to {MOST} recipes, each with {MOST} flavours at most",
            hint="split it",
        )
    return list(found.values())


def _known(path: Path, before: str, table: dict[str, object], keys: Sequence[str]) -> None:
    for key in table:
        if key not in keys:
            raise BuildError(
                f"{path}: {before}{printable(key)}: is not a known key{nearest(key, keys)}",
                hint=f"keys here: {', '.join(keys)}",
            )


def _list(path: Path, where: str, key: str, table: dict[str, object]) -> list[object]:
    value = table.get(key, [])
    if not isinstance(value, list) or len(value) > forms.ITEMS:
        raise BuildError(f"{path}: {where}.{key}: must be a list", hint=f'such as {key} = ["..."]')
    return value


def _line(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise BuildError(f"{path}: {key}: must be a string", hint="write it in quotes")
    if problem := forms.control(value, lines=False):
        raise BuildError(f"{path}: {key}: {problem}", hint="write one line of plain text")
    return value


def at_once(runs: Sequence[Run], builds: int) -> int:
    """How many builds may compile side by side here: as the job slots and the memory allow.

    Each may use as much memory as its recipe says (`builder.memory`).
    """
    largest = max(run.recipe.builder.memory for run in runs)
    return max(1, min(builds, runs[0].jobs, int(memory("MemAvailable") / largest)))


def memory(name: str) -> float:
    """A line of /proc/meminfo in GiB: MemTotal, or MemAvailable for programs (proc(5))."""
    for line in _MEMORY.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / (1 << 20)
    return 0.0


@dataclass
class Part:
    """The builds of one recipe, and how they ended.

    make: makes what is missing. packages: the finished ones. failure: what it ended with, where it
    did not end well. seconds: from its begin to its end.
    """

    name: str
    pipeline: Pipeline
    make: Callable[[], list[Package]]
    packages: list[Package] = field(default_factory=list)
    failure: BaseException | None = None
    seconds: float = 0.0

    @property
    def spells(self) -> list[Spell]:
        """When each stage was made, the first one first."""
        return sorted(self.pipeline.spells, key=lambda spell: spell.begun)

    def run(self) -> None:
        """Make what is missing."""
        begun = time.monotonic()
        try:
            self.packages = self.make()
        except (BuildError, Interrupted) as failure:
            self.failure = failure
            raise
        finally:
            self.seconds = time.monotonic() - begun


def build(parts: Sequence[Part], *, keep_going: bool = False) -> None:
    """Run all parts; each says then how it ended. After a failure the others are stopped.

    keep_going: they are not. Raises Interrupted where the user asked to stop.
    """
    asked = False
    with ThreadPoolExecutor(len(parts), "recipe") as pool:
        futures: dict[Future[None], Part] = {pool.submit(part.run): part for part in parts}
        pending = set(futures)
        while pending:
            try:
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt:
                asked = True
                _stop(parts)
                continue
            failures = [e for f in done if (e := f.exception())]
            for failure in failures:
                if not isinstance(failure, (BuildError, Interrupted)):
                    _stop(parts)
                    raise failure
            if failures and not keep_going:
                _stop(parts)
    if asked:
        raise Interrupted


def _stop(parts: Sequence[Part]) -> None:
    for part in parts:
        part.pipeline.run.live.stop()
