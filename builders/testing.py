# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the project's own linters, tests and benchmarks, the quick ones first."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from builders import box
from builders.errors import BuildError, Exit
from builders.progress import Reporter, clock
from builders.recipe import ROOT

_PYTHON = [sys.executable, "-m"]
_PARTS: dict[str, list[list[str]]] = {
    "lint": [
        [*_PYTHON, "ruff", "check", "."],
        [*_PYTHON, "ruff", "format", "--check", "."],
        [*_PYTHON, "mypy"],
    ],
    "unit": [[*_PYTHON, "pytest", "-q", "-n", "auto", "tests/unit"]],
    "engine": [[*_PYTHON, "pytest", "-q", "tests/engine"]],
    "page": [[*_PYTHON, "pytest", "-q", "tests/page"]],
    "build": [[*_PYTHON, "pytest", "-q", "-s", "tests/build"]],
    "boot": [[*_PYTHON, "pytest", "-q", "-s", "tests/boot"]],
}
_TOOLS = {
    "page": ["chromium", "fonts-dejavu-core"],
    "boot": ["qemu-system-x86"],
}  # packages that a part needs besides what the tool itself does
_BENCHMARKS = ("rewrite", "inspect", "idle", "build")


def run(reporter: Reporter, only: str, *, build: bool) -> int:
    """Run all parts, or the one named `only`; the exit status. The first failure ends it.

    build: also build packages for real and boot them, as in CI. A part that needs large tools
    of its own is left out where they are not installed; named, or with the build, it installs
    them.
    """
    if only and only not in _PARTS:
        raise BuildError(f"--only {only}: no such part", hint=f"one of: {', '.join(_PARTS)}")
    wanted = [only] if only else ["lint", "unit", "engine", "page"]
    if not only and (build or os.environ.get("CI")):
        wanted += ["build", "boot"]  # what was built is booted
    for part in wanted:
        begun = time.monotonic()
        tools = _TOOLS.get(part, [])
        if only or build or os.environ.get("CI"):
            box.ensure_tools(tools, reporter)
        elif lacking := box.missing(tools):
            reporter.line(f"{part}: left out, as {', '.join(lacking)} is not installed")
            continue
        for command in _PARTS[part]:
            done = subprocess.run(command, cwd=ROOT, check=False)
            if done.returncode:
                shown = " ".join(["python", *command[1:]])
                raise BuildError(f"{part}: {shown} ended with {done.returncode}", exit=Exit.STEP)
        reporter.line(f"{part}: passed in {clock(time.monotonic() - begun)}")
    return Exit.DONE


def bench(reporter: Reporter, only: str) -> int:
    """Run the benchmarks; each prints its own table."""
    if only and only not in _BENCHMARKS:
        raise BuildError(f"--only {only}: no such one", hint=f"one of: {', '.join(_BENCHMARKS)}")
    for name in [only] if only else _BENCHMARKS:
        reporter.line(f"benchmark {name}")
        done = subprocess.run([*_PYTHON, f"benchmarks.{name}"], cwd=ROOT, check=False)
        if done.returncode:
            raise BuildError(f"benchmark {name} ended with {done.returncode}", exit=Exit.STEP)
    return Exit.DONE
