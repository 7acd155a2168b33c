# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on configuration files (Policy 10.7, deb-conffiles(5))."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from builders import deb
from builders.audit.facts import Facts
from builders.audit.model import Found, Needs, Severity, rule


@rule(
    "etc-not-conffile",
    Severity.ERROR,
    explanation="A file under /etc that is no conffile is overwritten by every upgrade, whatever"
    " the administrator changed in it.",
    reference="Policy 10.7.2, appendix E",
    remedy="leave conffiles = true in the recipe's corrections",
    needs=Needs.MEMBERS,
)
def _etc_not_conffile(facts: Facts) -> Iterator[Found]:
    conffiles = set(facts.conffiles)
    for entry in facts.entries:
        below_etc = deb.is_file(entry) and entry.path.startswith("/etc/")
        if below_etc and entry.path not in conffiles:
            yield Found("is not listed as a conffile", entry.path)


@rule(
    "conffile-missing",
    Severity.ERROR,
    explanation="conffiles lists what is no file of the package: it is not there (dpkg-deb refuses"
    " to build such a package), or it is a folder or a link.",
    reference="Policy 10.7.3, deb-conffiles(5)",
    remedy="finish the package: the list is made anew",
    needs=Needs.MEMBERS,
)
def _conffile_missing(facts: Facts) -> Iterator[Found]:
    for path in dict.fromkeys(facts.conffiles):
        entry = facts.paths.get(path)
        if path in facts.removed:
            if entry is not None:
                yield Found("is marked remove-on-upgrade, but the package has it", path)
        elif not path.startswith("/"):
            continue
        elif entry is None:
            yield Found("is listed as a conffile, but not in the package", path)
        elif not deb.is_file(entry):
            yield Found("is listed as a conffile, but is no regular file", path)


@rule(
    "conffile-listing",
    Severity.ERROR,
    explanation="A line of conffiles is no absolute path, or is there twice (a warning).",
    reference="deb-conffiles(5)",
    remedy="finish the package: the list is made anew",
    needs=Needs.CONTROL,
)
def _conffile_listing(facts: Facts) -> Iterator[Found]:
    for path, count in Counter(facts.conffiles).items():
        if not path.startswith("/"):
            yield Found("is listed as a conffile, but is no absolute path", path)
        if count > 1:
            yield Found(f"is listed as a conffile {count} times", path, Severity.WARNING)


@rule(
    "conffile-outside-etc",
    Severity.WARNING,
    explanation="A conffile is configuration, and that lies in /etc. In /usr it cannot be changed"
    " on a system that mounts it read-only.",
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
    Severity.ERROR,
    explanation="A conffile shares its content with another name. dpkg writes the new version"
    " beside it, which parts the two.",
    reference="Policy 10.7.3",
    remedy="ship two files, or a symbolic link",
    needs=Needs.MEMBERS,
)
def _conffile_hard_link(facts: Facts) -> Iterator[Found]:
    conffiles = set(facts.conffiles)
    for entry in facts.entries:
        if entry.info.islnk() and (entry.path in conffiles or entry.target in conffiles):
            yield Found(f"is a hard link to {entry.target}", entry.path)
