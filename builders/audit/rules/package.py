# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on reading the package at all."""

from __future__ import annotations

from collections.abc import Iterable

from builders.audit.facts import Facts
from builders.audit.model import Found, Needs, Severity, rule

PROBLEMS = {"traversal": "path-traversal", "duplicate": "duplicate-member"}


def _told_by_reading(facts: Facts) -> Iterable[Found]:  # noqa: ARG001
    """These are found where reading stops, in `audit`."""
    return ()


rule(
    "unreadable",
    Severity.ERROR,
    explanation="The file is no whole .deb, or dpkg would not unpack it.",
    reference="deb(5)",
    remedy="fetch or build it again",
    needs=Needs.CONTROL,
)(_told_by_reading)
rule(
    "path-traversal",
    Severity.ERROR,
    explanation="A member's name or hard link leads out of the package.",
    reference="deb(5), tar(5)",
    remedy="do not install it; build it from sources that you trust",
    needs=Needs.CONTROL,
)(_told_by_reading)
rule(
    "duplicate-member",
    Severity.ERROR,
    explanation="Two members have the same name: which one is unpacked is left to chance.",
    reference="deb(5)",
    remedy="build it again with dpkg-deb -b",
    needs=Needs.CONTROL,
)(_told_by_reading)
