# SPDX-License-Identifier: GPL-2.0-or-later
"""The words of a verb without Invoke, which takes longer to load than a package to audit.

Only what is plainly meant is read here. Everything else, mistakes and --help too, is left to
Invoke, which has the same options (`option`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from builders.verbs.option import Option


def read(words: Sequence[str], options: Mapping[str, Option]) -> dict[str, Any] | None:
    """What the words after a verb ask for, by field; None where Invoke is to say."""
    flags = {option.flag: option for option in options.values() if not option.words}
    free = next((option.name for option in options.values() if option.words), "")
    values: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            name, value, many = free, word, True
        else:
            flag, equals, value = word.partition("=")
            option = flags.get(flag)
            if option is None or option.kind in (int, float):
                return None
            name, many = option.name, option.kind is list
            if option.kind is bool:
                if equals:
                    return None
                values[name] = True
                continue
            if not equals:
                value = next(rest, "")
        if not name or not value or value.startswith("-") or (name in values and not many):
            return None
        if many:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    return values
