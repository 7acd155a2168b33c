# SPDX-License-Identifier: GPL-2.0-or-later
"""Why two packages that should be the same are not: which member, from which byte on, and what
stands there. Nothing is unpacked to disk but the members that differ, in files without a name."""

from __future__ import annotations

import gzip
import io
import lzma
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from builders.deb import Deb, Entry
from builders.progress import printable

_MEMBERS = 20  # of a package that are looked into
_SPOOL = 8 << 20
_CHUNK = 1 << 20
_CONTEXT = 24  # bytes that are shown on each side
_INSIDE = 1 << 30  # bytes of what a compressed member decompresses to


def differences(first: Path, second: Path) -> list[str]:
    """What differs between two .debs, a line each; empty where all that dpkg reads is the same.

    Raises BuildError where one can't be read.
    """
    one, other = Deb.open(first), Deb.open(second)
    told = list(_control(one, other))
    a, b = ({e.path: e for e in deb.index.entries} for deb in (one, other))
    contents = []
    for path in sorted(a.keys() | b.keys()):
        if path not in a or path not in b:
            told.append(f"{printable(path)}: only in the {'second' if path in b else 'first'}")
            continue
        told += [f"{printable(path)}: {text}" for text in _header(a[path], b[path])]
        if a[path].md5 != b[path].md5:
            contents.append(path)
    for path, mine, its in _pairs(one, other, contents[:_MEMBERS]):
        with mine, its:
            told.append(f"{printable(path)}: {_why(mine, its)}")
    if len(contents) > _MEMBERS:
        told.append(f"and {len(contents) - _MEMBERS} more files differ")
    order = [[e.path for e in deb.index.entries] for deb in (one, other)]
    if not told and order[0] != order[1]:
        told.append("the members come in another order")
    return told or ["only the compression or the archive's own headers differ"]


def _control(one: Deb, other: Deb) -> Iterator[str]:
    for name in sorted(one.control_files.keys() | other.control_files.keys()):
        a, b = one.control_files.get(name), other.control_files.get(name)
        if a is None or b is None:
            yield f"control.tar: {name} only in the {'second' if a is None else 'first'}"
        elif a != b and name != "md5sums":  # these follow the files
            yield f"control.tar: {name}: {_why(io.BytesIO(a), io.BytesIO(b))}"


def _header(a: Entry, b: Entry) -> Iterator[str]:
    for name in ("type", "mode", "uid", "gid", "uname", "gname", "mtime", "size", "linkname"):
        mine, its = getattr(a.info, name), getattr(b.info, name)
        if mine != its:
            shown = [oct(v) if name == "mode" else printable(str(v)) for v in (mine, its)]
            yield f"{name} is {shown[0]} and {shown[1]}"


def _pairs(one: Deb, other: Deb, paths: list[str]) -> Iterator[tuple[str, IO[bytes], IO[bytes]]]:
    """The contents of `paths` in both, which the caller closes."""
    if not paths:
        return
    mine, its = _contents(one, set(paths)), _contents(other, set(paths))
    for path in paths:
        # Another name of a file that is told already has no content of its own.
        if path in mine and path in its:
            yield path, mine[path], its[path]


def _contents(deb: Deb, paths: set[str]) -> dict[str, IO[bytes]]:
    found: dict[str, IO[bytes]] = {}
    for entry, content in deb.entries():
        if entry.path in paths and entry.info.isreg():
            file = tempfile.SpooledTemporaryFile(_SPOOL)  # noqa: SIM115 - the caller closes it
            while part := content.chunk():
                file.write(part)
            found[entry.path] = file
    return found


def _why(one: IO[bytes], other: IO[bytes]) -> str:
    """From where on two contents differ, and what stands there; inside, where compressed."""
    inner = [_inside(file) for file in (one, other)]
    where = ""
    if inner[0] and inner[1]:
        at = _first(inner[0], inner[1])
        if at is None:
            return "only its compression differs"
        where, (one, other) = "inside its compressed data, ", (inner[0], inner[1])
    else:
        at = _first(one, other)
    if at is None:
        return "the contents are the same"
    section = _section(one, at)
    shown = " and ".join(_around(file, at) for file in (one, other))
    return f"{where}from byte {at}{section} on: {shown}"


def _first(one: IO[bytes], other: IO[bytes]) -> int | None:
    """The offset of the first byte that differs."""
    one.seek(0)
    other.seek(0)
    at = 0
    while True:
        a, b = one.read(_CHUNK), other.read(_CHUNK)
        if a != b:
            near = zip(a, b, strict=False)
            return at + next((n for n, (x, y) in enumerate(near) if x != y), min(len(a), len(b)))
        if not a:
            return None
        at += len(a)


def _inside(file: IO[bytes]) -> IO[bytes] | None:
    """What a gzip or xz file decompresses to."""
    file.seek(0)
    head = file.read(6)
    file.seek(0)
    out = tempfile.SpooledTemporaryFile(_SPOOL)  # noqa: SIM115 - it has no name and goes with us
    try:
        source: Any
        if head[:2] == b"\x1f\x8b":
            source = gzip.GzipFile(fileobj=file, mode="rb")
        elif head == b"\xfd7zXZ\0":
            source = lzma.LZMAFile(file)  # noqa: SIM115
        else:
            return None
        while (part := source.read(_CHUNK)) and out.tell() < _INSIDE:
            out.write(part)
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        return None
    return out


def _section(file: IO[bytes], at: int) -> str:
    """The ELF section (elf(5)) that has byte `at`, in words."""
    file.seek(0)
    if file.read(4) != b"\x7fELF":
        return ""
    try:
        unsure: Any = file
        elf: Any = ELFFile(unsure)
        for section in elf.iter_sections():
            begin = section["sh_offset"]
            if section["sh_type"] != "SHT_NOBITS" and begin <= at < begin + section["sh_size"]:
                return f" ({section.name})"
    except (ELFError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return ""


def _around(file: IO[bytes], at: int) -> str:
    file.seek(max(0, at - _CONTEXT))
    data = file.read(2 * _CONTEXT)
    return repr(printable(data.decode("latin-1")))
