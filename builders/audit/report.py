# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said about the reports: as a table for people, as JSON for programs."""

from __future__ import annotations

import collections
import json
import textwrap
from collections.abc import Sequence

from builders.audit.model import RULES, Report, Severity
from builders.progress import printable

SCHEMA = 1  # of to_json; it grows when a key changes its meaning or goes


def to_json(reports: Sequence[Report]) -> str:
    """The reports for programs.

    {"schema": 1,
     "summary": {"packages": n, "error": n, "warning": n, "info": n},
     "packages": [{"path", "package", "version", "architecture",
                   "findings": [{"rule", "severity", "message", "subject"}]}],
     "rules": {name: {"explanation", "reference", "remedy"}} of the rules that found something}

    All values but the numbers are strings; subject is a path inside the package or "".
    """
    used = {finding.rule for report in reports for finding in report.findings}
    document = {
        "schema": SCHEMA,
        "summary": {
            "packages": len(reports),
            **{str(s): sum(report.count(s) for report in reports) for s in Severity},
        },
        "packages": [
            {
                "path": str(report.path),
                "package": report.package,
                "version": report.version,
                "architecture": report.architecture,
                "findings": [
                    {
                        "rule": finding.rule,
                        "severity": str(finding.severity),
                        "message": finding.message,
                        "subject": finding.subject,
                    }
                    for finding in report.findings
                ],
            }
            for report in reports
        ],
        "rules": {
            name: {
                "explanation": RULES[name].explanation,
                "reference": RULES[name].reference,
                "remedy": RULES[name].remedy,
            }
            for name in sorted(used)
        },
    }
    return json.dumps(document, indent=2)


_COLOURS = {Severity.ERROR: "\033[1;31m", Severity.WARNING: "\033[33m", Severity.INFO: "\033[2m"}
_BOLD, _RESET = "\033[1m", "\033[0m"


def table(reports: Sequence[Report], width: int, colour: bool) -> str:
    """The reports for people, in lines of at most `width` columns (40 at least).

    Findings of one rule that say the same are one row; errors come first, each with its remedy.
    """
    width = max(width, 40)
    lines: list[str] = []
    for report in reports:
        lines += _report_lines(report, width, colour)
    lines += _wrapped(_summary(reports), "", "  ", width)
    return "\n".join(lines) + "\n"


def _report_lines(report: Report, width: int, colour: bool) -> list[str]:
    title = " ".join(filter(None, (report.package, report.version, report.architecture)))
    title = title or printable(str(report.path))
    counts = _counts([report]) or "nothing found"
    lines = _wrapped(f"{title}: {counts}", "", "  ", width)
    if colour:
        lines = [f"{_BOLD}{line}{_RESET}" for line in lines]
    groups: dict[tuple[Severity, str, str], list[str]] = collections.defaultdict(list)
    for finding in report.findings:
        groups[finding.severity, finding.rule, finding.message].append(finding.subject)
    order = list(Severity)
    names = max((len(name) for _, name, _ in groups), default=0)
    told: set[str] = set()
    for severity, name, message in sorted(groups, key=lambda g: (order.index(g[0]), g[1])):
        subjects = [s for s in groups[severity, name, message] if s]
        text = message
        if subjects:
            more = f" and {len(subjects) - 1} more" if len(subjects) > 1 else ""
            text = f"{subjects[0]}{more}: {message}"
        lines += _row(severity, name, text, names, width, colour)
        if severity is Severity.ERROR and name not in told:
            told.add(name)
            lines += _row(None, "", f"-> {RULES[name].remedy}", names, width, colour)
    return [*lines, ""]


def _row(
    severity: Severity | None, name: str, text: str, names: int, width: int, colour: bool
) -> list[str]:
    """One row: in columns where there is room for the text, otherwise the text below."""
    label = f"{severity or '':<7}"
    if width - names - 13 >= 40:
        lines = _wrapped(text, f"  {label}  {name:<{names}}  ", " " * (names + 13), width)
    else:
        first = [f"  {label}  {name}"] if severity else []
        lines = [*first, *_wrapped(text, "    ", "    ", width)]
    if colour and severity:
        lines[0] = lines[0].replace(label, f"{_COLOURS[severity]}{label}{_RESET}", 1)
    return lines


def _wrapped(text: str, first: str, rest: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
    ) or [first.rstrip()]


def _counts(reports: Sequence[Report]) -> str:
    words = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
    parts = []
    for severity, word in words.items():
        count = sum(report.count(severity) for report in reports)
        if count:
            parts.append(f"{count} {word}{'s' * (count != 1)}")
    return ", ".join(parts)


def _summary(reports: Sequence[Report]) -> str:
    packages = f"{len(reports)} package{'s' * (len(reports) != 1)}"
    return f"{packages}: {_counts(reports) or 'nothing found'}"
