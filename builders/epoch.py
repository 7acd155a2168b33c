# SPDX-License-Identifier: GPL-2.0-or-later
"""A time in seconds since 1970, as others state it."""

from __future__ import annotations

import re

LAST = 0o77777777777  # the last one that the header of a tar archive has room for: in 2242


def parse(text: str) -> int:
    """The time that `text` states, in seconds since 1970. Raises ValueError where it is none.

    Only ASCII digits, at most eleven of them (reproducible-builds.org, SOURCE_DATE_EPOCH), and no
    time that an archive cannot hold.
    """
    if not re.fullmatch(r"[0-9]{1,11}", text) or int(text) > LAST:
        raise ValueError(f"no time between 1970 and 2242: {text[:40]!r}")
    return int(text)
