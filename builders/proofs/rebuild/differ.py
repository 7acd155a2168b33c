# SPDX-License-Identifier: GPL-2.0-or-later
"""Why two packages that should be the same are not: which member, and what of it. Nothing is
unpacked to disk but the members that differ, in files without a name."""

from __future__ import annotations

import io
import posixpath
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from builders.debkit.deb import Deb, Entry
from builders.proofs.rebuild.evidence import Known, why
from builders.text import moment, printable

_BY_ID = "/usr/lib/debug/.build-id/"
_MEMBERS = 40  # of a package that are looked into
_ALIKE = 3  # members that differ in the same way, and are told one by one
_NAMES = 10  # of more than these
_SPOOL = 8 << 20
_CHUNK = 1 << 20


def differences(first: Path, second: Path, known: Sequence[Known] = ()) -> list[str]:
    """What differs between two .debs, a line each.

    known: what differs between the boxes that made them. Raises BuildError where one can't be
    read.
    """
    one, other = Deb.open(first), Deb.open(second)
    told = list(_control(one, other, known))
    a, b = ({e.path: e for e in deb.index.entries} for deb in (one, other))
    contents: list[tuple[str, str]] = []
    headers: dict[str, list[str]] = {}
    for path in sorted(a.keys() & b.keys()):
        for text in _header(a[path], b[path]):
            headers.setdefault(text, []).append(printable(path))
        if a[path].md5 != b[path].md5:
            contents.append((path, path))
    for text, paths in headers.items():
        if len(paths) <= _ALIKE:
            told += [f"{path}: {text}" for path in paths]
        else:
            told.append(f"{_few(paths)}: {text}, each of {len(paths)}")
    renamed = _renamed(a, b)
    names = {*renamed, *renamed.values()}
    folders = {posixpath.dirname(path) for path in names}
    for alone in sorted((a.keys() ^ b.keys()) - names - folders):
        told.append(f"{printable(alone)}: only in the {'second' if alone in b else 'first'}")
    contents += renamed.items()
    for path, its_path, mine, its in _pairs(one, other, contents[:_MEMBERS]):
        with mine, its:
            also = f" (in the second {printable(its_path)})" if its_path != path else ""
            told.append(f"{printable(path)}{also}: {why(mine, its, known)}")
    if len(contents) > _MEMBERS:
        others = [printable(path) for path, _ in contents[_MEMBERS:]]
        told.append(f"{len(others)} more files differ: {_few(others)}")
    order = [[e.path for e in deb.index.entries] for deb in (one, other)]
    if not told and order[0] != order[1]:
        told.append("the members come in another order")
    return told or ["only the compression or the archive's own headers differ"]


def _few(paths: Sequence[str]) -> str:
    return ", ".join(paths[:_NAMES]) + (", ..." if paths[_NAMES:] else "")


def _control(one: Deb, other: Deb, known: Sequence[Known]) -> Iterator[str]:
    for name in sorted(one.control_files.keys() | other.control_files.keys()):
        a, b = one.control_files.get(name), other.control_files.get(name)
        if a is None or b is None:
            yield f"control.tar: {name} only in the {'second' if a is None else 'first'}"
        elif a != b and name != "md5sums":  # these follow the files
            yield f"control.tar: {name}: {why(io.BytesIO(a), io.BytesIO(b), known)}"


def _header(a: Entry, b: Entry) -> Iterator[str]:
    """What differs besides the content."""
    for name in ("type", "mode", "uid", "gid", "uname", "gname", "mtime", "linkname"):
        mine, its = getattr(a.info, name), getattr(b.info, name)
        if mine != its:
            if name == "mode":
                masked = " (the umask)" if mine & ~0o077 == its & ~0o077 else ""
                yield f"mode is {mine:04o} and {its:04o}{masked}"
            elif name == "mtime":
                yield f"mtime is {moment(mine)} and {moment(its)}"
            else:
                yield f"{name} is {printable(str(mine))} and {printable(str(its))}"


def _renamed(a: Mapping[str, Entry], b: Mapping[str, Entry]) -> dict[str, str]:
    """Debugging symbols whose name, a digest of them, is another in the second: path to path.

    Which belongs to which is not recorded; those of one place by size are taken for the same.
    """
    alone = [
        sorted(
            (entries[path].info.size, path)
            for path in entries.keys() - its.keys()
            if path.startswith(_BY_ID) and entries[path].info.isreg()
        )
        for entries, its in ((a, b), (b, a))
    ]
    if len(alone[0]) != len(alone[1]):
        return {}
    return {mine: its for (_, mine), (_, its) in zip(*alone, strict=True)}


def _pairs(
    one: Deb, other: Deb, paths: list[tuple[str, str]]
) -> Iterator[tuple[str, str, IO[bytes], IO[bytes]]]:
    """The contents of `paths` in the first and the second, which the caller closes."""
    if not paths:
        return
    mine, its = _contents(one, {a for a, _ in paths}), _contents(other, {b for _, b in paths})
    for a, b in paths:
        # Another name of a file that is told already has no content of its own.
        if a in mine and b in its:
            yield a, b, mine[a], its[b]


def _contents(deb: Deb, paths: set[str]) -> dict[str, IO[bytes]]:
    found: dict[str, IO[bytes]] = {}
    for entry, content in deb.entries():
        if entry.path in paths and entry.info.isreg():
            file = tempfile.SpooledTemporaryFile(_SPOOL)  # noqa: SIM115 - the caller closes it
            while part := content.chunk():
                file.write(part)
            found[entry.path] = file
    return found
