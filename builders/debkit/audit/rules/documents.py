# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on documents: copyright, changelog, manual pages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builders.debkit import deb
from builders.debkit.audit.facts import Facts
from builders.debkit.audit.model import Found, Needs, Severity, rule


def _doc(facts: Facts) -> str:
    return f"/usr/share/doc/{facts.name}"


def _elsewhere(facts: Facts) -> bool:
    """Whether the folder of documents is a link to that of another package (Policy 12.5)."""
    entry = facts.paths.get(_doc(facts))
    return entry is not None and entry.info.issym()


@rule(
    "copyright-missing",
    Severity.ERROR,
    explanation="The package does not say who made it, and under which terms it may be used and"
    " passed on.",
    reference="Policy 12.5",
    remedy="state copyright in the recipe's corrections: /usr/share/doc/<package>/copyright",
    needs=Needs.MEMBERS,
)
def _copyright_missing(facts: Facts) -> Iterator[Found]:
    if facts.udeb or facts.name.endswith("-dbgsym") or _elsewhere(facts):
        return
    path = f"{_doc(facts)}/copyright"
    if path in facts.paths:
        return
    if f"{path}.gz" in facts.paths:
        yield Found("is compressed, which tools do not expect", f"{path}.gz", Severity.WARNING)
    else:
        yield Found(f"there is no {path}")


@rule(
    "changelog-missing",
    Severity.WARNING,
    explanation="The package does not say what changed in it; apt and its front ends show that"
    " before an upgrade.",
    reference="Policy 12.7, 4.4",
    remedy="finish the package with a changelog: /usr/share/doc/<package>/changelog.Debian.gz",
    needs=Needs.MEMBERS,
)
def _changelog_missing(facts: Facts) -> Iterator[Found]:
    if facts.udeb or facts.name.endswith("-dbgsym") or _elsewhere(facts):
        return
    names = ("changelog.Debian.gz", "changelog.gz", "changelog.Debian", "changelog")
    for name in names:
        if (entry := facts.paths.get(f"{_doc(facts)}/{name}")) is not None:
            if not name.endswith(".gz") and not entry.info.issym():
                yield Found("is not compressed", entry.path)
            return
    yield Found(f"there is no {_doc(facts)}/changelog.Debian.gz")


@rule(
    "uncompressed-document",
    Severity.WARNING,
    explanation="A manual page or info file is not compressed. One that is named .gz and is not"
    " gzip's is an error: man cannot show it.",
    reference="Policy 12.1, 12.2",
    remedy="finish the package: it is compressed with gzip -9n (dh_compress(1))",
)
def _uncompressed_document(facts: Facts) -> Iterator[Found]:
    pattern = re.compile(
        r"/usr/share/man(/[^/]+)?/man[0-9n]/[^/]+|/usr/share/info/[^/]+\.info(-[0-9]+)?(\.gz)?"
        r"|/usr/(X11R6|local/share)/man/man[0-9]/[^/]+"
    )
    for entry in facts.entries:
        if not entry.info.isreg() or not pattern.fullmatch(entry.path):
            continue
        if not entry.path.endswith(".gz"):
            yield Found("is not compressed", entry.path)
        elif entry.path not in facts.compressed and entry.info.size:
            yield Found("is named .gz, but is not gzip's", entry.path, Severity.ERROR)


@rule(
    "document-outside",
    Severity.WARNING,
    explanation="A manual page or document lies where Debian's tools do not look. A file that"
    " every package would have (/usr/share/info/dir) is an error.",
    reference="Policy 12.1 to 12.3",
    remedy="configure the build with --mandir=/usr/share/man --infodir=/usr/share/info",
    needs=Needs.MEMBERS,
)
def _document_outside(facts: Facts) -> Iterator[Found]:
    told: set[str] = set()
    for entry in facts.entries:
        if re.fullmatch(r"/usr/share/info/dir(\.old)?(\.gz)?", entry.path):
            yield Found("belongs to install-info", entry.path, Severity.ERROR)
        match = re.match(r"/usr/(man|info|doc)/[^/]", entry.path)
        if match and match[1] not in told and deb.is_file(entry):
            told.add(match[1])
            yield Found(f"lies in /usr/{match[1]}, not in /usr/share/{match[1]}", entry.path)


@rule(
    "no-manual-page",
    Severity.INFO,
    explanation="A program has no manual page of its name.",
    reference="Policy 12.1",
    remedy="ship one in /usr/share/man/man1 or man8",
    needs=Needs.MEMBERS,
)
def _no_manual_page(facts: Facts) -> Iterator[Found]:
    if facts.udeb:
        return
    pages = {
        match[1]
        for path in facts.paths
        if (match := re.fullmatch(r"/usr/share/man/(?:[^/]+/)?man[0-9]/([^/]+)\.[0-9][^/]*", path))
    }
    for entry in facts.entries:
        match = re.fullmatch(r"(?:/usr)?/(?:s?bin|games)/([^/]+)", entry.path)
        if match and not entry.info.isdir() and match[1] not in pages:
            yield Found("has no manual page", entry.path)
