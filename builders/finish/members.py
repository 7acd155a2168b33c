# SPDX-License-Identifier: GPL-2.0-or-later
"""Which members of a package go, and which of those that stay are conffiles."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterable, Sequence

from builders import deb
from builders.deb import Deb, Entry
from builders.errors import BuildError
from builders.progress import printable


def removed_paths(entries: Sequence[Entry], globs: Sequence[str], notes: list[str]) -> set[str]:
    """The paths that the globs take away, emptied directories included."""
    removed: set[str] = set()
    for glob in globs:
        if not glob.startswith("/"):
            raise BuildError(f"remove: {glob!r} is no absolute path", hint=f"write /{glob}")
        found = {e.path for e in entries if e.path != "/" and fnmatch.fnmatchcase(e.path, glob)}
        if not found:
            notes.append(f"remove: {glob} matches nothing in the package")
        removed |= found
    if not removed:
        return removed
    left: dict[str, int] = {}  # how many members a directory still has in it
    had: set[str] = set()
    for entry in entries:
        parent = posixpath.dirname(entry.path)
        if entry.path != "/":
            had.add(parent)
        if any(above in removed for above in _above(entry.path)):
            removed.add(entry.path)
        elif entry.path != "/":
            left[parent] = left.get(parent, 0) + 1
    # From the deepest on, as a directory that goes may be the last one in its parent.
    for entry in sorted(entries, key=lambda e: e.path.count("/"), reverse=True):
        path = entry.path
        if path == "/" or path in removed or not entry.info.isdir():
            continue
        if path in had and not left.get(path):
            removed.add(path)
            left[posixpath.dirname(path)] -= 1
    return removed


def _above(path: str) -> Iterable[str]:
    while path != "/":
        yield path
        path = posixpath.dirname(path)


def note_dangling(kept: Iterable[Entry], removed: set[str], notes: list[str]) -> None:
    for entry in kept:
        if entry.info.issym():
            target = posixpath.normpath(
                posixpath.join(posixpath.dirname(entry.path), entry.info.linkname)
            )
            if target in removed:
                notes.append(
                    f"{printable(entry.path)} links to {printable(target)}, which was removed"
                )


def conffiles(package: Deb, kept: Sequence[Entry], notes: list[str]) -> bytes:
    """What the raw package lists, then every other regular file under /etc (Policy 10.7.2)."""
    files = {entry.path for entry in kept if deb.is_file(entry)}
    there = {entry.path for entry in package.index.entries}
    text = package.control_files.get("conffiles", b"").decode("utf-8", "surrogateescape")
    lines: list[str] = []
    for line in (line.strip() for line in text.split("\n")):
        # "remove-on-upgrade /etc/x" names a file that is not there (deb-conffiles(5)).
        if line in files or (line and not line.startswith("/")):
            lines.append(line)
        elif line and line not in there:
            notes.append(f"conffiles: {printable(line)} is listed, but not in the package")
    listed = set(lines)
    lines += sorted(path for path in files if path.startswith("/etc/") and path not in listed)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
