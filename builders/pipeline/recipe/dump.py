# SPDX-License-Identifier: GPL-2.0-or-later
"""A recipe as its files and overrides make it: each value, and where it was written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from builders.pipeline.recipe.files import RECIPES
from builders.pipeline.recipe.loading import Joined
from builders.pipeline.recipe.schema import dotted, quoted

_WIDTH = 80  # columns of a terminal
_UNWRITABLE = re.compile(r"[^\t\n\r -~\xa0-\U0010ffff]|\r")  # in a string of several lines


@dataclass(frozen=True)
class Value:
    """One value of a joined recipe.

    steps: the parts of its key. origin: the file, below the project's recipes by its name there, or
    the --set as it was typed.
    """

    steps: tuple[str, ...]
    value: Any
    origin: str

    @property
    def key(self) -> str:
        """The key as it is written in TOML."""
        return dotted("", *self.steps)


def values(it: Joined, environment: Mapping[str, str] | None = None) -> list[Value]:
    """Every value, those of one table together, in the order of the files.

    environment: an override -> the variable that it stands for.
    """
    return list(_values(it.raw, (), it.origins, environment or {}))


def _values(
    table: Mapping[str, Any],
    steps: tuple[str, ...],
    origins: Mapping[str, str],
    environment: Mapping[str, str],
) -> Iterator[Value]:
    for key, value in table.items():
        if not isinstance(value, dict):
            whole = (*steps, key)
            yield Value(whole, value, _origin(whole, origins, environment))
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _values(value, (*steps, key), origins, environment)


def _origin(
    steps: Sequence[str], origins: Mapping[str, str], environment: Mapping[str, str]
) -> str:
    """Where a value was written; of a table that came as one value, where that was."""
    for end in range(len(steps), 0, -1):
        origin = origins.get(dotted("", *steps[:end]))
        if origin:
            typed = origin.removeprefix("--set ")
            return environment.get(typed, origin) if typed != origin else _near(origin)
    return "?"


def _near(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(RECIPES)) if path.is_relative_to(RECIPES) else file


def toml(found: Sequence[Value]) -> str:
    """The values as TOML that says of each where it came from, in a comment above."""
    lines: list[str] = []
    for table, group in groupby(found, key=lambda value: value.steps[:-1]):
        if lines:
            lines.append("")
        if table:
            lines.append(f"[{dotted('', *table)}]")
        origin, after = "", []
        for value in group:
            if _is_tables(value.value):
                after.append(value)
                continue
            if value.origin != origin:
                lines += _comment(value.origin)
            origin = value.origin
            lines.append(f"{dotted('', value.steps[-1])} = {_toml(value.value)}")
        for value in after:
            for entry in value.value:
                lines += ["", *_comment(value.origin), f"[[{value.key}]]"]
                lines += [f"{dotted('', key)} = {_toml(inner)}" for key, inner in entry.items()]
    return "\n".join(lines)


def _comment(origin: str) -> list[str]:
    """What was typed may have several lines."""
    return [f"# {line}" for line in origin.splitlines()]


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list):
        parts = [_toml(item) for item in value]
        line = f"[{', '.join(parts)}]"
        if len(line) <= _WIDTH - 20 and "\n" not in line:
            return line
        return "\n".join(["[", *(f"    {part}," for part in parts), "]"])
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{dotted('', k)} = {_toml(v)}" for k, v in value.items()) + " }"
    return json.dumps(value)


def _string(text: str) -> str:
    if "\n" not in text or _UNWRITABLE.search(text):
        return quoted(text)
    escaped = text.replace("\\", "\\\\")
    # Three quotation marks would close the string, and so would one at its end.
    return '"""\n' + re.sub(r'"(?="|\Z)', r"\"", escaped) + '"""'
