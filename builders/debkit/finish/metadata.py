# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of control.tar as dpkg reads them; what it would refuse is never written."""

from __future__ import annotations

from builders.debkit.codecs import by_name
from builders.debkit.deb.fault import Fault
from builders.debkit.deb.metadata import NAME_LIMIT, read_conffiles, read_triggers
from builders.debkit.deb.scripts import SCRIPTS, shell_of
from builders.debkit.deb.since import member_fault, script_faults
from builders.debkit.deb.suites import tools
from builders.debkit.finish.work import Work
from builders.errors import BuildError
from builders.text import printable

_BOM = b"\xef\xbb\xbf"


def correct(work: Work) -> None:
    """triggers has the form that dpkg reads, and all files the modes that dpkg-deb wants.

    Lines end in a newline alone, the last one too: without it dpkg does not unpack the package.
    """
    triggers = work.control_file("triggers")
    lines = triggers.removeprefix(_BOM).replace(b"\r\n", b"\n").rstrip(b"\r").split(b"\n")
    mended = b"".join(line + b"\n" for line in lines if line.strip(b" \t"))
    if triggers and (mended != triggers) and (read_triggers(triggers)[1] or not mended):
        work.notes.append("triggers was not in the form that dpkg reads")
        work.control_files["triggers"] = mended or None
    names = {*work.package.control_files, *work.control_files} - {"control"}
    for name in names:
        work.control_modes[name] = 0o755 if name in SCRIPTS else 0o644


def line_ends(work: Work) -> None:
    """Maintainer scripts whose lines all end in CR LF get lines that end in LF.

    The kernel looks for an interpreter named /bin/sh and CR, and the shell for commands so named.
    """
    for name in SCRIPTS:
        content = work.control_file(name)
        if content.startswith(b"#!") and 0 < content.count(b"\n") == content.count(b"\r\n"):
            work.control_files[name] = content.replace(b"\r\n", b"\n")
            work.notes.append(f"{name} had lines that end in CR LF")


def check(work: Work) -> None:
    """BuildError where the suite's dpkg would refuse one of them all the same.

    What a script calls that the suite does not know is noted: the package's own lines stay.
    """
    suite = work.beside.suite
    dpkg = tools(suite).dpkg
    faults = [
        *read_triggers(work.control_file("triggers"), dpkg)[1],
        *read_conffiles(work.control_file("conffiles"), dpkg)[1],
    ]
    names = {*work.package.control_files, *work.control_files}
    faults += [Fault(f"{n} has too long a name") for n in names if len(n) > NAME_LIMIT]
    for fault in faults:
        if fault.refused:
            subject = f"{printable(fault.subject)}: " if fault.subject else ""
            raise BuildError(
                f"{work.package.path}: dpkg would refuse it: {subject}{printable(fault.message)}",
                hint="correct that file of control.tar where the package is built",
            )
    for name in SCRIPTS:
        content = work.control_file(name)
        if content and shell_of(content):
            for number, why in script_faults(content.decode("utf-8", "replace"), suite):
                work.notes.append(f"{name}, line {number}: {why}")
    compression = work.corrections.compression
    suffix = by_name(compression).suffix if compression else ""
    if why := member_fault(f"data.tar{suffix}", suite):
        raise BuildError(f"compression {compression}: {why}", hint="gzip and xz are read by all")
