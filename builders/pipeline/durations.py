# SPDX-License-Identifier: GPL-2.0-or-later
"""How long work took the last time, for a word before it begins again.

One small file for each recipe, beside its artifacts like their lock, so that it outlives a clean.
Nothing is made from it: one that is missing or damaged is no memory, and one that cannot be written
is left.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from builders import documents
from builders.files import write
from builders.pipeline.run import Run
from builders.text import clock, duration

_LARGEST = 1 << 16  # bytes
_NOTING = threading.Lock()  # two builds at once write one file


def file(folder: Path) -> Path:
    """Where the durations of the recipe with these artifacts are."""
    return folder.with_name(f".{folder.name}.durations.json")


def read(folder: Path) -> dict[str, float]:
    """Of each work that ended well, the seconds that it took the last time."""
    try:
        with file(folder).open("rb") as stream:
            seconds = documents.parse(stream.read(_LARGEST + 1), _LARGEST)
        return {
            work: float(value)
            for work, value in seconds.items()
            if isinstance(value, (int, float)) and math.isfinite(value) and value >= 0
        }
    except (OSError, ValueError, AttributeError):
        return {}


def note(folder: Path, work: str, seconds: float) -> None:
    """Remember how long `work` took."""
    with _NOTING, suppress(OSError):
        every = read(folder) | {work: round(seconds, 1)}
        write(file(folder), json.dumps(every, indent=1, sort_keys=True) + "\n")


def expected(folder: Path, work: str) -> str:
    """What there is to say of `work` before it begins."""
    seconds = read(folder).get(work)
    if seconds is None:
        return "never done here, so nobody knows how long it takes"
    return f"took {duration(seconds)} the last time here"


def announce(run: Run, works: Sequence[str]) -> None:
    """Say of each work that is about to begin how long it took the last time."""
    for work in works:
        run.reporter.line(f"{work}: to be done; {expected(run.folder, work)}")


@contextmanager
def timed(run: Run, work: str, *, again: bool = True) -> Iterator[None]:
    """Say before the block how long it took the last time, and after it how long it took now.

    again: the same is done again one day, so that how long it takes is worth remembering. A block
    that ends with an exception is not remembered.
    """
    if again:
        announce(run, [work])
    begun = time.monotonic()
    yield
    seconds = time.monotonic() - begun
    if again:
        note(run.folder, work, seconds)
    run.reporter.line(f"{work}: done in {clock(seconds)}")
