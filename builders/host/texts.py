# SPDX-License-Identifier: GPL-2.0-or-later
"""The texts that each package carries, in the form that Policy wants."""

from __future__ import annotations

import gzip
import textwrap
from collections.abc import Sequence
from email.utils import formatdate


def wrapped(sentences: Sequence[str], width: int = 76) -> list[str]:
    """Sentences as the lines of an extended description (Policy 5.6.13), one paragraph."""
    return textwrap.wrap(" ".join(sentences), width, break_long_words=False, break_on_hyphens=False)


def changelog(
    package: str, version: str, suite: str, changes: Sequence[str], maintainer: str, when: int
) -> str:
    """One entry (Policy 4.4). when: seconds since 1970."""
    items = []
    for change in changes:
        items += textwrap.wrap(
            change, 76, initial_indent="  * ", subsequent_indent="    ", break_long_words=False
        )
    date = formatdate(when, localtime=False)
    head = f"{package} ({version}) {suite}; urgency=medium"
    return "\n".join([head, "", *items, "", f" -- {maintainer}  {date}", ""])


def gzipped(text: str) -> bytes:
    """As Policy 12.7 wants it: gzip -9n, no name and no time in it."""
    return gzip.compress(text.encode(), 9, mtime=0)
