# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said about the reports of the audit, as a table for people."""

from __future__ import annotations

import collections
import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from builders.debkit.audit import RULES, Report, Severity
from builders.text import printable

_COLOURS = {Severity.ERROR: "\033[1;31m", Severity.WARNING: "\033[33m", Severity.INFO: "\033[2m"}
_BOLD, _RESET = "\033[1m", "\033[0m"


_SHOWN = 3  # rows of one rule in a table, where there are more than one more


@dataclass(frozen=True)
class Group:
    """Findings of one rule that say the same; text names the first subject and their number."""

    severity: Severity
    rule: str
    text: str
    count: int


def grouped(report: Report) -> list[Group]:
    """The findings for people: errors first, then by rule."""
    groups: dict[tuple[Severity, str, str], list[str]] = collections.defaultdict(list)
    for finding in report.findings:
        groups[finding.severity, finding.rule, finding.message].append(finding.subject)
    order = list(Severity)
    found = []
    for severity, name, message in sorted(groups, key=lambda g: (order.index(g[0]), g[1])):
        every = groups[severity, name, message]
        subjects = [s for s in every if s]
        text = message
        if subjects:
            more = f" and {len(subjects) - 1} more" if len(subjects) > 1 else ""
            text = f"{subjects[0]}{more}: {message}"
        found.append(Group(severity, name, text, len(every)))
    return found


def table(
    reports: Sequence[Report], width: int, colour: bool, *, full: bool = False, known: int = 0
) -> str:
    """The reports for people, in lines of at most `width` columns (40 at least).

    Findings of one rule that say the same are one row; errors come first, each with its remedy.
    full: also of a rule that has much to say every row is there.
    known: findings that a baseline accepted, for the last line.
    """
    width = max(width, 40)
    lines: list[str] = []
    for report in reports:
        told = _report_lines(report, width, colour, full)
        # Packages without findings stand together, one line each.
        if lines and (len(told) > 1 or lines[-1].startswith(" ")):
            lines.append("")
        lines += told
    if len(reports) > 1 or known:
        if lines:
            lines.append("")
        text = f"{summary(reports)}{f'; {known} accepted by the baseline' if known else ''}"
        lines += _wrapped(text, "", "  ", width)
    return "\n".join(lines) + "\n"


def _report_lines(report: Report, width: int, colour: bool, full: bool) -> list[str]:
    title = " ".join(filter(None, (report.package, report.version, report.architecture)))
    title = title or printable(str(report.path))
    counts = _counts([report]) or "nothing found"
    lines = _wrapped(f"{title}: {counts}", "", "  ", width)
    if colour:
        lines = [f"{_BOLD}{line}{_RESET}" for line in lines]
    groups = grouped(report)
    names = max((len(group.rule) for group in groups), default=0)
    for (severity, name), rows in itertools.groupby(groups, key=lambda g: (g.severity, g.rule)):
        every = list(rows)
        shown = every if full or len(every) <= _SHOWN + 1 else every[:_SHOWN]
        texts = [group.text for group in shown]
        if len(shown) < len(every):
            count = sum(group.count for group in every[_SHOWN:])
            texts.append(f"and {count} more: --only {name} shows all")
        if severity is Severity.ERROR:
            texts.append(f"-> {RULES[name].remedy}")
        lines += _rows(severity, name, texts, names, width, colour)
    return lines


def _rows(
    severity: Severity, name: str, texts: Sequence[str], names: int, width: int, colour: bool
) -> list[str]:
    """What a rule says: in columns where there is room for the text, otherwise the text below."""
    label = f"{severity:<7}"
    if width - names - 13 >= _ROOM:
        rest = " " * (names + 13)
        first = f"  {label}  {name:<{names}}  "
        lines = _wrapped(texts[0], first, rest, width)
        below = texts[1:]
    else:
        rest = " " * 6
        lines = [f"  {label}  {name}"]
        below = texts
    for text in below:
        lines += _wrapped(text, rest, rest + "  ", width)
    if colour:
        lines[0] = lines[0].replace(label, f"{_COLOURS[severity]}{label}{_RESET}", 1)
    return lines


_ROOM = 50  # columns that a text needs beside the names of rules


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


def summary(reports: Sequence[Report]) -> str:
    """One line: how many packages, and what was found in them."""
    packages = f"{len(reports)} package{'s' * (len(reports) != 1)}"
    return f"{packages}: {_counts(reports) or 'nothing found'}"
