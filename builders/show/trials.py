# SPDX-License-Identifier: GPL-2.0-or-later
"""What became of packages that were tried: the cases on clean machines, and Debian's judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, cast

from builders.proofs.trial import install, judges
from builders.proofs.trial.install import FAILED, OK, SKIPPED
from builders.proofs.trial.judges import ERROR, OVERRIDDEN, WARNING
from builders.show import face
from builders.show.outcome import Outcome
from builders.text import columns

_SHOWN = 10  # of what is wrong with one case


@dataclass(frozen=True)
class CaseEntry:
    machine: str
    case: str
    state: Literal["ok", "failed", "skipped"]
    seconds: Annotated[float, "wall time", {"minimum": 0}]
    saw: Annotated[str, "what there is to say of it"]
    wrong: Annotated[Sequence[str], "each thing that is wrong, a line each"]
    log: Annotated[str, "absolute path of the machine's log"]


@dataclass(frozen=True)
class CasesDocument:
    """What became of the packages on clean machines."""

    kind: ClassVar[str] = "install-test"
    schema: ClassVar[int] = 1
    cases: Sequence[CaseEntry]


@dataclass(frozen=True)
class FindingEntry:
    judge: str
    severity: Literal["error", "warning", "overridden"]
    package: str
    tag: str
    detail: str


@dataclass(frozen=True)
class VerdictEntry:
    judge: Annotated[str, "lintian or piuparts"]
    version: str
    seconds: Annotated[float, "wall time", {"minimum": 0}]
    log: Annotated[str, "absolute path of its whole output"]
    findings: Sequence[FindingEntry]


@dataclass(frozen=True)
class VerdictsDocument:
    """What the suite's judges have to say of the packages."""

    kind: ClassVar[str] = "check"
    schema: ClassVar[int] = 1
    verdicts: Sequence[VerdictEntry]


def cases(outcomes: Sequence[install.CaseResult]) -> Outcome:
    """All outcomes, for people and for programs."""
    documents = [
        CaseEntry(
            o.machine,
            o.case,
            cast(Literal["ok", "failed", "skipped"], o.state),
            round(o.seconds, 1),
            o.saw,
            o.wrong,
            str(o.log),
        )
        for o in outcomes
    ]
    text = face.outcomes(case_rows(outcomes))
    return Outcome(CasesDocument(documents), text, install.exit_code(outcomes))


def cases_in_brief(outcomes: Sequence[install.CaseResult]) -> str:
    """All outcomes in a line."""
    counts = Counter(o.state for o in outcomes)
    told = (f"{counts[state]} {state}" for state in (OK, FAILED, SKIPPED) if counts[state])
    machines = len({o.machine for o in outcomes})
    return f"{len(outcomes)} cases on {machines} machines: {', '.join(told)}"


def case_rows(outcomes: Sequence[install.CaseResult]) -> list[tuple[str, str]]:
    """Lines for people, each with the state that it belongs to ("" for one that goes on)."""
    took = (f"{o.seconds:5.1f} s" if o.state != SKIPPED else "" for o in outcomes)
    heads = columns([(o.machine, o.case, t, o.saw) for o, t in zip(outcomes, took, strict=True)])
    lines: list[tuple[str, str]] = []
    for o, head in zip(outcomes, heads, strict=True):
        lines.append((o.state, head))
        lines += [("", f"    {line}") for line in o.wrong[:_SHOWN]]
        if len(o.wrong) > _SHOWN:
            lines.append(("", f"    and {len(o.wrong) - _SHOWN} more"))
    for log in dict.fromkeys(o.log for o in outcomes if o.state == FAILED):
        lines.append(("", f"log: {log}"))
    return lines


def verdicts(judged: Sequence[judges.Verdict]) -> Outcome:
    """All verdicts, for people and for programs."""
    documents = [
        VerdictEntry(
            v.judge,
            v.version,
            round(v.seconds, 1),
            str(v.log),
            [
                FindingEntry(
                    f.judge,
                    cast(Literal["error", "warning", "overridden"], f.severity),
                    f.package,
                    f.tag,
                    f.detail,
                )
                for f in v.findings
            ],
        )
        for v in judged
    ]
    return Outcome(
        VerdictsDocument(documents), "\n".join(verdict_rows(judged)), judges.exit_code(judged)
    )


def verdicts_in_brief(judged: Sequence[judges.Verdict]) -> str:
    """All verdicts in a line."""
    told = [f"{v.judge}: {v.count(ERROR)} error(s), {v.count(WARNING)} warning(s)" for v in judged]
    return "; ".join(told)


def verdict_rows(judged: Sequence[judges.Verdict]) -> list[str]:
    """Lines for people: each kind of finding once, with how often and the first of its details."""
    lines = []
    for verdict in judged:
        counts = Counter((f.severity, f.package, f.tag) for f in verdict.findings)
        order = {ERROR: 0, WARNING: 1, OVERRIDDEN: 2}
        for (severity, package, tag), count in sorted(
            counts.items(), key=lambda item: (order[item[0][0]], item[0])
        ):
            first = next(
                f.detail
                for f in verdict.findings
                if (f.severity, f.package, f.tag) == (severity, package, tag)
            )
            often = f" ({count} times)" if count > 1 else ""
            head, *rest = first.splitlines() or [""]
            lines.append(f"{severity}: {package}: {tag}{often}: {head}".rstrip(": "))
            lines += [f"    {line}" for line in rest]
    for verdict in judged:
        lines.append(
            f"{verdict.judge} {verdict.version}: {verdict.count(ERROR)} error(s), "
            f"{verdict.count(WARNING)} warning(s), {verdict.count(OVERRIDDEN)} overridden, "
            f"{verdict.seconds:.0f} s; log: {verdict.log}"
        )
    return lines
