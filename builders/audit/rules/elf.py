# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on ELF files."""

from __future__ import annotations

from collections.abc import Iterator

from builders.audit.facts import Facts
from builders.audit.model import Found, Severity, rule


@rule(
    "elf-unread",
    Severity.WARNING,
    explanation="An ELF file could not be looked into, so that what it needs is not known.",
    reference="elf(5)",
    remedy="look at it with readelf -d",
)
def _elf_unread(facts: Facts) -> Iterator[Found]:
    for path, why in facts.unread.items():
        yield Found(why, path)
