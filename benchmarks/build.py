# SPDX-License-Identifier: GPL-2.0-or-later
"""build-xen against the same commands typed into `docker run` on the same image.

The peer runs the very scripts of the plan's phases, one after the other in one shell, in a plain
container. Both begin with the image and the sources at hand, compile everything anew (ccache is
off) and end with what the last phase leaves, on this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import Row, show
from builders.ground.engine.container import BUILDER, ENVIRONMENT
from builders.ground.sources.cache import Cache
from builders.ground.suite import image
from builders.pipeline import xen
from builders.pipeline.plan import OUT, TREE, WORK, Plan, patch_files
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.pipeline.stages import Store
from builders.progress import Silent
from builders.verbs import builds

if TYPE_CHECKING:
    from builders.ground.sources.cache import Fetched

_RECIPE = "xen-4.17-bookworm"
_OVERRIDES = ["builder.memory=8", 'xen.build=["export CCACHE_DISABLE=1", "make debball"]']
_RUNS = 2
_GOAL = 1.02


def _ours(folder: Path) -> float:
    """Seconds of the xen-build stage: container, sources in, build, packages out."""
    run = Run(load(_RECIPE, _OVERRIDES), Silent(), folder, Cache.default())
    builds.build(run, "minimal", ["xen"])
    (made,) = Store(folder / "stages").all("xen-build")
    shutil.rmtree(folder)
    return made.seconds


def _peer(name: str, plan: Plan, sources: Path, folder: Path) -> float:
    """Seconds of the same by hand: `sources` goes in as a tar archive, the result comes out."""
    jobs = str(os.cpu_count())
    phases = [f"(cd {phase.folder}\n{phase.script}) >&2\n" for phase in plan.phases]
    script = f"set -e\nexport JOBS={jobs} MAKEFLAGS=-j{jobs}\nmkdir -p {TREE}\n"
    script += f"tar -C {WORK} -xf -\n" + "".join(phases) + f"tar -C {OUT} -c .\n"
    command = ["docker", "run", "--rm", "-i", "--network=none", f"--user={BUILDER}"]
    command += [f"--env={key}={value}" for key, value in ENVIRONMENT.items()]
    begun = time.monotonic()
    packed = subprocess.Popen(["tar", "-C", str(sources), "-c", "."], stdout=subprocess.PIPE)
    with (folder / "out.tar").open("wb") as out, (folder / "log").open("wb") as log:
        subprocess.run(
            [*command, name, "sh", "-c", script],
            check=True,
            stdin=packed.stdout,
            stdout=out,
            stderr=log,
        )
    packed.wait()
    subprocess.run(["tar", "-C", str(folder), "-xf", str(folder / "out.tar")], check=True)
    return time.monotonic() - begun


def _lay_out(plan: Plan, fetched: Mapping[str, Fetched], folder: Path) -> None:
    """The sources, files and patches as the step finds them below /build."""
    for source in plan.sources:
        (folder / "in" / source).mkdir(parents=True)
        for file in fetched[source].files:
            shutil.copy(file.path, folder / "in" / source / file.name)
    patches = {f"patches/{name}": content for name, content in patch_files(plan.patches)}
    for path, content in {**plan.files, **patches}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def main() -> int:
    """Print the figures; 1 where the goal was missed."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = Run(load(_RECIPE, _OVERRIDES), Silent(), folder / "artifacts", Cache.default())
        name = builds.make_image(run).name
        assert image.name(run.recipe) == name
        plan = xen.describe(run.recipe)
        _lay_out(plan, builds.fetch(run), folder / "sources")
        ours, peer = [], []
        for _ in range(_RUNS):
            ours.append(_ours(folder / "ours"))
            peer.append(_peer(name, plan, folder / "sources", folder))
    row = Row("build-xen (raw package) / docker run", ours, peer, _GOAL)
    show([row])
    return int(row.figure > row.goal)


if __name__ == "__main__":
    sys.exit(main())
