# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verb `boot-test` does: prove that the packages boot, and say what held."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.proofs.boot.checks import Boot
from builders.proofs.boot.guests import KINDS
from builders.proofs.boot.prove import prove

if TYPE_CHECKING:
    from builders.pipeline.run import Run


def report(boots: Sequence[Boot]) -> str:
    """The boots and their checks, for people."""
    lines = []
    for each in boots:
        kind = "a negative control" if each.wanted else "the proof"
        state = "passed" if each.good else "FAILED"
        lines.append(f"{each.name}: {state}, {kind}, {each.seconds:.1f} s")
        for check in each.checks:
            fails = "fails, as it must" if check.name in each.wanted else "FAILS"
            holds = "HOLDS, and must not" if check.name in each.wanted else "holds"
            lines.append(f"  {check.name:<28}{holds if check.good else fails:<20}{check.seen}")
        if not each.good:
            lines.append(f"  the whole console: {each.log}")
    return "\n".join(lines)


def boot_test(
    run: Run,
    flavour: str,
    accel: str,
    timeout: float,
    form: str,
    *,
    controls: bool = False,
    guest: str = "",
) -> tuple[str, int]:
    """What `prove` found, as a table or json, and the exit status: 1 where a check failed."""
    if form not in ("table", "json"):
        raise BuildError(f"--format {form}: no such format", hint="table or json")
    wanted = KINDS if guest == "all" else [guest] if guest else []
    if guest and not set(wanted) <= set(KINDS):
        known = ", ".join(KINDS)
        raise BuildError(f"--guest {guest}: no such kind", hint=f"one of: {known}, all")
    boots = prove(run, flavour, accel=accel, timeout=timeout, controls=controls, guests=wanted)
    good = all(each.good for each in boots)
    if form == "table":
        return report(boots), Exit.DONE if good else Exit.AUDIT
    documents = [
        {
            "name": each.name,
            "good": each.good,
            "seconds": round(each.seconds, 1),
            "log": str(each.log),
            "must_fail": sorted(each.wanted),
            "checks": [asdict(check) for check in each.checks],
        }
        for each in boots
    ]
    return json.dumps(documents, indent=2), Exit.DONE if good else Exit.AUDIT
