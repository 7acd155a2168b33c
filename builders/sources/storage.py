# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cache's file system is asked for: locks, bytes that stay, and errors that say more."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from pathlib import Path

from builders.errors import BuildError, Exit

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
        room = f", {_amount(shutil.disk_usage(where).free)} free"
    need = f" (needed: {_amount(needed)}{room})" if needed is not None else room
    return BuildError(
        f"no room to write in {where}: {why}{need}",
        hint="free some space, or set XDG_CACHE_HOME to a folder on another disk; "
        "what has arrived is kept, and the next run goes on from there",
        exit=Exit.SOURCE,
    )


def hold(path: Path, *, make: bool = False) -> int | None:
    """A descriptor that locks the file or folder `path`; None where it is taken or gone.

    make: make the file where it is missing. The lock ends with the process,
    however that ends (flock(2)).
    """
    try:
        held = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o644)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The last holder may have removed it between the open and the lock.
        if os.path.samestat(os.fstat(held), path.stat()):
            return held
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(held)
        raise
    os.close(held)
    return None


def sync(path: Path) -> None:
    """Wait until the bytes of a file are on the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _amount(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / (1 << 20):.1f} MiB" if size >= 1 << 20 else f"{size} bytes"
