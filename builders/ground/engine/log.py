# SPDX-License-Identifier: GPL-2.0-or-later
"""The log of a step, and the lines in it that say why the step failed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from builders.text import printable

_TAIL = 15  # lines of a log that an error shows
_ERROR = re.compile(
    r"(?:^|[\s:])(?:fatal )?error:|No space left on device|undefined reference|Hunk #\d+ FAILED"
    r"|^E: |cannot find|command not found|: not found$|Killed",
)
_WIDTH = 400  # characters of a line that are looked at


def excerpt(log: Path) -> str:
    """The first error in a log, and its last lines."""
    first: list[str] = []
    before: deque[str] = deque(maxlen=3)
    tail: deque[tuple[int, str]] = deque(maxlen=_TAIL)
    at = count = 0
    for count, line in enumerate(lines(log), 1):
        if not first and _ERROR.search(line):
            first, at = [*before, line], count
        before.append(line)
        tail.append((count, line))
    last = [line for _, line in tail]
    if first and at < count - len(last) + 1:
        last = [*first, "  [...]", *last]
    return "\n".join(map(printable, last))


def lines(log: Path) -> Iterator[str]:
    """The lines of a log, each cut where it is longer than anybody reads."""
    with log.open("r", encoding="utf-8", errors="replace") as text:
        yield from _cut(text)


def _cut(lines: TextIO) -> Iterator[str]:
    """The beginnings of all lines; one that never ends is not held in memory."""
    begins = True
    while part := lines.readline(_WIDTH):
        if begins:
            yield part.rstrip("\n")
        begins = part.endswith("\n")
