# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the project's own linters, tests and benchmarks, the quick ones first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from builders import ROOT
from builders.errors import BuildError, Exit
from builders.ground.engine import box
from builders.progress import Reporter
from builders.show.reports import Report
from builders.text import clock

_STDERR = 2
_PYTHON = [sys.executable, "-m"]
_PARTS: dict[str, list[list[str]]] = {
    "lint": [
        [*_PYTHON, "ruff", "check", "."],
        [*_PYTHON, "ruff", "format", "--check", "."],
        [*_PYTHON, "mypy"],
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"],
        [*_PYTHON, "tests.shell"],
    ],
    "unit": [[*_PYTHON, "pytest", "-q", "-n", "auto", "tests/unit"]],
    "dpkg": [[*_PYTHON, "pytest", "-q", "tests/differential"]],
    "engine": [[*_PYTHON, "pytest", "-q", "tests/engine"]],
    "page": [[*_PYTHON, "pytest", "-q", "tests/page"]],
    "build": [[*_PYTHON, "pytest", "-q", "-s", "tests/build"]],
    "boot": [[*_PYTHON, "pytest", "-q", "-s", "tests/boot"]],
}
_WITH_LONG = ("-m", "")  # no test is left out for its mark
_TOOLS = {
    "page": ["chromium", "fonts-dejavu-core"],
    "boot": ["qemu-system-x86"],
}  # packages that a part needs besides what the tool itself does
FORM = "DOM0_DEBS_BENCH_FORMAT"  # tells a benchmark how to say its figures
_BENCHMARKS = ("rewrite", "inspect", "idle", "verify", "build")


def run(reporter: Reporter, only: str, *, build: bool, long: bool = False) -> Report:
    """Run all parts, or the one named `only`; how each went. The first failure ends it.

    build: also build packages for real and boot them, as in CI. long: with those tests that take
    many minutes, which CI leaves out; it implies build. A part that needs large tools
    of its own is left out where they are not installed; named, or with the build, it installs
    them. What the tools say goes to standard error.
    Raises BuildError where a part fails.
    """
    if only and only not in _PARTS:
        raise BuildError(f"--only {only}: no such part", hint=f"one of: {', '.join(_PARTS)}")
    wanted = [only] if only else ["lint", "unit", "dpkg", "engine", "page"]
    if not only and (build or long or os.environ.get("CI")):
        wanted += ["build", "boot"]  # what was built is booted
    parts: list[dict[str, Any]] = []
    for part in wanted:
        begun = time.monotonic()
        tools = _TOOLS.get(part, [])
        if only or build or long or os.environ.get("CI"):
            box.ensure_tools(tools, reporter)
        elif lacking := box.missing(tools):
            reporter.line(f"{part}: left out, as {', '.join(lacking)} is not installed")
            parts.append({"part": part, "state": "left out", "seconds": 0.0})
            continue
        for command in _PARTS[part]:
            tests = long and "pytest" in command
            command = [*command, *(_WITH_LONG if tests else ())]
            done = subprocess.run(command, cwd=ROOT, stdout=_STDERR, check=False)
            if done.returncode:
                shown = " ".join([Path(command[0]).name, *command[1:]])
                raise BuildError(f"{part}: {shown} ended with {done.returncode}", exit=Exit.STEP)
        took = time.monotonic() - begun
        reporter.line(f"{part}: passed in {clock(took)}")
        parts.append({"part": part, "state": "passed", "seconds": round(took, 1)})
    return Report("", {"parts": parts})


def bench(reporter: Reporter, only: str, form: str) -> Report:
    """Run the benchmarks; each prints its own table, unless `form` is "json".

    Raises BuildError where one fails or misses its goal.
    """
    if only and only not in _BENCHMARKS:
        raise BuildError(f"--only {only}: no such one", hint=f"one of: {', '.join(_BENCHMARKS)}")
    found: dict[str, Any] = {}
    for name in [only] if only else _BENCHMARKS:
        reporter.line(f"benchmark {name}")
        done = subprocess.run(
            [*_PYTHON, f"benchmarks.{name}"],
            cwd=ROOT,
            env=os.environ | {FORM: form},
            stdout=subprocess.PIPE if form == "json" else None,
            check=False,
        )
        if done.returncode:
            raise BuildError(f"benchmark {name} ended with {done.returncode}", exit=Exit.STEP)
        found[name] = json.loads(done.stdout) if form == "json" else None
    return Report("", {"benchmarks": found})
