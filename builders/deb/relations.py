# SPDX-License-Identifier: GPL-2.0-or-later
"""The relations that a package states (Policy 7), read as leniently as its author wrote them.

`finish` reads the ones that it writes by the letter; here a malformed part is passed over, as
packages of others have some, and a rule of the audit tells of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

RELATIONS = (
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Suggests",
    "Enhances",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Provides",
)
_ONE = re.compile(r"\s*([^\s:(]+)(?::[^\s(]+)?\s*(?:\(([^)]*)\))?")


def related(control: Mapping[str, str], *fields: str) -> dict[str, set[str]]:
    """Package name to its version restrictions ("" for none) in these fields, alternatives too."""
    found: dict[str, set[str]] = {}
    for field in fields:
        for part in re.split(r"[,|]", control.get(field, "")):
            if match := _ONE.match(part):
                found.setdefault(match[1], set()).add((match[2] or "").strip())
    return found
