# SPDX-License-Identifier: GPL-2.0-or-later
"""Durable writes for the cache, and errors of its disk as BuildError."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

from builders.errors import BuildError, Exit
from builders.text import amount

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def storage_error(error: OSError, where: Path, needed: int | None = None) -> BuildError:
    """The BuildError for a failed write below `where`; `needed` is in bytes."""
    why = error.strerror or type(error).__name__
    if error.errno not in _FULL:
        return BuildError(
            f"{where} cannot be written: {why}",
            hint="make it writable, or set XDG_CACHE_HOME to another folder",
            exit=Exit.SOURCE,
        )
    room = ""
    with contextlib.suppress(OSError):
        room = f", {amount(shutil.disk_usage(where).free)} free"
    need = f" (needed: {amount(needed)}{room})" if needed is not None else room
    return BuildError(
        f"no room to write in {where}: {why}{need}",
        hint="free some space, or set XDG_CACHE_HOME to a folder on another disk; "
        "what has arrived is kept, and the next run goes on from there",
        exit=Exit.SOURCE,
    )


def sync(path: Path) -> None:
    """Wait until the bytes of a file are on the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
