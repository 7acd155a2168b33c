# SPDX-License-Identifier: GPL-2.0-or-later
"""Text that may be shown: nothing in it moves a cursor or hides other text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import AnyStr


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """Seconds as people say them, in two units at most: 45 s, 6 min, 2 h 10 min."""
    if seconds < 90:
        return f"{round(seconds)} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    words = [f"{hours} h"] if hours else []
    return " ".join([*words, f"{minutes} min"] if minutes or not hours else words)


def day(seconds: float) -> str:
    """The day of a time since 1970, as ISO 8601 has it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def moment(seconds: float) -> str:
    """A time since 1970 to the second, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def columns(
    rows: Sequence[Sequence[str]], last: Callable[[str, int], str] = lambda text, _: text
) -> list[str]:
    """A line for each row: every column as wide as it needs, with two spaces between.

    last: how the last cell of a row is written, given it and the column that it begins in.
    """
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]) - 1)] if rows else []
    indent = sum(widths) + 2 * len(widths)
    return [
        "  ".join(
            [*(c.ljust(w) for c, w in zip(row, widths, strict=False)), last(row[-1], indent)]
        ).rstrip()
        for row in rows
    ]


def nearest(word: str, words: Iterable[str]) -> str:
    """ " (did you mean ...?)" where one of `words` is much like `word`, else nothing."""
    import difflib  # for mistakes alone

    near = difflib.get_close_matches(word, list(words), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def amount(size: float) -> str:
    """So many bytes with a unit, such as 9.3 MiB."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def printable(text: str) -> str:
    """`text` with control characters, which could move the cursor, made spaces."""
    if text.isprintable():  # nearly always: nothing is built anew then
        return text
    return "".join(c if c.isprintable() else " " for c in text)


def cut(text: str, limit: int = 400) -> str:
    """`text` for a message: without its middle where it has more than `limit` characters."""
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]} ... {text[-half:]}"


# Control characters but line feed and tab (C0, C1), what changes the direction of text or shows
# nothing (bidi, zero width, tags), surrogates.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff0-\ufffb\U000e0000-\U000e0fff]"
)


def passages(text: AnyStr, start: re.Pattern[AnyStr], end: AnyStr) -> Iterator[tuple[int, int]]:
    """Where the passages of a text begin and end: from a match of `start` to the next `end`.

    In one pass, whatever the text: a pattern with .*? would look for each end anew.
    """
    at = 0
    while match := start.search(text, at):
        stop = text.find(end, match.end())
        if stop < 0:
            return
        at = stop + len(end)
        yield match.start(), at


def plain(text: str) -> str:
    """`text` of several lines, in which nothing moves a cursor, hides or turns around others."""
    return _HIDDEN.sub(" ", text)
