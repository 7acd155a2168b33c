# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of the audit in words: for the terminal, and for docs/audit.md."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from builders.debkit.audit import RULES, Needs, Rule, Severity
from builders.errors import BuildError

_LOOKS = {
    Needs.CONTROL: "control information only",
    Needs.MEMBERS: "names, modes and owners of files",
    Needs.CONTENTS: "contents of files",
}


@dataclass(frozen=True)
class RuleEntry:
    rule: str
    severity: Severity
    explanation: str
    reference: Annotated[str, "Policy section or manual page that it rests on"]
    remedy: str
    needs: Annotated[Needs, "what of a package it looks at"]


@dataclass(frozen=True)
class RulesDocument:
    """Rules of the audit, in words."""

    kind: ClassVar[str] = "rules"
    schema: ClassVar[int] = 1
    rules: Sequence[RuleEntry]


def known(name: str) -> Rule:
    """The rule of that name; BuildError, with the nearest name, where there is none."""
    if name not in RULES:
        near = difflib.get_close_matches(name, RULES, 1)
        raise BuildError(
            f"--explain {name}: no such rule",
            hint=f"did you mean {near[0]}?" if near else "--rules lists them all",
        )
    return RULES[name]


def text(name: str, width: int) -> str:
    """One rule for a person, in lines of at most `width` columns (40 at least)."""
    rule = known(name)
    width = max(40, min(width, 80))
    parts = [
        f"{rule.name} ({rule.severity})",
        "",
        *textwrap.wrap(rule.explanation, width),
        "",
        *_labelled("Rests on", rule.reference, width),
        *_labelled("Remedy", rule.remedy, width),
        *_labelled("Looks at", _LOOKS[rule.needs], width),
    ]
    return "\n".join(parts) + "\n"


def document(chosen: Sequence[Rule]) -> RulesDocument:
    """These rules for programs."""
    return RulesDocument(
        [
            RuleEntry(r.name, r.severity, r.explanation, r.reference, r.remedy, r.needs)
            for r in chosen
        ]
    )


def _labelled(label: str, words: str, width: int) -> Iterator[str]:
    indent = " " * 10
    yield from textwrap.wrap(
        words, width, initial_indent=f"{label + ':':<10}", subsequent_indent=indent
    )


def listing(width: int) -> str:
    """All rules, a line for each: name, severity, and the first sentence as far as it goes."""
    names = max(map(len, RULES))
    lines = []
    for severity in Severity:
        for rule in sorted(_of(severity), key=lambda r: r.name):
            line = f"{rule.name:<{names}}  {severity:<7}  {_first(rule)}"
            lines.append(_cut(line, width))
    lines += ["", f"{len(RULES)} rules; --explain RULE tells more"]
    return "\n".join(lines) + "\n"


def _of(severity: Severity) -> Iterable[Rule]:
    return (rule for rule in RULES.values() if rule.severity is severity)


def _first(rule: Rule) -> str:
    return rule.explanation.partition(". ")[0].rstrip(".")


def _cut(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    return line[: max(40, width) - 4].rpartition(" ")[0] + " ..."


def markdown() -> str:
    """All rules as a part of docs/audit.md."""
    lines = []
    for severity in Severity:
        rules = sorted(_of(severity), key=lambda r: r.name)
        lines += [f"### {severity.capitalize()}s" if severity != "info" else "### Notes", ""]
        for rule in rules:
            lines += [
                f"- **{rule.name}**: {_escaped(rule.explanation)} *{_escaped(rule.reference)}.*"
                f" Remedy: {_escaped(rule.remedy)}.",
            ]
        lines.append("")
    return "\n".join(lines)


def _escaped(words: str) -> str:
    for mark in "<>*_":
        words = words.replace(mark, f"\\{mark}")
    return words
