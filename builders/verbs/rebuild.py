# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verb `reproduce` does: build again as if on another box, and say what differs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.pipeline.current import current
from builders.pipeline.recipe import TARGETS
from builders.pipeline.stages import STAGES
from builders.proofs.rebuild import reproduce as again
from builders.proofs.rebuild.variation import Variation

if TYPE_CHECKING:
    from builders.pipeline.run import Run


def report(compared: Sequence[again.Compared], kept: Path) -> str:
    """What was compared, for people. kept: where the second build is, if it differs."""
    lines = []
    for each in compared:
        lines.append(f"{'same' if each.same else 'DIFFERS':<8} {each.file}  {each.first[:16]}")
        lines += [f"         {text}" for text in each.differences]
    if not all(each.same for each in compared):
        lines.append(f"the second build is kept: {kept}")
    return "\n".join(lines)


def reproduce(run: Run, flavour: str, only: str, seconds: int, form: str) -> tuple[str, int]:
    """What `reproduce` found, as a table or json, and the exit status.

    flavour: of the kernel; where none is named, what was built is what is built again.
    """
    if form not in ("table", "json"):
        raise BuildError(f"--format {form}: no such format", hint="table or json")
    if only not in ("", *TARGETS):
        raise BuildError(f"--only {only}: there is no such build", hint="xen or kernel")
    targets = [only] if only else None
    if not flavour:
        first = current(run, only=only)
        run, flavour = first.run, first.flavour
        targets = [target.partition("-")[0] for target in first.targets]
    compared = again.reproduce(run, flavour, targets, seconds=seconds)
    same = all(each.same for each in compared)
    kept = run.folder / again.FOLDER / STAGES
    text = json.dumps([asdict(c) for c in compared], indent=2) if form == "json" else ""
    built = f"built again with {Variation(seconds=seconds).about()}\n"
    return text or built + report(compared, kept), Exit.DONE if same else Exit.AUDIT
