# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules behind `inspect`: what is wrong with a .deb, and what to do about it.

A rule is one function under `@rule`: it is handed the facts of one package, which a single pass
over its data gathered, and yields what it found. Nothing here prints.
"""

from __future__ import annotations

from builders.debkit.audit.expectations import Expectations
from builders.debkit.audit.facts import Facts
from builders.debkit.audit.inspection import audit, audit_all, expand
from builders.debkit.audit.model import RULES, Finding, Found, Needs, Report, Rule, Severity, rule
from builders.debkit.audit.selection import exit_code

__all__ = [
    "RULES",
    "Expectations",
    "Facts",
    "Finding",
    "Found",
    "Needs",
    "Report",
    "Rule",
    "Severity",
    "audit",
    "audit_all",
    "exit_code",
    "expand",
    "rule",
]
