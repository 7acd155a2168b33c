# SPDX-License-Identifier: GPL-2.0-or-later
"""What every part asks of files: digests, locks, and writes that are whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from pathlib import Path

# What link(2) says where the file system has no hard links, or these two have no file in common.
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)


def of_file(path: Path) -> str:
    """The sha256 of a file, in hexadecimal. Raises OSError where it can't be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hold(path: Path, *, make: bool = False) -> int | None:
    """A descriptor that locks the file or folder `path`; None where it is taken or gone.

    make: make the file where it is missing. The lock ends with the process,
    however that ends (flock(2)). Raises OSError where the file can't be opened.
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


def write(path: Path, text: str) -> None:
    """Put `text` into the file `path` by one rename; a failure leaves what was there.

    Raises OSError.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise


def link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, or a copy where that can't be, by one rename.

    Raises OSError.
    """
    fresh = target.with_name(f".{target.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        try:
            os.link(source, fresh)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            shutil.copyfile(source, fresh)
            shutil.copystat(source, fresh)
        fresh.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
