# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on what a package says of its own files: sums and sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builders.debkit import deb
from builders.debkit.audit.facts import Facts
from builders.debkit.audit.model import Found, Needs, Severity, rule
from builders.debkit.deb.metadata import read_md5sums


@rule(
    "md5sums",
    Severity.ERROR,
    explanation="The md5sums file does not agree with the files, or has a line at which dpkg"
    " --verify stops. Where it is missing, or lacks a file that it should list, dpkg"
    " cannot check that: a warning.",
    reference="deb-md5sums(5), dpkg(1) --verify",
    remedy="finish the package: the sums are made anew",
)
def _md5sums(facts: Facts) -> Iterator[Found]:
    files = {entry.path: entry for entry in facts.entries if deb.is_file(entry)}
    conffiles = set(facts.conffiles)
    if "md5sums" not in facts.files:
        if files.keys() - conffiles and not facts.udeb:
            yield Found("the package has none: dpkg --verify cannot check it", "", Severity.WARNING)
        return
    sums, faults = read_md5sums(facts.files["md5sums"])
    for fault in faults:
        if fault.refused:
            yield Found(fault.message, "md5sums")
    for path, digest in sums.items():
        entry = facts.paths.get("/" if path == "/." else path)
        if path == "/":
            continue  # dpkg has no such name
        if entry is None:
            yield Found("is listed, but not in the package", path, Severity.WARNING)
        elif entry.info.isdir():
            yield Found("is listed, but is a folder", path)
        elif path in files and digest != files[path].md5:
            upper = digest.lower() == files[path].md5
            yield Found("has its sum in upper case" if upper else "is not what its sum says", path)
    for path in files:
        if path not in sums and path not in conffiles:
            yield Found("is not listed", path, Severity.WARNING)


@rule(
    "installed-size",
    Severity.INFO,
    explanation="Installed-Size is missing, or not the size of the files. It is a warning where"
    " it is wrong by more than a tenth and a MiB.",
    reference="Policy 5.6.20, deb-substvars(5)",
    remedy="finish the package: it is computed anew",
    needs=Needs.MEMBERS,
)
def _installed_size(facts: Facts) -> Iterator[Found]:
    stated = facts.control.get("Installed-Size", "").strip()
    real = deb.installed_size(facts.entries)
    if not stated:
        yield Found(f"Installed-Size is missing; the files have {real} KiB")
        return
    if not re.fullmatch(r"[0-9]{1,15}", stated):
        yield Found(f"Installed-Size {stated!r} is no number", severity=Severity.WARNING)
        return
    # dpkg-gencontrol counts the files of control.tar too, where it finds them.
    control = 1 + sum(-(-len(content) // 1024) for content in facts.files.values())
    difference = abs(int(stated) - real)
    if difference > control:
        large = difference > max(1024, real // 10)
        yield Found(
            f"Installed-Size is {stated}; the files have {real} KiB",
            severity=Severity.WARNING if large else None,
        )
