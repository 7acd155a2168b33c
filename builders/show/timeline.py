# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of a matrix: which machine made which stage, and when.

One HTML file that needs no network, no script and no other file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.show.matrices import state
from builders.text import clock, duration, moment

if TYPE_CHECKING:
    from builders.pipeline.matrix import Part

_TEMPLATES = Path(__file__).parent / "templates"
HERE = "this box"
_LEAST = 0.3  # percent, of the width of a bar that would not be seen


@dataclass(frozen=True)
class Bar:
    """A stage on the line of its machine; left, width: in percent of the whole time."""

    recipe: str
    stage: str
    left: float
    width: float
    took: str
    tone: int


@dataclass(frozen=True)
class Lane:
    """A line of a machine: bars that do not overlap. first: it bears the machine's name."""

    machine: str
    bars: Sequence[Bar]
    first: bool


def lanes(parts: Sequence[Part]) -> tuple[list[Lane], float, float]:
    """The lines of all machines, when the first stage began, and seconds from there to the end."""
    spells = [(part, spell) for part in parts for spell in part.spells]
    if not spells:
        return [], 0.0, 0.0
    begun = min(spell.begun for _, spell in spells)
    whole = max(1.0, max(spell.ended for _, spell in spells) - begun)
    tones = {part.name: number % 6 for number, part in enumerate(parts)}
    rows: dict[str, list[list[tuple[float, Bar]]]] = {}  # of a machine, each bar with its end
    for part, spell in sorted(spells, key=lambda each: each[1].begun):
        width = max(_LEAST, (spell.ended - spell.begun) / whole * 100)
        left = min(max(0.0, (spell.begun - begun) / whole * 100), 100 - _LEAST)
        took = clock(spell.ended - spell.begun)
        bar = Bar(part.name, spell.stage, round(left, 2), round(width, 2), took, tones[part.name])
        its = rows.setdefault(spell.where or HERE, [])
        row = next((row for row in its if row[-1][0] <= spell.begun), None)
        if row is None:
            its.append([(spell.ended, bar)])
        else:
            row.append((spell.ended, bar))
    found = [
        Lane(machine, [bar for _, bar in row], number == 0)
        for machine, its in sorted(rows.items())
        for number, row in enumerate(its)
    ]
    return found, begun, whole


def page(parts: Sequence[Part]) -> str:
    """The page as HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found, begun, whole = lanes(parts)
    builds = [
        {
            "name": part.name,
            "targets": ", ".join(part.pipeline.targets),
            "state": state(part),
            "seconds": clock(part.seconds),
            "packages": [package.path.name for package in part.packages],
            "error": part.failure.message if isinstance(part.failure, BuildError) else "",
        }
        for part in parts
    ]
    return templates.get_template("timeline.html").render(
        builds=builds,
        lanes=found,
        begun=moment(begun) if found else "",
        whole=duration(whole),
        marks=[(n * 25, clock(whole * n / 4)) for n in range(5)],
    )
