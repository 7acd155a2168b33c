# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on configuration files (Policy 10.7, deb-conffiles(5))."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from builders.debkit import deb
from builders.debkit.audit.facts import Facts
from builders.debkit.audit.model import Found, Needs, Severity, rule
from builders.debkit.audit.rules.links import link_target
from builders.debkit.deb.metadata import read_conffiles


@rule(
    "etc-not-conffile",
    Severity.ERROR,
    explanation="A file under /etc is no conffile: every upgrade overwrites it, and what the"
    " administrator changed in it is lost.",
    reference="Policy 10.7.2, appendix E",
    remedy="leave conffiles = true in the recipe's corrections",
    needs=Needs.MEMBERS,
)
def _etc_not_conffile(facts: Facts) -> Iterator[Found]:
    if facts.udeb:
        return  # the installer is not upgraded
    conffiles = set(facts.conffiles)
    for entry in facts.entries:
        below_etc = deb.is_file(entry) and entry.path.startswith("/etc/")
        if below_etc and entry.path not in conffiles:
            yield Found("is not listed as a conffile", entry.path)


@rule(
    "conffile-missing",
    Severity.WARNING,
    explanation="conffiles lists a path that is no file of the package: it is not there (dpkg-deb"
    " refuses to build such a package), or it is a link. Two cases are errors: a"
    " folder, which dpkg cannot unpack as a conffile, and a file that an upgrade is to"
    " remove, which the package has.",
    reference="Policy 10.7.3, deb-conffiles(5)",
    remedy="finish the package: the list is made anew",
    needs=Needs.MEMBERS,
)
def _conffile_missing(facts: Facts) -> Iterator[Found]:
    for path in dict.fromkeys(facts.conffiles):
        entry = facts.paths.get(path)
        if path in facts.removed:
            if entry is not None:
                yield Found(
                    "is marked remove-on-upgrade, but the package has it", path, Severity.ERROR
                )
        elif entry is None and path.endswith("/") and _is_file(facts, path.rstrip("/")):
            yield Found("has a slash at its end", path, Severity.ERROR)
        elif entry is None:
            yield Found("is listed as a conffile, but not in the package", path)
        elif entry.info.isdir():
            yield Found("is listed as a conffile, but is a folder", path, Severity.ERROR)
        elif not deb.is_file(entry):
            misses = facts.expectations.tools.dpkg >= (1, 21)
            lost = misses and entry.info.issym() and link_target(entry) not in facts.paths
            severity = Severity.ERROR if lost else None  # dpkg --verify misses it
            yield Found("is listed as a conffile, but is no regular file", path, severity)


def _is_file(facts: Facts, path: str) -> bool:
    entry = facts.paths.get(path)
    return entry is not None and not entry.info.isdir()


@rule(
    "conffile-listing",
    Severity.ERROR,
    explanation="conffiles has a line that dpkg does not read: dpkg cannot unpack the package. A"
    " line that dpkg passes over is a warning: an empty one, a path that is listed"
    " twice or that is not in its shortest form.",
    reference="deb-conffiles(5)",
    remedy="finish the package: the list is made anew",
    needs=Needs.CONTROL,
)
def _conffile_listing(facts: Facts) -> Iterator[Found]:
    content, tools = facts.files.get("conffiles", b""), facts.expectations.tools
    listed, faults = read_conffiles(content, tools.dpkg)
    for fault in faults:
        severity = None if fault.refused else Severity.WARNING
        yield Found(fault.message, fault.subject or "conffiles", severity)
    for conffile in listed:
        if conffile.path != conffile.written:
            yield Found(f"is written as {conffile.written}", conffile.path, Severity.WARNING)
    for path, count in Counter(conffile.path for conffile in listed).items():
        if count > 1:
            yield Found(f"is listed as a conffile {count} times", path, Severity.WARNING)


@rule(
    "conffile-outside-etc",
    Severity.WARNING,
    explanation="A conffile is configuration, which belongs in /etc. In /usr nobody can change it"
    " where that is mounted read-only.",
    reference="Policy 10.7.2",
    remedy="move the file to /etc, or take it out of conffiles",
    needs=Needs.CONTROL,
)
def _conffile_outside_etc(facts: Facts) -> Iterator[Found]:
    for path in dict.fromkeys(facts.conffiles):
        if path.startswith("/") and not path.startswith("/etc/"):
            yield Found("is a conffile outside of /etc", path)


@rule(
    "conffile-hard-link",
    Severity.WARNING,
    explanation="A conffile is a hard link to another name. dpkg writes a new version as a new"
    " file, and then the two differ.",
    reference="Policy 10.7.3",
    remedy="ship two files, or a symbolic link",
    needs=Needs.MEMBERS,
)
def _conffile_hard_link(facts: Facts) -> Iterator[Found]:
    conffiles = set(facts.conffiles)
    for entry in facts.entries:
        if entry.info.islnk() and (entry.path in conffiles or entry.target in conffiles):
            yield Found(f"is a hard link to {entry.target}", entry.path)
