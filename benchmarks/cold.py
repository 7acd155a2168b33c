# SPDX-License-Identifier: GPL-2.0-or-later
"""build-all with an empty ccache, against the processor time of its containers over the cores.

The peer is what the same work would take were every core busy with it from the first second to the
last. Both begin with the image and the sources at hand. The engine forgets what a container used
together with the container, so it is asked again and again; what a container used after the last
answer, some half a second on each core, is not in the peer.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker.errors

from benchmarks.machine import Row, show
from builders.ground.engine.labels import LABEL
from builders.ground.sources.cache import Cache
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.pipeline.steps import ccache
from builders.progress import Silent
from builders.verbs import builds

_RECIPE, _FLAVOUR = "xen-4.17-bookworm", "minimal"
_GOAL = 1.1
_BETWEEN = 0.5  # seconds between two readings


class Used:
    """Reads, until it is left, how much processor time the containers of a recipe have used."""

    def __init__(self, run: Run) -> None:
        self._client = run.client
        self._own: dict[str, str | list[str] | bool] = {
            "label": f"{LABEL}.recipe={run.recipe.name}"
        }
        self._seconds: dict[str, float] = {}  # container -> processor time at the last reading
        self._done = threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Used:
        self._watching = self._pool.submit(self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watching.result()  # a figure of a part of the time would be a wrong one

    @property
    def seconds(self) -> float:
        """Processor time of all containers that were seen."""
        return sum(self._seconds.values())

    def _watch(self) -> None:
        while not self._done.wait(_BETWEEN):
            for container in self._client.containers.list(filters=self._own, ignore_removed=True):
                try:
                    read = container.stats(stream=False, one_shot=True)
                except (docker.errors.NotFound, ValueError):  # of one that ends it says nothing
                    continue
                assert isinstance(read, dict)  # as stream is false
                used = read["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
                key = str(container.id)
                self._seconds[key] = max(used, self._seconds.get(key, 0.0))


def main() -> int:
    """Print the figures; 1 where the goal was missed."""
    with tempfile.TemporaryDirectory() as temporary:
        run = Run(load(_RECIPE), Silent(), Path(temporary) / _RECIPE, Cache.default())
        builds.make_image(run)
        builds.fetch(run)
        try:
            with Used(run) as used:
                begun = time.monotonic()
                builds.build(run, _FLAVOUR)
                seconds = time.monotonic() - begun
        finally:
            if ccache.there(run):
                run.client.volumes.get(ccache.volume(run)).remove(force=True)
    least = used.seconds / len(os.sched_getaffinity(0))
    row = Row("build-all, cold / containers' CPU time by cores", [seconds], [least], _GOAL)
    show([row])
    return int(row.figure > row.goal)


if __name__ == "__main__":
    sys.exit(main())
