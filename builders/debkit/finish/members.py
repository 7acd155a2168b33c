# SPDX-License-Identifier: GPL-2.0-or-later
"""Which members of a package go or move, their modes, and which of them are conffiles."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable

from builders.debkit import deb
from builders.debkit.deb import Entry
from builders.debkit.deb.metadata import read_conffiles
from builders.debkit.deb.paths import folder_of, nearest
from builders.debkit.finish.work import Work, link_target
from builders.errors import BuildError
from builders.text import printable


def unwanted(work: Work, notes: list[str]) -> set[str]:
    """The paths that the verbs `remove` and `discard` name; `notes` hears what names none."""
    removed: set[str] = set()
    for verb, globs in (("remove", work.corrections.remove), ("discard", work.corrections.discard)):
        for glob in globs:
            if not glob.startswith("/"):
                raise BuildError(f"{verb}: {glob!r} is no absolute path", hint=f"write /{glob}")
            paths = (e.path for e in work.entries if e.path != "/")
            found = {path for path in paths if fnmatch.fnmatchcase(path, glob)}
            if not found and verb == "remove":
                notes.append(f"remove: {glob} matches nothing in the package")
            removed |= found
    return removed


def move(work: Work) -> None:
    """The verb `move`: members go from one path to another, a directory with all below it."""
    for old, new in work.corrections.move.items():
        for path in (old, new):
            if posixpath.normpath(path) != path or not path.startswith("/") or path == "/":
                raise BuildError(
                    f"move: {path!r} is no absolute path", hint="write it like /usr/share/x"
                )
        found = [e for e in work.kept if e.path == old or e.path.startswith(old + "/")]
        if not found:
            work.notes.append(f"move: {old} is not in the package")
        for entry in found:
            work.moved[entry.path] = new + entry.path[len(old) :]


def set_modes(work: Work) -> None:
    """The verb `modes`: permission bits of all that a glob matches, but for links (Policy 10.9)."""
    for glob, text in work.corrections.modes.items():
        if not re.fullmatch(r"0?[0-7]{3,4}", text):
            raise BuildError(f"modes: {text!r} is no mode", hint='write it like "0755"')
        found = [e for e in work.kept if fnmatch.fnmatchcase(e.path, glob) and not e.info.issym()]
        if not found:
            work.notes.append(f"modes: {glob} matches nothing in the package")
        work.modes |= {entry.path: int(text, 8) for entry in found}


def shorten_links(work: Work) -> None:
    """Links within one top-level directory are relative (Policy 10.5)."""
    for entry in work.kept:
        target = entry.info.linkname
        path = work.path(entry)
        if not entry.info.issym() or not target.startswith("/") or entry.path in work.links:
            continue
        target = posixpath.normpath(target)
        if target.split("/")[1] == path.split("/")[1]:
            work.links[entry.path] = posixpath.relpath(target, posixpath.dirname(path))


def below(entries: Iterable[Entry], removed: set[str]) -> set[str]:
    """`removed` with all that lies below a directory in it."""
    if not removed:
        return set()
    return {path for path, folder in nearest((e.path for e in entries), removed) if folder}


def emptied(work: Work) -> set[str]:
    """Directories whose last member goes or moves away; one that was empty before stays."""
    left: dict[str, int] = {}  # how many members a directory still has in it
    had: set[str] = set()
    for entry in work.entries:
        parent = folder_of(entry.path)
        if entry.path == "/":
            continue
        had.add(parent)
        stays = folder_of(work.path(entry)) == parent
        if entry.path not in work.removed and stays:
            left[parent] = left.get(parent, 0) + 1
    found: set[str] = set()
    # From the deepest on, as a directory that goes may be the last one in its parent.
    for entry in sorted(work.entries, key=lambda e: e.path.count("/"), reverse=True):
        path = entry.path
        if path in work.removed or path in work.moved or path == "/" or not entry.info.isdir():
            continue
        if path in had and not left.get(path):
            found.add(path)
            left[folder_of(path)] -= 1
    return found


def note_dangling(work: Work) -> None:
    """Say which links that stay lead to what went."""
    for entry in work.kept:
        if entry.info.issym() and link_target(entry) in work.removed:
            work.notes.append(
                f"{printable(entry.path)} links to {printable(link_target(entry))},"
                " which was removed"
            )


def conffiles(work: Work) -> bytes:
    """What the raw package lists, then every other regular file under /etc (Policy 10.7.2).

    One path a line, in its shortest form and once; what is no file of the package is left out.
    """
    files = {e.path: work.path(e) for e in work.kept if deb.is_file(e)}
    there = {entry.path for entry in work.entries}
    lines: dict[str, str] = {}  # path to line
    listed, faults = read_conffiles(work.control_file("conffiles"))
    for fault in faults:
        if fault.refused:
            work.notes.append(f"conffiles: {printable(fault.subject)} {printable(fault.message)}")
    for conffile in listed:
        path = conffile.path
        if conffile.removed and path not in there:
            # The name of a file that is not there (deb-conffiles(5)).
            lines[path] = f"remove-on-upgrade {path}"
        elif files.get(path, "").startswith("/etc/") or files.get(path) == path:
            lines[path] = path
        elif path not in there:
            work.notes.append(f"conffiles: {printable(path)} is listed, but not in the package")
    added = [a.path for a in work.add if a.path.startswith("/etc/") and a.content is not None]
    found = [*(old for old, path in files.items() if path.startswith("/etc/")), *added]
    lines |= {path: path for path in sorted(found) if path not in lines}
    return "".join(f"{line}\n" for line in lines.values()).encode("utf-8", "surrogateescape")
