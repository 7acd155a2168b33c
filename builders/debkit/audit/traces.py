# SPDX-License-Identifier: GPL-2.0-or-later
"""What a build left of itself in the files: the folders that it ran in.

Such a path is wrong on every other box, gives away who built it, and makes two builds differ.
"""

from __future__ import annotations

import re

_OVERLAP = 160  # bytes that are kept of a part, for a path across two
_MOST = 20  # of one file
# Only what is clear: a folder of a person with something below it, or of a builder.
# Looked for first: with one byte that every match begins with, re passes over the rest at the
# speed of memchr(3).
_BEGIN = re.compile(rb"/(?:home|builds?|buildd|root)/")
_PATHS = re.compile(
    rb"(?<![\w.~}$%/:@-])(?:/home/[a-z_][a-z0-9_.-]{0,31}|/builds?|/(?:tmp|var/tmp|srv|mnt)/buildd"
    rb"|/root)/[\w.+~-]{2,64}(?:/[\w.+~-]{1,64}){1,8}",
    re.ASCII,
)
# Texts speak of paths; so do samples.
_ASIDE = re.compile(r"/usr/share/(doc|man|info|help|locale|lintian|games|vim)/|/usr/lib/debug/")


def worth(path: str, head: bytes) -> bool:
    """Whether a file is one that a build makes: an object, or what is read while building."""
    if _ASIDE.match(path):
        return False
    return head.startswith((b"\x7fELF", b"!<arch>\n")) or path.endswith(
        (".pc", ".la", ".cmake", ".pyc", ".mk", "-config")
    )


class Search:
    """The paths in a file that goes by once."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._rest = b""

    def feed(self, part: bytes | memoryview) -> None:
        """The next bytes of the file."""
        if self._rest:
            self._look(self._rest + bytes(part[:_OVERLAP]), len(part) <= _OVERLAP)
        self._look(part, False)
        last = bytes(part[-_OVERLAP:])
        self._rest = (self._rest + last)[-_OVERLAP:] if len(last) < _OVERLAP else last

    def _look(self, data: bytes | memoryview, last: bool) -> None:
        if len(self.found) >= _MOST or not _BEGIN.search(data):
            return
        for match in _PATHS.finditer(data):
            # What ends with the part may go on in the next: that is seen across the two.
            if last or match.end() < len(data) or len(data) <= _OVERLAP:
                self.found.add(match[0].decode())
            if len(self.found) >= _MOST:
                return
