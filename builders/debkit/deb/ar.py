# SPDX-License-Identifier: GPL-2.0-or-later
"""The members of a .deb as an ar archive, in the order that deb(5) asks for."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from builders.debkit import codecs
from builders.debkit.codecs import Packed
from builders.debkit.deb.error import DebError
from builders.debkit.deb.oddities import Oddity, Tell, refuse
from builders.text import printable

AR_MAGIC = b"!<arch>\n"
AR_HEADER = 60
_MEMBERS = 64  # in the ar archive
_INT_MAX = (1 << 31) - 1  # of C: more is no version of the format


@dataclass(frozen=True)
class Member:
    """One member of the ar archive: the offset and size of its content in the file."""

    name: str
    start: int
    size: int
    mtime: int


# The suffixes of control.tar that apt looks for, first one first.
_APT_ORDER = ("", ".zst", ".lz4", ".gz", ".xz", ".bz2", ".lzma")
_CONTROL_NAMES = {"control.tar", "control.tar.gz", "control.tar.xz", "control.tar.zst"}
_DATA_NAMES = {"data.tar" + codec.suffix for codec in codecs.CODECS}


def read_members(file: BinaryIO, tell: Tell = refuse) -> tuple[Member, ...]:
    """The members of the ar archive, in the order that deb(5) asks for.

    Of those after data.tar only the ones whose name begins with _, such as signatures, are among
    them: dpkg skips the rest. tell: is told what is odd.
    """
    size = os.fstat(file.fileno()).st_size
    magic = file.read(len(AR_MAGIC))
    if magic != AR_MAGIC:
        if magic.startswith(b"0.93"):
            raise DebError(
                "format",
                "a .deb of the old format 0.93x, which dpkg gave up in 1995 (deb-old(5))",
                "unpack it with dpkg-deb -R and pack it again with dpkg-deb -b",
            )
        if not size:
            raise DebError("format", "not a .deb: the file is empty")
        raise DebError("format", "not a .deb: it does not begin as an ar archive does")
    members: list[Member] = []
    data = False
    count = 0
    while (at := file.tell()) < size:
        count += 1
        if count > _MEMBERS:
            raise DebError("limit", f"more than {_MEMBERS} members")
        name, length, mtime, sound = _header(file.read(AR_HEADER), at, size)
        if not sound:
            message = f"the ar header at offset {at} is damaged"
            if not data:
                raise DebError("damaged", message)
            tell(Oddity("odd", f"{message}, after all that dpkg reads"))
        member = Member(name, at + AR_HEADER, length, mtime)
        if not members:
            _check_version(member, file)
        elif not data and not name.startswith("_"):
            data = _check_order(member, members)
        elif not name.startswith("_"):
            message = f"{printable(name)!r} comes after data.tar: dpkg skips it"
            if _hides(member, members, file):
                tell(Oddity("refused", f"{message}, and apt reads it as the control archive"))
            else:
                tell(Oddity("odd", message))
            file.seek(member.start + length + length % 2)
            continue
        if any(m.name == name for m in members):
            raise DebError("duplicate", f"{printable(name)} is there twice")
        members.append(member)
        file.seek(member.start + length + length % 2)
    if not data:
        missing = next(
            part
            for part in ("debian-binary", "control.tar", "data.tar")
            if not any(m.name.startswith(part) for m in members)
        )
        raise DebError("truncated", f"not a whole .deb: it has no {missing}")
    return tuple(members)


def _hides(late: Member, members: Sequence[Member], file: BinaryIO) -> bool:
    """Whether apt takes a member after data.tar for the control archive, and it is another one.

    apt asks for one compression after the other, and takes the last member of a name
    (ExtractTarMember in its apt-inst/deb/debfile.cc).
    """
    names = [f"control.tar{suffix}" for suffix in _APT_ORDER]
    first = next(m for m in members if m.name in _CONTROL_NAMES)
    if late.name not in names or names.index(late.name) > names.index(first.name):
        return False
    return late.name != first.name or not _same(file, first, late)


def _same(file: BinaryIO, one: Member, other: Member) -> bool:
    """Whether two members have the same content."""
    if one.size != other.size:
        return False
    steps = range(0, one.size, codecs.CHUNK)
    return all(
        os.pread(file.fileno(), min(codecs.CHUNK, one.size - at), one.start + at)
        == os.pread(file.fileno(), min(codecs.CHUNK, one.size - at), other.start + at)
        for at in steps
    )


def _header(header: bytes, at: int, size: int) -> tuple[str, int, int, bool]:
    """Name, size, time of a member, and whether its header is one; dpkg and apt read these all.

    at: the offset of the header in a file of `size` bytes.
    """
    if len(header) < AR_HEADER:
        raise DebError("truncated", f"cut short: {len(header)} bytes of a header are left")
    name = header[:16].rstrip(b" ").removesuffix(b"/").decode("ascii", "backslashreplace")
    fields = (header[16:28], header[28:34], header[34:40], header[40:48], header[48:58])
    mtime, *_, length = (_decimal(field, at) if field.strip(b" ") else 0 for field in fields)
    if not name.strip("/"):
        raise DebError("damaged", f"the member at offset {at} has no name")
    end = at + AR_HEADER + length
    if end + length % 2 > size:
        there = size - at - AR_HEADER
        raise DebError(
            "truncated",
            f"cut short: {printable(name)} has {length} bytes by its header, {there} are there",
        )
    return name, length, mtime, header[58:] == b"`\n"


def _decimal(text: bytes, at: int) -> int:
    """A number, which ends at a space for dpkg and apt alike."""
    match = re.fullmatch(rb" *([0-9]+)(?: .*)?", text, re.DOTALL)
    if match is None:
        raise DebError("damaged", f"a field of the ar header at offset {at} is no number")
    return int(match[1])


def _check_version(member: Member, file: BinaryIO) -> None:
    if member.name != "debian-binary":
        raise DebError(
            "format",
            f"not a .deb: its first member is {printable(member.name)!r}, not debian-binary",
        )
    version, end, _ = file.read(min(member.size, 64)).partition(b"\n")
    match = re.fullmatch(rb"0*2\.([0-9]+)", version)
    if match is None or not end or int(match[1]) > _INT_MAX:
        shown = printable(version.decode("latin-1"))
        raise DebError("format", f"a .deb of format {shown!r}; only 2.x is known")


def _check_order(member: Member, members: Sequence[Member]) -> bool:
    """Whether `member` is the data; DebError where something else is due."""
    name = member.name
    control = any(m.name in _CONTROL_NAMES for m in members)
    if not control and name in _CONTROL_NAMES:
        return False
    if control and name in _DATA_NAMES:
        return True
    due = "data.tar" if control else "control.tar"
    raise DebError("format", f"member {printable(name)!r} where {due} is due")


def packed_member(file: BinaryIO, member: Member) -> Packed:
    """The content of a member, still compressed; DebError where its codec is unknown."""
    codec = codecs.by_suffix(suffix_of(member.name))
    if codec is None:
        raise DebError("format", f"{printable(member.name)} is compressed in no known way")
    return Packed(file.fileno(), member.start, member.size, codec)


def suffix_of(name: str) -> str:
    """The suffix that tells the codec of data.tar.xz and the like: .xz, "" for none."""
    return name.partition(".tar")[2]
