# SPDX-License-Identifier: GPL-2.0-or-later
"""Job slots that steps side by side share: GNU make's jobserver in a named volume.

The jobserver is a pipe that holds one byte for each job that may still start
(GNU make manual, "POSIX Jobserver Interaction"). Here it is a FIFO in a volume
that the containers have in common. As with make itself each step has one slot
that nobody can take from it; its makes take more as there are, and a step that
has ended gives its own to the others.
"""

from __future__ import annotations

import dataclasses
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit, Interrupted
from builders.ground.engine.failures import engine_errors
from builders.ground.engine.labels import labels
from builders.ground.engine.live import Live

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from builders.pipeline.run import Run

_FOLDER = "/slots"
_FIFO = f"{_FOLDER}/fifo"

OPEN = f"exec 9<>{_FIFO}\n"
MAKEFLAGS = "-j --jobserver-auth=9,9"


class Slots:
    """`run.jobs` slots for `steps` steps, kept by a small container while the block runs."""

    def __init__(self, run: Run, image: str, steps: int) -> None:
        self._run = run
        self.steps = steps
        self._free = max(0, run.jobs - steps)
        self.volume = f"dom0-debs-slots-{run.owner}-{run.recipe.name}"
        with engine_errors("sharing the job slots"):
            run.client.volumes.create(
                self.volume,
                labels=labels(run.owner, run.recipe.name, "slots"),
            )
        self._keeper = run.container(image, "slots", volumes={self.volume: _FOLDER})

    def __enter__(self) -> Self:
        self._keeper.__enter__()
        # A FIFO forgets what it holds when nobody has it open: one process keeps it so. Whoever
        # builds may be another user than the keeper.
        status = self._keeper.run(
            f"rm -f {_FIFO}; mkfifo -m 666 {_FIFO}; exec 9<>{_FIFO}\n"
            f"printf '%s' '{'+' * self._free}' >&9\n"
            "sleep 2147483647 </dev/null >/dev/null 2>&1 &",
            log=io.BytesIO(),
        )
        if status:
            self._keeper.__exit__(None, None, None)
            raise BuildError("the job slots could not be made", exit=Exit.ENGINE)
        return self

    def give(self) -> None:
        """Give a slot to the others: the step that had it compiles no more."""
        with suppress(BuildError, Interrupted):  # they are slower without it, no more
            self._keeper.run(f"printf + >{_FIFO}", log=io.BytesIO())

    def take(self) -> None:
        """Take a slot back, when a make of another step lets go of one."""
        with suppress(BuildError, Interrupted):  # one more than there should be does no harm
            self._keeper.run(f"head -c 1 <{_FIFO} >/dev/null", log=io.BytesIO())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._keeper.__exit__(kind, value, trace)
        with suppress(Exception):  # best effort: the next run's sweep takes it otherwise
            self._run.client.volumes.get(self.volume).remove(force=True)


class Turns:
    """Builds of several pipelines that compile side by side on one engine, and share its slots.

    at_once: how many. A build that ends leaves its slot to one that waits, or else to the makes of
    the others, and the next one to begin takes one back.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._free = threading.Semaphore(at_once)
        self._lock = threading.Lock()
        self._waiting = 0
        self._given = 0
        self.slots: Slots | None = None

    @contextmanager
    def turn(self, run: Run, image: str) -> Iterator[None]:
        """Wait until it may begin. Raises Interrupted where the run is stopped meanwhile."""
        self._wait(run)
        try:
            self._begin(run, image)
            yield
        finally:
            with self._lock:
                if self.slots and not self._waiting:
                    self.slots.give()
                    self._given += 1
            self._free.release()

    def _wait(self, run: Run) -> None:
        with self._lock:
            self._waiting += 1
        try:
            while not self._free.acquire(timeout=0.5):
                if run.live.stopping.is_set():
                    raise Interrupted
        finally:
            with self._lock:
                self._waiting -= 1

    def _begin(self, run: Run, image: str) -> None:
        with self._lock:
            if self._at_once > 1 and self.slots is None:
                # Of no run that may fail alone: the others go on with it.
                its = dataclasses.replace(run, live=Live())
                self.slots = Slots(its, image, self._at_once).__enter__()
            take = self._given > 0
            self._given -= take
        if take and self.slots:
            self.slots.take()

    def close(self) -> None:
        """Let go of the slots, when all builds have ended."""
        if self.slots:
            self.slots.__exit__(None, None, None)
            self.slots = None
