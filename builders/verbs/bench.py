# SPDX-License-Identifier: GPL-2.0-or-later
"""Measure the speed figures that the README quotes.

Each against its peer, in the same run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders import ROOT
from builders.errors import BuildError, Exit
from builders.verbs.option import Reported, option

if TYPE_CHECKING:
    from builders.progress import Reporter
    from builders.show.jobs import BenchmarksDocument
    from builders.show.outcome import Outcome

FORM = "DOM0_DEBS_BENCH_FORMAT"  # tells a benchmark how to say its figures
_BENCHMARKS = ("rewrite", "inspect", "idle", "verify", "build", "cold", "touched", "kernel", "farm")
_PYTHON = [sys.executable, "-m"]


@dataclass(frozen=True, kw_only=True)
class Options(Reported):
    only: tuple[str, ...] = option(
        "measure only this one", (), choices=_BENCHMARKS, what="benchmark"
    )


def run(options: Options) -> Outcome:
    from builders.show.outcome import Outcome
    from builders.show.terminal import Terminal

    return Outcome(bench(options, Terminal()))


def bench(options: Options, reporter: Reporter) -> BenchmarksDocument:
    """Run the benchmarks; each prints its own table, unless a document is asked for.

    Raises BuildError where one fails or misses its goal.
    """
    from builders.show import jobs

    figures: dict[str, jobs.FiguresEntry] = {}
    programs = options.format == "json"
    for name in options.only or _BENCHMARKS:
        reporter.line(f"benchmark {name}")
        done = subprocess.run(
            [*_PYTHON, f"benchmarks.{name}"],
            cwd=ROOT,
            env=os.environ | {FORM: options.format},
            stdout=subprocess.PIPE if programs else None,
            check=False,
        )
        if done.returncode:
            raise BuildError(f"benchmark {name} ended with {done.returncode}", exit=Exit.STEP)
        if programs:
            figures[name] = jobs.figures(json.loads(done.stdout))
    return jobs.BenchmarksDocument(figures)
