# SPDX-License-Identifier: GPL-2.0-or-later
"""What every part asks of files: digests, locks, and writes that are whole or not at all.

Folders for what is needed for a moment are here too, with what a run that was killed left of them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What link(2) says where the file system has no hard links, or these two have no file in common.
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)


def of_file(path: Path) -> str:
    """The sha256 of a file, in hexadecimal. Raises OSError where it can't be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def small(path: Path, limit: int) -> bytes:
    """The first `limit` bytes of a plain file, and one more where it is larger.

    Raises OSError where it can't be read, or is none: nobody waits for a pipe that has no writer.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        return stream.read(limit + 1)


def hold(path: Path, *, make: bool = False, wait: bool = False) -> int | None:
    """A descriptor that locks the file or folder `path`; None where it is taken or gone.

    make: make the file where it is missing. wait: until it is free, where it is taken. The lock
    ends with the process, however that ends (flock(2)). Raises OSError where the file can't be
    opened.
    """
    try:
        held = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o644)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
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


@contextmanager
def scratch(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A folder in `parent` (default: that of tempfile) that is gone after the block.

    prefix: of its name; what killed runs of this user left under the same one goes first. A run
    that is at work holds a lock on its folder, which ends with it, however it ends (flock(2)).
    Raises OSError where no folder can be made.
    """
    place = parent or Path(tempfile.gettempdir())
    sweep(prefix, place)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        held = hold(folder)
        if held is not None:  # otherwise another run's sweep came between: take another one
            break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Where to write a file that becomes `path`, by one rename, where the block ends well.

    It lies in a folder beside it, which goes in any case; also what a killed run left there.
    Raises OSError.
    """
    with scratch(f".{path.name}.", path.parent) as folder:
        yield folder / path.name
        (folder / path.name).replace(path)


def sweep(prefix: str, place: Path) -> None:
    """Remove the folders below `place` whose names begin so and that no running process holds.

    Only this user's, and no link: in a folder that all may write, others make names too.
    """
    for folder in place.glob(f"{glob.escape(prefix)}*"):
        try:
            if folder.is_symlink() or not folder.is_dir() or folder.lstat().st_uid != os.geteuid():
                continue
            held = hold(folder)
        except OSError:
            continue
        if held is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)
