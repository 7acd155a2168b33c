# SPDX-License-Identifier: GPL-2.0-or-later
"""build-xen against the same commands typed into `docker run` on the same image.

Both begin with the image and the sources at hand, compile everything anew
(ccache is off) and end with the raw package on this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import Row, table
from builders import image, verbs
from builders.cache import Cache
from builders.progress import Silent
from builders.recipe import load
from builders.run import Run
from builders.stages import Store

_RECIPE = "xen-4.17-bookworm"
_RUNS = 2
_GOAL = 1.02


def _ours(folder: Path) -> float:
    """Seconds of the xen-build stage: container, sources in, build, packages out."""
    overrides = ["builder.memory=8", 'xen.build=["export CCACHE_DISABLE=1", "make debball"]']
    run = Run(load(_RECIPE, overrides), Silent(), folder, Cache.default())
    verbs.build(run, "minimal", ["xen"])
    made = Store(folder / "stages").latest("xen-build")
    assert made is not None
    shutil.rmtree(folder)
    return made.seconds


def _peer(name: str, tarball: Path, configure: str, folder: Path) -> float:
    """Seconds of the same by hand."""
    script = (
        "mkdir /build/tree && cd /build/tree && tar --strip-components=1 -xf - && "
        "echo PYTHON_PREFIX_ARG=--install-layout=deb >.config && "
        f"{configure} >/dev/null && make -j{os.cpu_count()} debball >/dev/null 2>&1 && "
        "cat dist/*.deb"
    )
    command = ["docker", "run", "--rm", "-i", "--network=none", "--user=1000", "--init=false"]
    command += ["-e", "CCACHE_DISABLE=1", "-e", "HOME=/home/builder", "-e", "LC_ALL=C.UTF-8"]
    command += ["-e", "PATH=/usr/lib/ccache:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    begun = time.monotonic()
    unpacked = subprocess.Popen(["xz", "-dc", str(tarball)], stdout=subprocess.PIPE)
    with (folder / "raw.deb").open("wb") as out:
        subprocess.run(
            [*command, name, "sh", "-c", script], check=True, stdin=unpacked.stdout, stdout=out
        )
    unpacked.wait()
    return time.monotonic() - begun


def main() -> int:
    """Print the figures; 1 where the goal was missed."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = Run(load(_RECIPE), Silent(), folder / "artifacts", Cache.default())
        name = verbs.make_image(run).name
        fetched = verbs.fetch(run)["xen"]
        tarball = next(f.path for f in fetched.files if ".orig.tar." in f.name)
        configure = run.recipe.xen.configure[0]
        assert image.name(run.recipe) == name
        ours, peer = [], []
        for _ in range(_RUNS):
            ours.append(_ours(folder / "ours"))
            peer.append(_peer(name, tarball, configure, folder))
    row = Row("build-xen (raw package) / docker run", ours, peer, _GOAL)
    print(table([row]))
    return int(row.figure > row.goal)


if __name__ == "__main__":
    sys.exit(main())
