# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of a kernel, as its .config or a fragment of one writes them."""

from __future__ import annotations

import re

_SET = re.compile(r"^(CONFIG_\w+)=(.*)$")
_UNSET = re.compile(r"^# (CONFIG_\w+) is not set$")


def assigned(text: str) -> dict[str, str]:
    """The options of a .config that are set, each with its value as it is written there."""
    return {option: value for option, value in options(text).items() if value != "n"}


def options(text: str) -> dict[str, str]:
    """The options of a .config or a fragment; "n" stands for one that is not set."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := _SET.match(line.strip()):
            found[match[1]] = match[2]
        elif match := _UNSET.match(line.strip()):
            found[match[1]] = "n"
    return found
