# SPDX-License-Identifier: GPL-2.0-or-later
"""The proof that packages install: cases tried with apt on clean machines of the suite.

Each machine is a container of its own with no network. Its cases run one after the other, and
one that the others stand on ends them where it fails. A case is a shell script: a line that
begins with "! " tells what is wrong, one with "= " what was seen. `installcases` has them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from builders.debkit.deb import Deb
from builders.debkit.deb.relations import read_relations
from builders.errors import BuildError, Exit
from builders.pipeline import durations
from builders.proofs.trial import cases, clean
from builders.proofs.trial.cases import Case, Machine, Subject
from builders.text import printable

if TYPE_CHECKING:
    from builders.ground.engine.step import Step
    from builders.pipeline.run import Run
    from builders.proofs.trial.clean import Supply

OK, FAILED, SKIPPED = "ok", "failed", "skipped"


@dataclass(frozen=True)
class CaseResult:
    """What became of one case. state: "ok", "failed" or "skipped"; seconds: wall time.

    saw: what there is to say of it; wrong: each thing that is wrong, a line each.
    """

    machine: str
    case: str
    state: str
    seconds: float
    saw: str
    wrong: tuple[str, ...]
    log: Path


def install_test(run: Run, debs: Sequence[Path], raw: Sequence[Path]) -> list[CaseResult]:
    """Try `debs` on every machine; `raw` are what an upgrade to them begins with.

    BuildError where the engine or the mirror fails, whatever the packages are like.
    """
    clean.named([*debs, *raw])
    subject = examine(debs, raw)
    machines = cases.machines(subject)
    groups = [group for machine in machines for group in machine.groups]
    everything = [*debs, *raw]
    told = cases.variables(subject)
    with durations.timed(run, "install-test", again=bool(raw)):
        supplied = clean.supply(run, everything, groups)
        found = clean.together(
            run, [partial(_try, run, machine, told, everything, supplied) for machine in machines]
        )
    return [outcome for outcomes in found for outcome in outcomes]


def examine(debs: Sequence[Path], raw: Sequence[Path]) -> Subject:
    """What the cases have to know of the packages, read from the .debs."""
    opened = [Deb.open(deb) for deb in debs]
    controls = [deb.control for deb in opened]
    paths = {entry.path for deb in opened for entry, _ in deb.entries()}
    needs = [
        str(group)
        for control in controls
        for field in ("Pre-Depends", "Depends", "Recommends")
        for group in read_relations(field, str(control.get(field, "")))[0]
    ]
    recommends = [
        str(group)
        for control in controls
        for group in read_relations("Recommends", str(control.get("Recommends", "")))[0]
    ]
    return Subject(
        names=tuple(str(control["Package"]) for control in controls),
        versions=tuple(str(control["Version"]) for control in controls),
        raw=tuple(
            (str(control["Package"]), str(control["Version"]))
            for control in (Deb.open(deb).control for deb in raw)
        ),
        needs=tuple(dict.fromkeys(needs)),
        recommends=tuple(dict.fromkeys(recommends)),
        paths=frozenset(paths),
    )


def _try(
    run: Run, machine: Machine, told: str, debs: Sequence[Path], supplied: Supply
) -> list[CaseResult]:
    outcomes: list[CaseResult] = []
    ended = ""
    with clean.machine(run, f"install-{machine.name}", debs, supplied) as step:
        for case in machine.cases:
            if ended:
                why = f"{ended} failed"
                outcomes.append(
                    CaseResult(machine.name, case.name, SKIPPED, 0.0, why, (), step.log)
                )
                continue
            outcome = _run(step, machine.name, case, told)
            outcomes.append(outcome)
            if outcome.state == FAILED and case.vital:
                ended = case.name
    return outcomes


def _run(step: Step, machine: str, case: Case, told: str) -> CaseResult:
    begun = time.monotonic()
    status, said = step.attempt(case.name, told + cases.FUNCTIONS + case.script)
    seconds = time.monotonic() - begun
    lines = [printable(line) for line in said.split("\n")]
    wrong = tuple(line[2:] for line in lines if line.startswith("! "))
    saw = "; ".join(line[2:] for line in lines if line.startswith("= "))
    if status and not wrong:
        if "No space left on device" in said:
            raise BuildError(
                f"{step.name}: {case.name}: no space left on the engine's disk",
                hint="./inv clean --images removes what this tool left there",
                log=step.log,
                exit=Exit.ENGINE,
            )
        tail = [line for line in lines if line.strip()][-5:]
        wrong = (f"it ended with status {status}", *tail)
    state = FAILED if wrong else OK
    return CaseResult(machine, case.name, state, seconds, saw, wrong, step.log)


def exit_code(outcomes: Sequence[CaseResult]) -> int:
    """1 where a case failed, else 0."""
    return int(Exit.AUDIT if any(o.state == FAILED for o in outcomes) else Exit.DONE)
