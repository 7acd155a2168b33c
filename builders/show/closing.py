# SPDX-License-Identifier: GPL-2.0-or-later
"""The last words of a build: what was made, where it lies, how long it took, what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from builders.show import face
from builders.text import clock, duration


def closing(
    made: Mapping[str, float],
    seconds: float,
    folder: Path,
    recipe: str,
    targets: Sequence[str],
    flavour: str = "",
) -> str:
    """The lines after the list of packages.

    made: stage -> seconds, of what this run made. seconds: of the whole run. folder: of the
    artifacts. recipe: names it on a command line. targets: "xen" and "kernel", as the recipe has
    them. flavour: where kernels of several were built, the one of this run.
    """
    where = face.near(folder)
    if made:
        lines = [f"made in {duration(seconds)}, in {where}:"]
        lines.append(face.table([("", stage, clock(took)) for stage, took in made.items()]))
    else:
        lines = [f"nothing to do: all of it was built before, in {where}"]
    which = f"--recipe {shlex.quote(recipe)}" + (f" --flavour {flavour}" if flavour else "")
    verbs = ["install-test", "boot-test"] if {"xen", "kernel"} <= set(targets) else ["install-test"]
    steps = [f"./inv {verb} {which}" for verb in verbs]
    lines += [f"{'next:' if n == 0 else ' ' * 5} {step}" for n, step in enumerate(steps)]
    return "\n".join(lines)
