# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on the archives that a package is made of: ar, compression, tar."""

from __future__ import annotations

from collections.abc import Iterator

from builders.debkit.audit.facts import Facts
from builders.debkit.audit.model import Found, Needs, Severity, rule
from builders.debkit.deb.oddities import Oddity
from builders.debkit.deb.since import member_fault
from builders.debkit.deb.suites import tools

# What `audit` calls it where reading ends there, by the kind of the error.
PROBLEMS = {"traversal": "path-traversal"}


def _of_kind(facts: Facts, *kinds: str) -> Iterator[Found]:
    for oddity in facts.oddities:
        if oddity.kind in kinds:
            yield Found(oddity.message, oddity.path)


@rule(
    "unreadable",
    Severity.ERROR,
    explanation="The file is no whole .deb: dpkg would not unpack it, or apt not read it.",
    reference="deb(5)",
    remedy="fetch or build it again",
    needs=Needs.CONTROL,
)
def _unreadable(facts: Facts) -> Iterator[Found]:
    yield from _of_kind(facts, "refused")
    for oddity in facts.oddities:
        if _refused(oddity, facts):
            since = ".".join(map(str, oddity.refused_since))
            yield Found(f"{oddity.message}: refused from dpkg {since} on", oddity.path)


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
    explanation="Two members have the same name. dpkg unpacks both: of two files the later one"
    " stays, and links are made last. A folder that is listed twice is a note.",
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
    explanation="The name of a member begins with a slash. dpkg takes the slash away; other"
    " programs may unpack the member over the system's own files. Of the root's name"
    " nothing is left: dpkg lists an empty name, and stops whenever it reads that list"
    " (an error).",
    reference="deb(5), tar(1) --absolute-names",
    remedy="finish the package, or build it again with dpkg-deb -b",
    needs=Needs.CONTROL,
)
def _absolute_member(facts: Facts) -> Iterator[Found]:
    for found in _of_kind(facts, "absolute"):
        severity = Severity.ERROR if found.subject == "/" else None
        yield Found(found.message, found.subject, severity)


@rule(
    "odd-archive",
    Severity.WARNING,
    explanation="The archives have something that dpkg passes over and no tool of Debian writes:"
    " bytes that nobody reads, no end mark, a file twice in control.tar.",
    reference="deb(5), tar(5)",
    remedy="finish the package, or build it again with dpkg-deb -b",
    needs=Needs.CONTROL,
)
def _odd_archive(facts: Facts) -> Iterator[Found]:
    for oddity in facts.oddities:
        if oddity.kind == "odd" and not _refused(oddity, facts):
            yield Found(oddity.message, oddity.path)


def _refused(oddity: Oddity, facts: Facts) -> bool:
    """Whether the suite's dpkg refuses what others take."""
    since = oddity.refused_since
    return bool(since) and tools(facts.expectations.suite).dpkg >= since


@rule(
    "compression-of-suite",
    Severity.ERROR,
    explanation="The dpkg of the suite cannot read this compression. zstd came with 1.21.18, a"
    " control.tar.xz or one that is not compressed with 1.17.6. Known only where the"
    " suite is stated.",
    reference="deb(5)",
    remedy="build it with dpkg-deb -Zxz, for suites before jessie with --no-uniform-compression",
    needs=Needs.CONTROL,
)
def _compression_of_suite(facts: Facts) -> Iterator[Found]:
    suite = facts.expectations.suite
    for name in facts.members if suite else ():
        if fault := member_fault(name, suite):
            yield Found(fault)
