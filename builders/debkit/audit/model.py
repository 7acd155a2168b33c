# SPDX-License-Identifier: GPL-2.0-or-later
"""What the audit speaks of: rules, what they find, and the report on a package."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builders.debkit.audit.facts import Facts


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Finding:
    """One thing that a rule found; subject is the path inside the package, or ""."""

    rule: str
    severity: Severity
    message: str
    subject: str = ""


@dataclass(frozen=True)
class Report:
    """What was found in one package; its fields are "" where they could not be read."""

    path: Path
    package: str
    version: str
    architecture: str
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        return sum(f.severity is severity for f in self.findings)


@dataclass(frozen=True)
class Found:
    """What a rule yields; a severity other than the rule's own stands here."""

    message: str
    subject: str = ""
    severity: Severity | None = None


class Needs(StrEnum):
    """What of a package a rule looks at; each takes more time than the one before."""

    CONTROL = "control"
    MEMBERS = "members"  # names, modes, owners and sizes in data.tar
    CONTENTS = "contents"  # of the files


Check = Callable[["Facts"], Iterable[Found]]


@dataclass(frozen=True)
class Rule:
    """A rule as people read it. Its name is stable: scripts may depend on it."""

    name: str
    severity: Severity
    explanation: str
    reference: str
    remedy: str
    check: Check
    needs: Needs = Needs.CONTENTS


RULES: dict[str, Rule] = {}


def rule(
    name: str,
    severity: Severity,
    *,
    explanation: str,
    reference: str,
    remedy: str,
    needs: Needs = Needs.CONTENTS,
) -> Callable[[Check], Check]:
    """Register the decorated function as the check of a rule."""

    def register(check: Check) -> Check:
        RULES[name] = Rule(name, severity, explanation, reference, remedy, check, needs)
        return check

    return register
