# SPDX-License-Identifier: GPL-2.0-or-later
"""How Dask.distributed is set for a farm, the same on all of its machines."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager

TRIES = 3  # of one piece of work whose worker dies, the first one included
ARCHITECTURE = "arch-amd64"  # a resource: what all recipes are built for, by Debian's name
_SETTINGS = {
    # How many workers may die of a task before it is given up.
    "distributed.scheduler.allowed-failures": TRIES - 1,
    # A worker that says nothing for this long is given up. Dask looks once in such a time, so
    # that one which hangs is noticed after 60 s at the latest; its own default is 5 minutes.
    "distributed.scheduler.worker-ttl": "30s",
    # What a worker holds of tasks to come is better left for one that has nothing to do.
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.unknown-task-duration": "600s",
    "distributed.comm.timeouts.connect": "10s",
    "distributed.comm.timeouts.tcp": "30s",
    "distributed.worker.daemon": False,
    "distributed.worker.profile.enabled": False,
}


def applied() -> AbstractContextManager[object]:
    """The settings hold in the block, whatever a file of the user's says."""
    import dask

    block: AbstractContextManager[object] = dask.config.set(_SETTINGS)
    return block


def quiet() -> None:
    """Let Dask say nothing on standard error: what it has to say is an error of ours.

    Each of its loggers has a level of its own, set when it is imported.
    """
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("asyncio", "distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def code(digest: str) -> str:
    """The resource that only workers of this version have."""
    return f"code-{digest}"
