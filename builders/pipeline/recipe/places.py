# SPDX-License-Identifier: GPL-2.0-or-later
"""In which line of a file a key of TOML stands, which the reader of TOML does not tell."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from builders import documents

_HEADER = re.compile(r"\s*\[(\[?)(.+?)\]{1,2}\s*(#.*)?")
_KEY = re.compile(r"""\s*((?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+|\s|\.)+?)\s*=""")
_INDEX = re.compile(r"\[[0-9]+\]")
_QUOTES = re.compile(r"""\"{3}|'{3}""")
_LONGEST = 500  # characters of a header or a key that is looked at


def line(path: Path, key: str) -> int:
    """The line, from 1 on, in which a file states a dotted key, or the table that lacks it.

    0 where it can't be told. Entries of a list count as their key: `a.b[2].c` is looked for in the
    third table of that name, else at `a.b`.
    """
    try:
        if not path.is_file() or path.stat().st_size > documents.LARGEST_TOML:
            return 0
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    places = _places(text)
    steps = _steps(_INDEX.sub("", key))
    wanted = [f"{key}", *([".".join(steps)] if steps else [])]
    for name in wanted:
        if found := places.get(name):
            return found
    while steps:
        if found := places.get(".".join(steps)):
            return found
        steps.pop()
    return 0


def _places(text: str) -> dict[str, int]:
    """Keys and tables -> the line of each; the entries of a list of tables have their number."""
    places: dict[str, int] = {}
    counts: dict[str, int] = {}
    table, numbered, inside = "", "", ""
    for number, content in enumerate(text.split("\n"), 1):
        if inside:
            inside = "" if content.count(inside) % 2 else inside
            continue
        match = _HEADER.fullmatch(content[:_LONGEST])
        if match and (steps := _steps(match[2])):
            table = numbered = ".".join(steps)
            if match[1]:
                numbered = f"{table}[{counts.get(table, 0)}]"
                counts[table] = counts.get(table, 0) + 1
            places.setdefault(table, number)
            places.setdefault(numbered, number)
            continue
        match = _KEY.match(content[:_LONGEST])
        if match and (steps := _steps(match[1])):
            for prefix in (table, numbered):
                for end in range(1, len(steps) + 1):
                    places.setdefault(".".join(filter(None, [prefix, *steps[:end]])), number)
        for quotes in _QUOTES.findall(content):
            inside = "" if inside == quotes else inside or quotes
    return places


def _steps(key: str) -> list[str]:
    """The parts of a dotted key, without their quotes; none where it is no key."""
    if not re.search(r"""["']""", key):
        return [step.strip() for step in key.split(".")]
    try:
        rest: Any = tomllib.loads(f"{key} = 0") if "\n" not in key else {}
    except (ValueError, RecursionError):
        return []
    steps: list[str] = []
    while isinstance(rest, dict) and len(rest) == 1:
        step, rest = next(iter(rest.items()))
        steps.append(step)
    return steps
