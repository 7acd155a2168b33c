# SPDX-License-Identifier: GPL-2.0-or-later
"""What a systemd unit says of its start (systemd.unit(5)), read in one pass."""

from __future__ import annotations

import re

# No repeat crosses a line, so that the time grows with the text alone.
_LINE = re.compile(r"^[ \t]*(?:\[([^\]\n]*)\]|(WantedBy|RequiredBy)[ \t]*=[ \t]*[^\s])", re.M)


def has_install(text: str) -> bool:
    """Whether a unit has an [Install] section: without one, others start it."""
    return any(match[1] == "Install" for match in _LINE.finditer(text))


def starts_at_boot(text: str) -> bool:
    """Whether the [Install] section of a unit names a target that starts it."""
    section = ""
    for match in _LINE.finditer(text):
        if match[2] is None:
            section = match[1]
        elif section == "Install":
            return True
    return False
