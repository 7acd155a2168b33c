# SPDX-License-Identifier: GPL-2.0-or-later
"""build-kernel with a ccache that has all of it, against one that has nothing.

Both are the stage in which the minimal kernel is built, from the container's start to the raw
packages, in one folder of artifacts: its stages are removed in between, and ccache stays.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import Row, show
from builders.ground.sources.cache import Cache
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.pipeline.stages import Store
from builders.pipeline.steps import ccache
from builders.progress import Silent
from builders.verbs import builds

_RECIPE, _FLAVOUR = "xen-4.17-bookworm", "minimal"
_GOAL = 0.15


def _seconds(run: Run) -> float:
    """Seconds of the stage, which is removed again."""
    stages = run.folder / "stages"
    builds.build(run, _FLAVOUR, ["kernel"])
    (made,) = Store(stages).all(f"kernel-{_FLAVOUR}-build")
    shutil.rmtree(stages)
    return made.seconds


def main() -> int:
    """Print the figures; 1 where the goal was missed."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / _RECIPE

        def run() -> Run:
            return Run(load(_RECIPE), Silent(), folder, Cache.default())

        builds.make_image(run())
        builds.fetch(run())
        try:
            cold = _seconds(run())
            hot = _seconds(run())
        finally:
            words = ["docker", "volume", "rm", "--force", ccache.volume(run())]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    row = Row("build-kernel, all of it in ccache / nothing", [hot], [cold], _GOAL)
    show([row])
    return int(row.figure > row.goal)


if __name__ == "__main__":
    sys.exit(main())
