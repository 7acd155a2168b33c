# SPDX-License-Identifier: GPL-2.0-or-later
"""Folders for what is needed for a moment, and what a run that was killed left of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builders.files import hold


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


def sweep(prefix: str, place: Path) -> None:
    """Remove the folders below `place` whose names begin so and that no running process holds.

    Only this user's, and no link: in a folder that all may write, others make names too.
    """
    for folder in place.glob(f"{prefix}*"):
        try:
            if folder.is_symlink() or not folder.is_dir() or folder.lstat().st_uid != os.geteuid():
                continue
            held = hold(folder)
        except OSError:
            continue
        if held is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)
