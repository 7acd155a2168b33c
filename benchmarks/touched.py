# SPDX-License-Identifier: GPL-2.0-or-later
"""build-xen of a tree in which one file of the hypervisor changed, against make typed there.

Ours is `./inv build-xen --tree xen=FOLDER --keep-tree`, from the command to the finished package.
The peer runs the recipe's own build lines in a plain container that has the same kept tree and the
same ccache, after the same change, and stops at the raw package.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import Row, show
from builders import ROOT
from builders.ground.engine.container import BUILDER, ENVIRONMENT
from builders.ground.sources.cache import Cache
from builders.pipeline import xen
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.pipeline.steps import ccache, kept
from builders.progress import Silent
from builders.verbs import builds

_RECIPE = "xen-4.17-bookworm"
_FILE = "xen/common/domain.c"
_RUNS = 3
_SECONDS, _RATIO = 40.0, 1.3


def _tree(folder: Path, run: Run) -> Path:
    """The tree of the recipe's source in a folder, as a person has it."""
    (packed,) = (f for f in builds.fetch(run)["xen"].files if ".orig.tar." in f.name)
    tree = folder / "xen"
    tree.mkdir()
    words = ["tar", "-C", str(tree), "--strip-components=1", "-xf", str(packed.path)]
    subprocess.run(words, check=True)
    return tree


def _build(tree: Path) -> float:
    begun = time.monotonic()
    words = ["build-xen", "--recipe", _RECIPE, "--tree", f"xen={tree}", "--keep-tree"]
    subprocess.run([str(ROOT / "inv"), *words], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begun


def _make(run: Run, image: str) -> float:
    """The same change and the same lines in the kept tree, by hand."""
    plan = xen.describe(run.recipe)
    jobs = str(os.cpu_count())
    script = next(phase.script for phase in plan.phases if phase.name == "build")
    change = f"rm -f dist/*.deb\necho '/* by hand {time.time()} */' >>{_FILE}\n"
    command = ["docker", "run", "--rm", "--network=none", f"--user={BUILDER}"]
    command += [f"--volume={kept.volume(run, plan)}:{plan.work}"]
    command += [f"--volume={ccache.volume(run)}:/ccache", f"--workdir={plan.work}/tree"]
    command += [f"--env={key}={value}" for key, value in ENVIRONMENT.items()]
    command += [f"--env=JOBS={jobs}", f"--env=MAKEFLAGS=-j{jobs}", image]
    begun = time.monotonic()
    subprocess.run(
        [*command, "sh", "-ec", change + script],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.monotonic() - begun


def main() -> int:
    """Print the figures; 1 where a goal was missed."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["DOM0_DEBS_ARTIFACTS"] = str(folder / "artifacts")
        run = Run(load(_RECIPE), Silent(), folder / "artifacts" / _RECIPE, Cache.default())
        tree = _tree(folder, run)
        image = builds.make_image(run).name
        volumes = [kept.volume(run, xen.describe(run.recipe)), ccache.volume(run)]
        ours, peer = [], []
        try:
            _build(tree)  # all of it, once
            for number in range(_RUNS):
                with (tree / _FILE).open("a") as file:
                    file.write(f"/* {number} */\n")
                ours.append(_build(tree))
                peer.append(_make(run, image))
        finally:
            words = ["docker", "volume", "rm", "--force", *volumes]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    rows = [
        Row("one file of the hypervisor changed", ours, [], _SECONDS),
        Row("the same / make in the kept tree", ours, peer, _RATIO),
    ]
    show(rows)
    return int(any(row.figure > row.goal for row in rows))


if __name__ == "__main__":
    sys.exit(main())
