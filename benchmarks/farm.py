# SPDX-License-Identifier: GPL-2.0-or-later
"""A farm on loopback: a matrix against one recipe after the other, and what each stage costs.

With the small stand-ins of the engine tests, but for the compiling of the matrix, which is real
work of gcc's. Then ten workers on which stages only sleep, as long as real ones take, divided by a
hundred: twenty recipes, against what no schedule can do better. At last a graph of a thousand
stages, for the memory that it takes.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import Row, show
from builders import ROOT
from builders.ground.sources.cache import Cache
from builders.pipeline.farm import pieces, service, settings
from builders.pipeline.farm.client import Farm
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.progress import Silent
from tests.engine.conftest import FILES, KERNEL_MAKEFILE, XEN_MAKEFILE, Box
from tests.engine.oci import RealRegistry

_MATRIX, _STAGE, _SCHEDULE = 1.1, 0.5, 1.15
_REAL = {"xen-build": 330.0, "xen-finish": 8.0, "kernel-build": 725.0, "kernel-finish": 12.0}
_SCALE = 100.0
_RECIPES, _WORKERS = 20, 10
_LARGE = 250  # recipes, of four stages each
_FILES = 60  # that gcc compiles in each build of the matrix
_BURN = """
BURNT = $(addprefix burn-,$(addsuffix .o,$(shell seq {count})))
.PHONY: burnt
burnt: $(BURNT)
burn-%.o: burn.c
\tgcc -O2 -DSEED=$* -c -o $@ $<
"""


def _burn() -> str:
    """A file that gcc takes some tenths of a second for."""
    lines = [
        f"int f{n}(int *a, int b) {{ for (int i = 0; i < b; i++) "
        f"a[i] = a[b - i] * SEED + f{n}_(a[i] / (i + {n})); return a[b % {n + 1}]; }}"
        for n in range(60)
    ]
    heads = [f"static int f{n}_(int x) {{ return x % SEED ^ (x << {n % 7}); }}" for n in range(60)]
    return "\n".join([*heads, *lines]) + "\n"


@dataclass(frozen=True)
class Sleep:
    """A piece of work that only takes its time."""

    stage: str
    number: int
    seconds: float

    @property
    def name(self) -> str:
        return f"{self.stage}-{self.number:024x}"


def asleep(piece: Sleep) -> str:
    """Take the time; on a worker."""
    time.sleep(piece.seconds)
    return piece.name


@contextmanager
def _farm(folder: Path, workers: int) -> Iterator[service.Note]:
    """A farm that shares nothing with the clients but the engine."""
    others = {
        "XDG_STATE_HOME": folder / "state",
        "XDG_CACHE_HOME": folder / "cache",
        "DOM0_DEBS_ARTIFACTS": folder / "artifacts",
    }
    before = dict(os.environ)
    os.environ.update({name: str(path) for name, path in others.items()})
    try:
        yield service.up(workers, 0, 1, 0, 0, Silent())
    finally:
        service.down()
        os.environ.clear()
        os.environ.update(before)


def _build(box: Box, who: str, names: list[str], *more: str) -> float:
    """Seconds of a build with nothing at hand but the image and what the engine compiled."""
    for name in names:
        # A key of its own for each, or else two would be one piece of work.
        text = box.recipe.read_text().replace("'''make", f"'''echo {name}; make")
        (box.folder / f"{name}.toml").write_text(text)
    recipes = [word for name in names for word in ("--recipe", str(box.folder / f"{name}.toml"))]
    words = ["build-all", *recipes, "--flavour", "minimal", "--set", FILES, "--clean", *more]
    environment = os.environ | {
        "DOM0_DEBS_ARTIFACTS": str(box.folder / who),
        "XDG_CACHE_HOME": str(box.folder / f"{who}-cache"),
    }
    begun = time.monotonic()
    subprocess.run(
        [str(ROOT / "inv"), *words],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.monotonic() - begun


def _real(folder: Path) -> list[Row]:
    """A matrix of two recipes on two workers, and what a stage costs on one."""
    registry = RealRegistry(folder / "registry")
    registry.start()
    store = f"oci://{registry.address}/team/dom0-debs"
    box = Box(folder / "box")
    box.folder.mkdir()
    try:
        with _farm(folder / "two", 2) as note:
            box.write()
            at = ("--farm", note.address, "--store", store)
            _build(box, "first", ["warm"], *at)  # the image goes into the store
            for makefile, text in ((box.xen, XEN_MAKEFILE), (box.kernel, KERNEL_MAKEFILE)):
                makefile["burn.c"] = _burn()
                makefile["Makefile"] = text + _BURN.format(count=_FILES)
            box.xen_build, box.kernel_build = "make burnt debball", "make burnt bindeb-pkg"
            ours, peer = [], []
            for number in range(2):
                # Another text in each run, so that no stage of one is there in another.
                box.xen["run"] = box.kernel["run"] = f"farm {number}"
                box.write()
                names = [f"a{number}", f"b{number}"]
                ours.append(_build(box, f"farm{number}", names, *at))
                box.xen["run"] = box.kernel["run"] = f"alone {number}"
                box.write()
                peer.append(sum(_build(box, f"alone{number}", [name]) for name in names))
        with _farm(folder / "one", 1) as note:
            at = ("--farm", note.address, "--store", store)
            plain = Box(folder / "plain")
            plain.folder.mkdir()
            stages = []
            for number in range(3):
                seconds = []
                for who, how in (("there", at), ("here", ("--jobs", "1"))):
                    plain.xen["run"] = plain.kernel["run"] = f"{who} {number}"
                    plain.write()
                    seconds.append(_build(plain, f"{who}{number}", [f"p{number}"], *how))
                stages.append(max(0.0, seconds[0] - seconds[1]) / 4)
    finally:
        registry.kill()
    return [
        Row("two recipes on two workers / one by one", ours, peer, _MATRIX),
        Row("a stage on a farm, more than here", stages, [], _STAGE),
    ]


def _asleep(folder: Path) -> tuple[Row, dict[str, float]]:
    """Twenty recipes on ten workers, and the memory of a large graph."""
    run = Run(load("xen-4.17-bookworm"), Silent(), folder / "none", Cache(folder / "cache"))
    with _farm(folder / "many", _WORKERS) as note, Farm(note.address, [run]) as farm:
        rng = random.Random(20)  # noqa: S311 - the same each time
        chains = [_durations(rng) for _ in range(_RECIPES)]
        begun = time.monotonic()
        _run(farm, run, chains)
        took = time.monotonic() - begun
        whole = [sum(chain) for recipe in chains for chain in recipe]
        best = max(max(whole), sum(whole) / _WORKERS)
        before = _memory(note)
        begun = time.monotonic()
        _run(farm, run, [((0.01, 0.01), (0.01, 0.01))] * _LARGE, first=_RECIPES)
        seconds = time.monotonic() - begun
        after = _memory(note)
    more = {
        "MiB_of_scheduler": before[0],
        "MiB_of_scheduler_after_1000_stages": after[0],
        "MiB_of_a_worker": before[1],
        "MiB_of_a_worker_after_1000_stages": after[1],
        "MiB_of_client_after_1000_stages": after[2],
        "seconds_of_1000_stages_that_take_10_ms": round(seconds, 1),
    }
    return Row("20 recipes on 10 workers / the best possible", [took], [best], _SCHEDULE), more


def _durations(rng: random.Random) -> tuple[tuple[float, float], ...]:
    """Of a recipe's two chains, each a build and its finish, in seconds."""
    names = list(_REAL)
    return tuple(
        tuple(_REAL[name] / _SCALE * rng.uniform(0.6, 1.6) for name in pair)  # type: ignore[misc]
        for pair in (names[:2], names[2:])
    )


def _run(
    farm: Farm, run: Run, chains: list[tuple[tuple[float, float], ...]], first: int = 0
) -> None:
    mine = settings.code(pieces.code())

    def chain(number: int, which: int, times: tuple[float, float]) -> None:
        target = ("xen", "kernel")[which]
        build, finish = times
        asked = Sleep(f"{target}-build", number, build)
        # As a client does that knows only how long such a stage usually takes.
        first = int(_REAL[asked.stage])
        farm.ask(run, asleep, asked, {mine: 1.0, "slots": 1.0, "memory": 8.0}, first)
        farm.ask(run, asleep, Sleep(f"{target}-finish", number, finish), {mine: 1.0}, 1 << 30)

    with ThreadPoolExecutor(2 * len(chains)) as pool:
        futures = [
            pool.submit(chain, first + number, which, times)
            for number, recipe in enumerate(chains)
            for which, times in enumerate(recipe)
        ]
        for future in futures:
            future.result()


def _memory(note: service.Note) -> tuple[float, float, float]:
    """MiB of the scheduler, of the largest worker, and of this process."""

    def resident(pid: int) -> float:
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
            return round(int(next(x for x in lines if x.startswith("VmRSS")).split()[1]) / 1024, 1)
        return 0.0

    scheduler, *workers = (resident(process.pid) for process in note.processes)
    return scheduler, max(workers), resident(os.getpid())


def main() -> int:
    """Print the figures; 1 where a goal was missed."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        row, more = _asleep(folder)
        rows = [*_real(folder), row]
    show(rows, **more)
    return int(any(row.figure > row.goal for row in rows))


if __name__ == "__main__":
    sys.exit(main())
