# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on owners, modes, times and kinds of files."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from builders.debkit import deb
from builders.debkit.audit.facts import Facts
from builders.debkit.audit.model import Found, Needs, Severity, rule
from builders.debkit.deb.owners import GROUPS, USERS, fixed


@rule(
    "wrong-owner",
    Severity.ERROR,
    explanation="A file belongs to a user or group that differs from system to system, or to"
    " nobody: mostly to the user who built the package. dpkg goes by the name where"
    " the system has it, and by the number only otherwise.",
    reference="Policy 9.2.2, 10.9",
    remedy="finish the package: files of others are given to root; dpkg-statoverride in postinst"
    " for a user of the package's own",
    needs=Needs.MEMBERS,
)
def _wrong_owner(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        info = entry.info
        if not (fixed(info.uname, info.uid, USERS) and fixed(info.gname, info.gid, GROUPS)):
            yield Found(f"belongs to {info.uid}:{info.gid} ({info.uname}:{info.gname})", entry.path)


@rule(
    "setuid-file",
    Severity.INFO,
    explanation="A file runs with the rights of its owner or group, which is right where it is"
    " wanted. It is an error for a script, as the kernel ignores the bit there, and"
    " for a file that others may write.",
    reference="Policy 10.9",
    remedy="take the bit away, or keep it and say why in the changelog",
    needs=Needs.MEMBERS,
)
def _setuid_file(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        mode = entry.info.mode
        if not deb.is_file(entry) or not mode & 0o6000:
            continue
        bits = " and ".join(
            word for bit, word in ((0o4000, "setuid"), (0o2000, "setgid")) if mode & bit
        )
        owner = f"{entry.info.uname or entry.info.uid}:{entry.info.gname or entry.info.gid}"
        if entry.path in facts.scripts:
            yield Found(f"is a {bits} script", entry.path, Severity.ERROR)
        elif mode & 0o002:
            yield Found(f"is {bits} {owner}, and anybody may write it", entry.path, Severity.ERROR)
        else:
            yield Found(f"is {bits} {owner}, mode {mode & 0o7777:04o}", entry.path)


@rule(
    "world-writable",
    Severity.ERROR,
    explanation="Anybody may change the file, or add and remove names in the folder.",
    reference="Policy 10.9",
    remedy="set the mode to 0644 or 0755; for a shared folder 1777",
    needs=Needs.MEMBERS,
)
def _world_writable(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        mode = entry.info.mode
        sticky = entry.info.isdir() and mode & 0o1000
        if mode & 0o002 and not entry.info.issym() and not entry.info.islnk() and not sticky:
            yield Found(f"has mode {mode & 0o7777:04o}", entry.path)


@rule(
    "odd-mode",
    Severity.WARNING,
    explanation="A mode that is of no use: a group of root that may write, a folder that its own"
    " readers cannot enter. Two cases are notes: a folder that is not 0755, and a file"
    " of /usr that others may not read though everybody has the package.",
    reference="Policy 10.9",
    remedy="set the mode to 0644, or 0755 for folders and programs",
    needs=Needs.MEMBERS,
)
def _odd_mode(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        info = entry.info
        shown = f"has mode {info.mode & 0o7777:04o}"
        if info.issym() or info.islnk() or info.mode & 0o002:
            continue
        if info.mode & 0o020 and not info.gid and not info.mode & 0o2000:
            yield Found(f"{shown}: its group may write", entry.path)
        elif info.isdir() and (info.mode & 0o444) >> 2 & ~info.mode:
            yield Found(f"{shown}: who may list it cannot enter it", entry.path)
        elif info.isdir() and info.mode & 0o777 != 0o755 and not info.mode & 0o7000:
            yield Found(f"{shown}, not 0755", entry.path, Severity.INFO)
        elif _unreadable(entry):
            yield Found(f"{shown}: not everybody may read it", entry.path, Severity.INFO)


def _unreadable(entry: deb.Entry) -> bool:
    mode = entry.info.mode
    return deb.is_file(entry) and entry.path.startswith("/usr/") and not mode & 0o115


_BIN = re.compile(r"(/usr)?/(s?bin|games)/[^/]+")
_NEVER_RUN = re.compile(
    r"/usr/share/(man|info|doc-base|applications|icons|pixmaps|locale)/.*|/usr/include/.*"
    r"|/usr/share/doc/[^/]+/(copyright|changelog.*|NEWS.*|README.*)"
    r"|(/usr)?/lib/systemd/system/.*|/etc/.*\.(conf|cfg)|.*\.(h|hpp|desktop|png|svg|html|gz|txt|a|la)"
)


@rule(
    "not-executable",
    Severity.WARNING,
    explanation="A file in a folder of programs cannot be run.",
    reference="Policy 10.9; FHS 3.4, 4.4",
    remedy="set its mode to 0755, or move it to where its kind belongs",
    needs=Needs.MEMBERS,
)
def _not_executable(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        if entry.info.isreg() and not entry.info.mode & 0o111 and _BIN.fullmatch(entry.path):
            yield Found(f"has mode {entry.info.mode & 0o7777:04o}", entry.path)


@rule(
    "needlessly-executable",
    Severity.WARNING,
    explanation="A document, header or configuration file may be run as a program, and would be"
    " taken for shell commands.",
    reference="Policy 10.9",
    remedy="set its mode to 0644",
)
def _needlessly_executable(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        runs = entry.info.isreg() and entry.info.mode & 0o111
        if runs and _NEVER_RUN.fullmatch(entry.path) and entry.path not in facts.scripts:
            yield Found(f"has mode {entry.info.mode & 0o7777:04o}", entry.path)


@rule(
    "special-file",
    Severity.ERROR,
    explanation="A device or a pipe in the package: only maintainer scripts make those, where the"
    " administrator agrees.",
    reference="Policy 10.6",
    remedy="make it in postinst, or leave it to udev",
    needs=Needs.MEMBERS,
)
def _special_file(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        if entry.info.isdev():
            kind = "pipe" if entry.info.isfifo() else "device"
            yield Found(f"is a {kind}", entry.path)


@rule(
    "time-stamp",
    Severity.WARNING,
    explanation="The time of a file lies in the future, which misleads make and tar; or before"
    " 1975, when there was no such file (a note).",
    reference="Policy 4.7; SOURCE_DATE_EPOCH",
    remedy="finish the package: no time lies after that of the source",
    needs=Needs.MEMBERS,
)
def _time_stamp(facts: Facts) -> Iterator[Found]:
    now = time.time() + 86400
    future = [e.path for e in facts.entries if e.info.mtime > now]
    old = [e.path for e in facts.entries if e.info.mtime < 157_766_400 and deb.is_file(e)]
    if future:
        yield Found(f"and {len(future) - 1} more: made in the future", future[0])
    if old:
        yield Found(f"and {len(old) - 1} more: made before 1975", old[0], Severity.INFO)
