# SPDX-License-Identifier: GPL-2.0-or-later
"""A plan's tree in a step's container: what is put there, and why a patch does not apply."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.ground.engine.log import lines
from builders.pipeline.plan import Plan, patch_files
from builders.text import printable

if TYPE_CHECKING:
    from builders.ground.engine.step import Step
    from builders.ground.sources.cache import Fetched

_TOLD = 100  # hunks that an error names


def prepare(step: Step, plan: Plan, fetched: Mapping[str, Fetched]) -> None:
    """Put a plan's sources, files and patches into the step's container."""
    folders = [f"in/{name}" for name in plan.sources] + ["patches", "fragments", "files"]
    step.phase("copy", f"cd {plan.work} && mkdir -p tree {' '.join(folders)}")
    for name in plan.sources:
        step.say("copy", name)
        step.container.put(
            f"{plan.work}/in/{name}",
            [(f.name, f.path) for f in fetched[name].files],
            digests={f.name: f.sha256 for f in fetched[name].files},
        )
    step.container.put(f"{plan.work}/patches", patch_files(plan.patches))
    step.container.put(plan.work, plan.files.items())


_WIDTH = 4096  # characters of a line of the log that are looked at


def explain_patch(
    error: BuildError, plan: Plan, names: Mapping[str, str] | None = None
) -> BuildError:
    """The error for a patch that does not apply: which patch, files and hunks.

    names: of patches that are sources, how a person calls each.
    """
    if error.exit is not Exit.STEP:
        return error
    patch, file = "", ""
    wrong: dict[str, list[str]] = {}
    for line in lines(error.log) if error.log else ():
        line = line[:_WIDTH]
        if match := re.match(r"applying (\S+)$", line):
            patch, file, wrong = match[1], "", {}
        elif match := re.match(r"(?:patching|checking) file (.+?)(?: \(.*\))?$", line):
            file = match[1]
        elif match := re.match(r"Hunk (#\d+) FAILED at (\d+)", line):
            wrong.setdefault(file, []).append(f"hunk {match[1]} at line {match[2]}")
        elif match := re.search(r"malformed patch at line (\d+)", line):
            wrong.setdefault(file, []).append(f"line {match[1]} of the patch is malformed")
        elif line.startswith("Reversed (or previously applied) patch detected"):
            wrong.setdefault(file, []).append("it seems to be applied already")
        elif match := re.match(r"The next patch would (create|delete) the file (.+),$", line):
            there = "is there already" if match[1] == "create" else "is not in the tree"
            wrong.setdefault(match[2], []).append(f"it {there}")
        elif match := re.match(r"\|(?:---|\+\+\+) [^/\t]+/([^\t]+)", line):
            file = match[1]  # the header of a patch whose file is not found
        elif line.startswith("No file to patch"):
            wrong.setdefault(file, []).append("it is not in the tree")
        if sum(map(len, wrong.values())) > _TOLD:
            break
    told = [(f"to {f} " if f else "") + f"({', '.join(why)})" for f, why in wrong.items()]
    title = (names or {}).get(patch)
    shown = title or f"patches/{plan.patches}/{patch}"
    return BuildError(
        printable(f"{shown} does not apply {', '.join(told)}".rstrip()),
        hint="is it made for this version, with paths as git diff writes them? refresh it"
        if title
        else "is the source the version that the series was made for? refresh that patch; "
        f"--set {plan.name.partition('-')[0]}.patches= leaves the series out",
        log=error.log,
        excerpt=error.excerpt,
        exit=error.exit,
    )
