# SPDX-License-Identifier: GPL-2.0-or-later
"""The headers of a tar archive's members, as dpkg reads them (its lib/dpkg/tarfn.c)."""

from __future__ import annotations

import re
import tarfile
from tarfile import TarInfo

from builders.text import printable

_SHARED = 64  # sets of owner and mode that are remembered; a package has a handful


def _octal(field: bytes) -> bool:
    """Whether a field of a header is a plain number, as tar(5) writes it."""
    return bool(field) and not field.strip(b"01234567")


class Headers:
    """Reads the headers of one archive.

    Most members have owners, mode and time in common with others: those are read, and held, once.
    """

    def __init__(self, *, by_tar: bool = False) -> None:
        """by_tar: as tar(1) and apt read it, which care less about owners and times."""
        self._by_tar = by_tar
        self._like: dict[bytes, TarInfo] = {}
        self._times: tuple[bytes, int] = b"", 0

    def read(self, header: bytes) -> TarInfo:
        """What a block of 512 bytes says; its chksum is 0, as nobody asks for it later.

        The name is the header's own: a long name may come before it, of which it is the first
        100 bytes. So a slash at its end does not yet say that the member is a folder.
        Raises ValueError where dpkg takes it for damaged.
        """
        shared = header[100:124] + header[265:345]
        like = self._like.get(shared)
        info = None if like is None else self._plain(header, like)
        if info is None:
            info = _decoded(header, self._by_tar)
            if like is None and len(self._like) < _SHARED:
                self._like[shared] = info
        info.chksum = 0
        if header[156:157] in b"123456":
            info.size = 0  # as dpkg does: there is no content
        return info

    def _plain(self, header: bytes, like: TarInfo) -> TarInfo | None:
        """A header with these owners and mode; None where it is no plain one."""
        kind = header[156:157]
        size = header[124:136].rstrip(b"\0 ")
        total = header[148:156].rstrip(b"\0 ")
        if kind not in b"0125LK" or header[345] or not (_octal(size) and _octal(total)):
            return None
        raw, mtime = self._times
        if header[136:148] != raw:
            raw = header[136:148]
            digits = raw.rstrip(b"\0 ")
            if not _octal(digits):
                return None
            mtime = int(digits, 8)
            self._times = raw, mtime
        # The sum counts its own field as eight spaces.
        if int(total, 8) != sum(header) - sum(header[148:156]) + 256:
            return None
        info = TarInfo(header[:100].partition(b"\0")[0].decode("utf-8", "surrogateescape"))
        info.type = kind
        info.size = int(size, 8)
        info.mtime = mtime
        if header[157]:
            link = header[157:257].partition(b"\0")[0]
            info.linkname = link.decode("utf-8", "surrogateescape")
        info.mode, info.uid, info.gid = like.mode, like.uid, like.gid
        info.uname, info.gname = like.uname, like.gname
        info.devmajor, info.devminor = like.devmajor, like.devminor
        info.pax_headers = like.pax_headers
        return info


def _decoded(header: bytes, by_tar: bool) -> TarInfo:
    """A header of any form; ValueError where dpkg takes it for damaged."""

    def lenient(field: bytes, name: str) -> int:
        if not by_tar:
            return _number(field, name)
        match = re.match(rb" *\+?([0-7]+)", field)  # as strtoul(3), which apt asks
        if match is None and field.strip(b"\0 ") and field[0] < 0x80:
            raise ValueError(f"its {name} is no number")
        return int(match[1], 8) if match else 0

    if _number(header[148:156], "check sum") != sum(header) - sum(header[148:156]) + 256:
        raise ValueError("its check sum is wrong")
    info = TarInfo(_text(header[:100]))
    if header[257:263] == b"ustar\0" and header[345]:  # POSIX; GNU has other things there
        info.name = f"{_text(header[345:500])}/{info.name}"
    info.type = header[156:157]
    if info.type == tarfile.AREGTYPE:
        info.type = tarfile.REGTYPE
    info.size = _number(header[124:136], "size")
    info.mtime = lenient(header[136:148], "time")
    info.uid = lenient(header[108:116], "owner")
    info.gid = lenient(header[116:124], "group")
    info.linkname = _text(header[157:257])
    info.uname, info.gname = _text(header[265:297]), _text(header[297:329])
    mode = header[100:108]
    try:
        # GNU tar takes a sign.
        info.mode = _number(mode.replace(b"+", b"0", 1) if by_tar else mode, "mode") & 0o7777
    except ValueError:  # dpkg does not look at it
        if by_tar:
            raise
        info.mode = 0
        info.pax_headers = {BAD_MODE: printable(mode.decode("latin-1"))}
    if info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor = _number(header[329:337], "device")
        info.devminor = _number(header[337:345], "device")
    return info


BAD_MODE = "mode"  # in a header's pax_headers: a mode that is no number, as it stands there


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes, name: str) -> int:
    """A number in octal digits, or of base 256 (tar(5)); it is named in the ValueError."""
    if field[0] in (0x80, 0xFF):
        number = int.from_bytes(field[1:], "big") - (field[0] == 0xFF) * (1 << 8 * len(field) - 8)
        if not -(1 << 63) <= number < 1 << 63:
            raise ValueError(f"its {name} is over 64 bits")
        return number
    match = re.fullmatch(rb" *([0-7]*)[\0 ]*", field)
    if match is None or not field.strip(b" "):
        raise ValueError(f"its {name} is no number")
    return int(match[1] or b"0", 8)
