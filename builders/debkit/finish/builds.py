# SPDX-License-Identifier: GPL-2.0-or-later
"""A package of a kernel's debugging information has it by build id too, where debuggers look."""

from __future__ import annotations

import posixpath

from builders.debkit import elf
from builders.debkit.deb import Added
from builders.debkit.finish.work import Work, is_plain

_DEBUG = "/usr/lib/debug"
_BY_ID = f"{_DEBUG}/.build-id"


def correct(work: Work) -> None:
    """Add a link from the build id of each file in /usr/lib/debug that has none (gdb's manual).

    The builddeb of Linux 6.1 makes none, that of 6.12 makes them for modules alone.
    """
    if not work.name.endswith("-dbg"):
        return
    linked = {
        posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.info.linkname))
        for entry in work.kept
        if entry.path.startswith(f"{_BY_ID}/") and entry.info.issym()
    }
    there = work.paths()
    for entry, content in work.package.settled():
        path = entry.path
        if not is_plain(entry) or not path.startswith(f"{_DEBUG}/") or path in linked:
            continue
        if path in work.removed or path.startswith(f"{_BY_ID}/"):
            continue
        part = bytes(content.chunk())
        if not part.startswith(elf.MAGIC):
            continue
        window = elf.Window()
        while part:
            window.feed(part)
            part = bytes(content.chunk())
        try:
            found = elf.build_id(window)
        except elf.ElfError:
            continue
        link = f"{_BY_ID}/{found[:2]}/{found[2:]}.debug"
        if len(found) > 2 and link not in there:
            there.add(link)
            target = posixpath.relpath(work.path(entry), posixpath.dirname(link))
            work.add.append(Added(link, link=target))
