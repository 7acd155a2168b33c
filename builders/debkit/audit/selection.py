# SPDX-License-Identifier: GPL-2.0-or-later
"""Which findings are told, and which of them make the exit status 1."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.debkit.audit.model import RULES, Finding, Report, Severity
from builders.debkit.audit.rules.package import PROBLEMS
from builders.errors import BuildError, Exit

THRESHOLDS = (*map(str, Severity), "never")
# Always told: a package that was not read whole must not look like a good one.
_UNREAD = frozenset({"unreadable", *PROBLEMS.values()})
_BASELINE_LIMIT = 64 << 20


@dataclass(frozen=True)
class Selection:
    """only: names of rules, all where it is empty. skip: names of rules that are left out.

    known: findings that a baseline accepts, by package, rule and subject.
    """

    only: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()
    known: frozenset[tuple[str, str, str]] = frozenset()

    def apply(self, report: Report) -> tuple[Report, int]:
        """The report without what is not to be told, and how many of it the baseline knew."""
        wanted = [f for f in report.findings if self._wants(f)]
        new = tuple(f for f in wanted if not self._knows(report, f))
        return dataclasses.replace(report, findings=new), len(wanted) - len(new)

    def _wants(self, finding: Finding) -> bool:
        if finding.rule in _UNREAD:
            return True
        return finding.rule not in self.skip and (not self.only or finding.rule in self.only)

    def _knows(self, report: Report, finding: Finding) -> bool:
        known = (report.package, finding.rule, finding.subject) in self.known
        return known and finding.rule not in _UNREAD


def selection(only: Iterable[str], skip: Iterable[str], baseline: str = "") -> Selection:
    """From the command line: names, also several with commas; baseline is a path or "".

    Raises BuildError for a rule that there is not, and for a baseline that cannot be read.
    """
    return Selection(_rules("--only", only), _rules("--skip", skip), _known(baseline))


def _rules(option: str, words: Iterable[str]) -> frozenset[str]:
    names = [name.strip() for word in words for name in word.split(",") if name.strip()]
    for name in names:
        if name not in RULES:
            near = difflib.get_close_matches(name, RULES, 1)
            raise BuildError(
                f"{option} {name}: no such rule",
                hint=f"did you mean {near[0]}?" if near else f"the rules: {', '.join(RULES)}",
            )
    return frozenset(names)


def _known(baseline: str) -> frozenset[tuple[str, str, str]]:
    """The findings of a report that `--format json` wrote earlier."""
    if not baseline:
        return frozenset()
    path = Path(baseline)
    hint = "write one with ./inv inspect --format json > FILE"
    try:
        with path.open("rb") as file:
            text = file.read(_BASELINE_LIMIT + 1)
        if len(text) > _BASELINE_LIMIT:
            raise BuildError(f"--baseline {path}: larger than 64 MiB", hint=hint)
        document = json.loads(text)
        return frozenset(
            (str(package["package"]), str(finding["rule"]), str(finding["subject"]))
            for package in document["packages"]
            for finding in package["findings"]
        )
    except OSError as error:
        raise BuildError(f"--baseline {path}: {error.strerror}", hint=hint) from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise BuildError(f"--baseline {path}: is no report of inspect", hint=hint) from None


def known_threshold(threshold: str) -> None:
    """BuildError where `threshold` is none."""
    if threshold not in THRESHOLDS:
        raise BuildError(
            f"--fail-on {threshold}: no such severity", hint=f"one of: {', '.join(THRESHOLDS)}"
        )


def exit_code(reports: Iterable[Report], threshold: str = "error") -> Exit:
    """Exit.AUDIT where a finding is as severe as `threshold`, Exit.DONE otherwise."""
    known_threshold(threshold)
    severe: Sequence[Severity] = ()
    if threshold != "never":
        order = list(Severity)
        severe = order[: order.index(Severity(threshold)) + 1]
    bad = any(report.count(severity) for report in reports for severity in severe)
    return Exit.AUDIT if bad else Exit.DONE
