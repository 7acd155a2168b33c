# SPDX-License-Identifier: GPL-2.0-or-later
"""What every benchmark states: the machine, and its figures as a table."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from builders.verbs.bench import FORM


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of ours and of the peer in the same run, and the goal."""

    name: str
    ours: Sequence[float]
    peer: Sequence[float]
    goal: float  # ours / peer, or seconds where there is no peer

    @property
    def figure(self) -> float:
        """What is held against the goal: the median ratio, or the median seconds."""
        if not self.peer:
            return statistics.median(self.ours)
        return statistics.median(a / b for a, b in zip(self.ours, self.peer, strict=True))


def machine() -> str:
    """The machine in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {model}, {memory:.0f} GiB, Linux {platform.release()}"


def table(rows: Sequence[Row]) -> str:
    """The rows as text: median seconds of both sides, the figure and the goal."""
    lines = [machine(), f"{'':44} {'ours':>9} {'peer':>9} {'figure':>8} {'goal':>7}"]
    for row in rows:
        peer = f"{statistics.median(row.peer):8.3f}s" if row.peer else ""
        unit = "x" if row.peer else "s"
        met = "met" if row.figure <= row.goal else "MISSED"
        lines.append(
            f"{row.name:44} {statistics.median(row.ours):8.3f}s {peer:>9} "
            f"{row.figure:7.3f}{unit} {row.goal:6.2f}{unit} {met} ({len(row.ours)} runs)"
        )
    return "\n".join(lines)


def show(rows: Sequence[Row], **more: float) -> None:
    """Print the figures, and what else there is to say of the run, in the form that is wanted."""
    if os.environ.get(FORM) != "json":
        said = (f"{name.replace('_', ' ')}: {value}" for name, value in more.items())
        print("\n".join([table(rows), *said]))
        return
    figures = [asdict(row) | {"figure": row.figure, "met": row.figure <= row.goal} for row in rows]
    print(json.dumps({"machine": machine(), "rows": figures, **more}))
