# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the linters and the tests, the quick ones first."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders import ROOT
from builders.errors import BuildError, Exit
from builders.verbs.option import Reported, option

if TYPE_CHECKING:
    from builders.progress import Reporter
    from builders.show.jobs import PartsDocument
    from builders.show.outcome import Outcome

_STDERR = 2
_PYTHON = [sys.executable, "-m"]
# One more than there are cores: some tests wait for a server or a signal.
_WORKERS = str(len(os.sched_getaffinity(0)) + 1)
_PARTS: dict[str, list[list[str]]] = {
    "lint": [
        [*_PYTHON, "ruff", "check", "."],
        [*_PYTHON, "ruff", "format", "--check", "."],
        [*_PYTHON, "mypy"],
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"],
        [*_PYTHON, "tests.shell"],
    ],
    "unit": [[*_PYTHON, "pytest", "-q", "-n", _WORKERS, "tests/unit"]],
    "dpkg": [[*_PYTHON, "pytest", "-q", "tests/differential"]],
    "engine": [[*_PYTHON, "pytest", "-q", "tests/engine"]],
    "page": [[*_PYTHON, "pytest", "-q", "tests/page"]],
    "build": [[*_PYTHON, "pytest", "-q", "-s", "tests/build"]],
    "boot": [[*_PYTHON, "pytest", "-q", "-s", "tests/boot"]],
}
_WITH_LONG = ("-m", "")  # no test is left out for its mark
_QUICK = ("-m", "not long and not slow")
_TOOLS = {
    "page": ["chromium", "fonts-dejavu-core"],
    "boot": ["qemu-system-x86"],
}  # packages that a part needs besides what the tool itself does


def _environment() -> dict[str, str]:
    """That of the parts: Python keeps the tests as pytest rewrote them, beside its environment.

    Each of the workers would rewrite all of them anew where the box has Python keep nothing.
    """
    kept = {n: value for n, value in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
    return {"PYTHONPYCACHEPREFIX": str(Path(sys.prefix) / "pycache"), **kept}


@dataclass(frozen=True, kw_only=True)
class Options(Reported):
    only: tuple[str, ...] = option("run only this part", (), choices=tuple(_PARTS), what="part")
    build: bool = option(
        "also build a recipe's packages for real and boot them (always in CI)", False
    )
    long: bool = option("also the tests that take many minutes, which CI leaves out", False)
    quick: bool = option("only the unit tests that are not marked as slow", False)


def run(options: Options) -> Outcome:
    from builders.show.outcome import Outcome
    from builders.show.terminal import Terminal

    return Outcome(test(options, Terminal()))


def test(options: Options, reporter: Reporter) -> PartsDocument:
    """Run all parts, or those that are named; how each went. The first failure ends it.

    A part that needs large tools of its own is left out where they are not installed; named, or
    with a build, it installs them. The long tests imply the build. What the tools say goes to
    standard error. The quick ones are unit tests, and no other part goes with them.
    Raises BuildError where a part fails.
    """
    from builders.ground.engine import box
    from builders.show import jobs
    from builders.text import clock

    whole = options.build or options.long or bool(os.environ.get("CI"))
    chosen = [part for part in _PARTS if part in options.only]
    if options.quick:
        if options.build or options.long or chosen not in ([], ["unit"]):
            raise BuildError(
                "--quick is of the unit tests alone", hint="leave the other options out"
            )
        chosen = ["unit"]
    if not chosen:
        # What was built is booted.
        chosen = [part for part in _PARTS if whole or part not in ("build", "boot")]
    parts: list[jobs.PartEntry] = []
    for part in chosen:
        begun = time.monotonic()
        tools = _TOOLS.get(part, [])
        if options.only or whole:
            box.ensure_tools(tools, reporter)
        elif lacking := box.missing(tools):
            reporter.line(f"{part}: left out, as {', '.join(lacking)} is not installed")
            parts.append(jobs.PartEntry(part, "left out", 0.0))
            continue
        for command in _PARTS[part]:
            if "pytest" in command:
                marks = _WITH_LONG if options.long else _QUICK if options.quick else ()
                command = [*command, *marks]
            done = subprocess.run(
                command, cwd=ROOT, stdout=_STDERR, env=_environment(), check=False
            )
            if done.returncode:
                shown = " ".join([Path(command[0]).name, *command[1:]])
                raise BuildError(f"{part}: {shown} ended with {done.returncode}", exit=Exit.STEP)
        took = time.monotonic() - begun
        reporter.line(f"{part}: passed in {clock(took)}")
        parts.append(jobs.PartEntry(part, "passed", round(took, 1)))
    return jobs.PartsDocument(parts)
