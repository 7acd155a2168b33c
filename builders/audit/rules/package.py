# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on the archives that a package is made of: ar, compression, tar."""

from __future__ import annotations

from collections.abc import Iterator

from builders.audit.facts import Facts
from builders.audit.model import Found, Needs, Severity, rule

# What `audit` calls it where reading ends there, by the kind of the error.
PROBLEMS = {"traversal": "path-traversal"}


def _of_kind(facts: Facts, *kinds: str) -> Iterator[Found]:
    for oddity in facts.oddities:
        if oddity.kind in kinds:
            yield Found(oddity.message, oddity.path)


@rule(
    "unreadable",
    Severity.ERROR,
    explanation="The file is no whole .deb, dpkg would not unpack it or apt not read it.",
    reference="deb(5)",
    remedy="fetch or build it again",
    needs=Needs.CONTROL,
)
def _unreadable(facts: Facts) -> Iterator[Found]:
    yield from _of_kind(facts, "refused")


@rule(
    "path-traversal",
    Severity.ERROR,
    explanation="A member's name or hard link leads out of the package.",
    reference="deb(5), tar(5)",
    remedy="do not install it; build it from sources that you trust",
    needs=Needs.CONTROL,
)
def _path_traversal(facts: Facts) -> Iterator[Found]:
    yield from _of_kind(facts, "traversal")


@rule(
    "duplicate-member",
    Severity.WARNING,
    explanation="Two members have the same name. dpkg unpacks both: of files the later one stays,"
    " links are made last of all. A folder that is listed twice is a note.",
    reference="deb(5); dpkg-deb(1) lists each path once",
    remedy="finish the package, or build it again with dpkg-deb -b",
    needs=Needs.CONTROL,
)
def _duplicate_member(facts: Facts) -> Iterator[Found]:
    folders = {entry.path for entry in facts.entries if entry.info.isdir()}
    for found in _of_kind(facts, "duplicate"):
        severity = Severity.INFO if found.subject in folders else None
        yield Found("is there twice", found.subject, severity)


@rule(
    "absolute-member",
    Severity.WARNING,
    explanation="The name of a member begins with a slash. dpkg takes it away; other programs"
    " may unpack it over the system's own files.",
    reference="deb(5), tar(1) --absolute-names",
    remedy="finish the package, or build it again with dpkg-deb -b",
    needs=Needs.CONTROL,
)
def _absolute_member(facts: Facts) -> Iterator[Found]:
    yield from _of_kind(facts, "absolute")


@rule(
    "odd-archive",
    Severity.WARNING,
    explanation="Something about the archives that dpkg passes over, and that no tool of Debian"
    " writes: bytes that nobody reads, no end mark, a file twice in control.tar.",
    reference="deb(5), tar(5)",
    remedy="finish the package, or build it again with dpkg-deb -b",
    needs=Needs.CONTROL,
)
def _odd_archive(facts: Facts) -> Iterator[Found]:
    yield from _of_kind(facts, "odd")
