# SPDX-License-Identifier: GPL-2.0-or-later
"""Job slots that steps side by side share: GNU make's jobserver in a named volume.

The jobserver is a pipe that holds one byte for each job that may still start
(GNU make manual, "POSIX Jobserver Interaction"). Here it is a FIFO in a volume
that the containers have in common. A step takes one slot for itself and its
makes take more as there are; a step that ends gives its slot to the others.
"""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

from builders.container import engine_errors, labels
from builders.errors import BuildError, Exit

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from builders.run import Run

_FOLDER = "/slots"
_FIFO = f"{_FOLDER}/fifo"

TAKE = f"exec 9<>{_FIFO}; head -c1 <&9 >/dev/null; trap 'printf + >&9' EXIT\n"
MAKEFLAGS = "-j --jobserver-auth=9,9"


class Slots:
    """`run.jobs` slots, kept by a small container for as long as the block runs."""

    def __init__(self, run: Run, image: str) -> None:
        self._run = run
        self.volume = f"dom0-debs-slots-{run.owner}-{run.recipe.name}"
        with engine_errors("sharing the job slots"):
            run.client.volumes.create(
                self.volume,
                labels=labels(run.owner, run.recipe.name, "slots"),
            )
        self._keeper = run.container(image, "slots", volumes={self.volume: _FOLDER})

    def __enter__(self) -> Self:
        self._keeper.__enter__()
        # A FIFO forgets what it holds when nobody has it open: one process keeps it so.
        status = self._keeper.run(
            f"rm -f {_FIFO}; mkfifo {_FIFO}; exec 9<>{_FIFO}\n"
            f"printf '{'+' * self._run.jobs}' >&9\n"
            "sleep 2147483647 </dev/null >/dev/null 2>&1 &",
            log=io.BytesIO(),
        )
        if status:
            self._keeper.__exit__(None, None, None)
            raise BuildError("the job slots could not be made", exit=Exit.ENGINE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._keeper.__exit__(kind, value, trace)
        with suppress(Exception):  # best effort: the next run's sweep takes it otherwise
            self._run.client.volumes.get(self.volume).remove(force=True)
