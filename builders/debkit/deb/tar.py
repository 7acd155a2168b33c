# SPDX-License-Identifier: GPL-2.0-or-later
"""The members of a tar archive in a .deb, one after the other, each with its content.

What dpkg would not unpack is refused, and so is what would take more memory or time than any
real package.
"""

from __future__ import annotations

import io
import os
import posixpath
import sys
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from builders.debkit import codecs
from builders.debkit.codecs import Reader
from builders.debkit.deb.error import DebError
from builders.debkit.deb.headers import BAD_MODE, Headers
from builders.debkit.deb.oddities import Oddity, Tell, refuse
from builders.debkit.deb.unpacking import refusals
from builders.text import printable

_ENTRIES = 200_000  # members of data.tar; the largest packages in Debian have some 100 000
_NAMES_LIMIT = 64 << 20  # bytes of memory that the names of all members take
_WORD = (1 << 32) - 1  # mode_t, uid_t and gid_t; base 256 in a header can say more, and less
_NAME_LIMIT = 64 << 10  # of a long name in the archive
_SUFFIX = len(".dpkg-new")  # dpkg unpacks a file under its name with this
_PATH_MAX, _NAME_MAX = 4096, 255  # of Linux, with the zero and without (limits.h)
_TRAILER_LIMIT = 1 << 20  # after the end of a tar archive; tar(1) pads to 10 KiB
_SHORT = (_NAME_MAX - _SUFFIX) // 4  # characters of a name that fits, whatever they are
FILE_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_TYPES = (
    *FILE_TYPES,
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of data.tar.

    path: absolute, "/" for the root. info.name is the name as the archive has it.
    offset, start, end: of its first header, its content and the next member, in the
        decompressed archive.
    md5: of the content of a regular file, "" for anything else.
    """

    info: tarfile.TarInfo
    path: str
    offset: int
    start: int
    end: int
    md5: str = ""

    @property
    def target(self) -> str:
        """What a hard link is another name of, as an absolute path."""
        return _located(self.info.linkname)[0]


class Content(io.RawIOBase):
    """The content of one member of an archive, while the archive stands at it."""

    def __init__(self, source: Reader, size: int) -> None:
        super().__init__()
        self._source = source
        self._left = size

    def readable(self) -> bool:
        return True

    def chunk(self, count: int = codecs.CHUNK) -> memoryview:
        """Some bytes, `count` at most; none at the end. DebError where the archive ends first."""
        if not self._left:
            return memoryview(b"")
        part = self._source.read(min(count, self._left))
        if not part:
            raise DebError("truncated", "the archive ends within a file")
        self._left -= len(part)
        return part

    def readinto(self, buffer: Any) -> int:
        part = self.chunk(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def skip(self, count: int) -> None:
        """Pass over `count` bytes."""
        if self._source.skip(count) != count:
            raise DebError("truncated", "the archive ends within a file")
        self._left -= count

    def finish(self) -> None:
        """Pass over what was not read."""
        self.skip(self._left)


def absolute(name: str) -> str:
    """The absolute path that a member's name stands for; DebError where it leaves the root."""
    path, oddity = _located(name)
    if oddity is not None:
        raise oddity.error
    return path


def _usual(name: str) -> bool:
    """Whether a name is as dpkg-deb writes it: ./ and its path, with nothing to be cleaned."""
    return name[:2] == "./" and "//" not in name and "/." not in name[1:] and name[-1] != "/"


def _located(name: str) -> tuple[str, Oddity | None]:
    """The absolute path that a name stands for, and what is odd about the name."""
    if _usual(name):
        return name[1:], None
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        path = posixpath.normpath("/" + "/".join(parts))
        message = f"a member is named {printable(name)!r}, which leads out of the package"
        return path, Oddity("traversal", message, path)
    path = "/" + "/".join(parts)
    if name.startswith("/"):
        message = f"a member is named {printable(name)!r}, with a slash before it"
        return path, Oddity("absolute", message, path)
    return path, None


def _unpackable(info: tarfile.TarInfo, path: str) -> str:
    """Why dpkg could not unpack a member of this name; "" where it can."""
    if path == "/":
        return "" if info.isdir() or info.issym() else "it is the root, and no folder"
    if len(info.name) < _SHORT and not info.issym() and _usual(info.name):
        return ""
    last = info.name.rpartition("/")[2]
    if last == "." or info.name.endswith("/"):
        return f"its name {printable(info.name)!r} ends in a slash or a dot"
    if len(os.fsencode(last)) + _SUFFIX > _NAME_MAX or (
        len(os.fsencode(info.name)) + _SUFFIX >= _PATH_MAX
    ):
        return f"its name has {len(os.fsencode(info.name))} bytes: there is no room for .dpkg-new"
    if info.issym() and not 0 < len(os.fsencode(info.linkname)) < _PATH_MAX:
        return f"it links to a name of {len(os.fsencode(info.linkname))} bytes"
    return ""


def walk(source: Reader, limit: int, tell: Tell = refuse) -> Iterator[tuple[Entry, Content]]:
    """The members of a tar archive, each with its content; what is not read is passed over.

    limit: bytes of the archive; what goes past it is refused before it is read.
    tell: is told what is odd, before the member that it is about; it may raise.

    tarfile would believe the sizes of its own extension headers and read them whole, and know
    types that dpkg refuses, so that headers are read here, in the way of dpkg.
    """
    members = _Members(tell)
    for info, offset, content in headers_of(source, limit, tell):
        if info.type not in _TYPES:
            raise DebError(
                "format",
                f"a member of tar type {printable(info.type.decode('latin-1'))!r}, which dpkg"
                " does not unpack",
                "write the archive as dpkg-deb does, with GNU headers",
            )
        if "\n" in info.name:
            raise DebError("name", f"a name with a line break: {printable(info.name)!r}")
        if "\n" in info.linkname:
            tell(Oddity("odd", f"a link to a name with a line break: {printable(info.linkname)!r}"))
        path = members.add(info)
        start = source.position
        end = start + info.size + -info.size % tarfile.BLOCKSIZE
        yield Entry(info, path, offset, start, end), content
    members.close()


class _Members:
    """The members so far of one archive."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._kinds: dict[str, bytes] = {}  # path to tar type, a hard link's is that of a file
        self._forms: dict[str, str] = {}  # path to the name that dpkg has, where that is another
        self._order: list[str] = []  # the names, and their kinds, of all members
        self._order_kinds = bytearray()
        self._twice = False  # a path is there twice
        self._names = 0  # bytes of memory that all names take

    def add(self, info: tarfile.TarInfo) -> str:
        """The path of one more member."""
        path, oddity = _located(info.name)
        name = path[1:] if _usual(info.name) else _exact(info.name)
        if not name:
            message = (
                f"the root is named {printable(info.name)!r}, which dpkg lists as an empty name"
            )
            oddity = Oddity("absolute", message, "/")
        if oddity is not None:
            self._tell(oddity)
        self._names += sum(map(sys.getsizeof, (info.name, info.linkname, path)))
        if self._names > _NAMES_LIMIT:
            raise DebError("limit", f"names that take more than {_NAMES_LIMIT >> 20} MiB")
        if len(self._kinds) >= _ENTRIES:
            raise DebError("limit", f"more than {_ENTRIES} members")
        if why := _unpackable(info, path):
            self._tell(Oddity("refused", f"dpkg cannot unpack {printable(path)}: {why}", path))
        if BAD_MODE in info.pax_headers:
            mode = info.pax_headers[BAD_MODE]
            self._tell(Oddity("odd", f"has a mode that is no number, {mode!r}", path))
        if info.islnk():
            self._check_link(info.linkname, path)
        kind = tarfile.REGTYPE if info.islnk() or info.type in FILE_TYPES else info.type
        self._order.append(info.name)
        self._order_kinds += kind
        if path in self._kinds:
            self._twice = True
            self._tell(Oddity("duplicate", f"{printable(path)} is there twice", path))
            if info.issym():  # unpacked after all hard links
                return path
        self._kinds[path] = kind
        if name == path[1:]:
            self._forms.pop(path, None)
        else:
            self._names += sys.getsizeof(name)
            self._forms[path] = name
        return path

    def close(self) -> None:
        """Tell which members dpkg loses, now that it is known what comes after them."""
        if not self._twice:
            return
        members = (
            (_exact(name), bytes([kind]))
            for name, kind in zip(self._order, self._order_kinds, strict=True)
        )
        for name, why in refusals(members):
            path = _located(name)[0]
            self._tell(Oddity("refused", f"dpkg cannot unpack {printable(path)}: {why}", path))
            return

    def _form(self, path: str) -> str:
        """The name under which dpkg knows a member."""
        return self._forms.get(path, path[1:])

    def _check_link(self, target: str, path: str) -> None:
        """Tell where a hard link is of nothing that dpkg has unpacked before it."""
        at = _located(target)[0]
        kind = self._kinds.get(at, tarfile.DIRTYPE)
        linkable = kind not in (tarfile.DIRTYPE, tarfile.SYMTYPE)
        if not linkable or self._form(at) != _exact(target):
            message = f"{printable(path)} is a hard link to {printable(target)!r}"
            # A file of the system may be there, and be linked to.
            sort = "refused" if at in self._kinds else "traversal"
            self._tell(Oddity(sort, f"{message}, which is no file before it", path))


def _exact(name: str) -> str:
    """A name as dpkg compares them: without ./ or / before it, and nothing else cleaned."""
    while name.startswith(("/", "./")):
        name = name.lstrip("/") if name.startswith("/") else name[2:]
    return name


def headers_of(
    source: Reader, limit: int, tell: Tell, *, by_tar: bool = False
) -> Iterator[tuple[tarfile.TarInfo, int, Content]]:
    """What a tar archive has: each header with its long names, where it begins, the content.

    by_tar: as tar(1) and apt read control.tar.
    """
    longname = longlink = None
    empty: set[bytes] = set()  # types of the long names before a member that have no bytes
    offset = source.position
    headers = Headers(by_tar=by_tar)
    while True:
        if source.position > limit:
            raise _too_large(limit)
        header = source.upto(tarfile.BLOCKSIZE)
        if not header or not header.strip(b"\0"):
            if len(header) < tarfile.BLOCKSIZE:
                if header:
                    raise DebError("truncated", "the archive ends within a header")
                if by_tar and not source.unread:  # apt looks for it, in all streams
                    raise DebError("truncated", "the archive ends without an end mark")
                tell(Oddity("odd", "the archive ends without an end mark"))
            if longname is not None or longlink is not None:
                tell(Oddity("odd", "a long name belongs to no member"))
            return
        if len(header) < tarfile.BLOCKSIZE:
            raise DebError("truncated", "the archive ends within a header")
        try:
            info = headers.read(header)
        except (ValueError, OverflowError) as error:
            raise DebError("damaged", f"a tar header is damaged: {error}") from None
        if info.size < 0:
            raise DebError("damaged", "a member has a negative size")
        if not all(0 <= n <= _WORD for n in (info.mode, info.uid, info.gid)):
            raise DebError("damaged", "a member's mode or owner is no number of 32 bits")
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            if info.size > _NAME_LIMIT:
                raise DebError("limit", f"a name of {info.size} bytes")
            if (longname if info.type == tarfile.GNUTYPE_LONGNAME else longlink) is not None:
                tell(Oddity("odd", "two long names belong to one member: the later one counts"))
            if not info.size:
                empty.add(info.type)
                continue
            text = _padded(source, info.size).partition(b"\0")[0]
            name = text.decode("utf-8", "surrogateescape")
            if info.type == tarfile.GNUTYPE_LONGNAME:
                longname = name
            else:
                longlink = name
            continue
        if longname is not None:
            info.name = longname
        if info.name.endswith("/"):
            if info.type in FILE_TYPES and by_tar:  # as tar wrote folders before POSIX
                info.type = tarfile.DIRTYPE
            elif info.type in FILE_TYPES:
                shown = printable(info.name)
                tell(Oddity("odd", f"{shown} is a file with a slash: dpkg makes no folder of it"))
            if info.isdir() or info.type in FILE_TYPES:
                info.name = info.name.removesuffix("/")
        info.linkname = info.linkname if longlink is None else longlink
        longname = longlink = None
        if tarfile.GNUTYPE_LONGNAME in empty or (empty and (info.issym() or info.islnk())):
            # 1.21.22 takes the short name; 1.22.22 an empty one, as tar(1) does.
            since = () if by_tar else (1, 22)
            tell(Oddity("odd", "a long name has no bytes", refused_since=since))
            if by_tar:
                info.name = "" if tarfile.GNUTYPE_LONGNAME in empty else info.name
                info.linkname = "" if tarfile.GNUTYPE_LONGLINK in empty else info.linkname
        empty.clear()
        start = source.position
        info.offset, info.offset_data = offset, start
        content = Content(source, info.size)
        padding = -info.size % tarfile.BLOCKSIZE
        end = start + info.size + padding
        if end > limit:
            raise _too_large(limit)
        yield info, offset, content
        content.finish()
        if source.skip(padding) != padding:
            raise DebError("truncated", "the archive ends within a file")
        offset = end


def _too_large(limit: int) -> DebError:
    return DebError("limit", f"an archive of more than {limit} bytes, decompressed")


def _padded(source: Reader, size: int) -> bytes:
    data = source.upto(size)
    padding = -size % tarfile.BLOCKSIZE
    if len(data) < size or source.skip(padding) != padding:
        raise DebError("truncated", "the archive ends within a name")
    return data


def read_trailer(source: Reader, tell: Tell = refuse) -> tuple[int, bool]:
    """Read to the end, so that checksums there are verified: bytes, and whether all are zero."""
    size, zero = 0, True
    while part := source.read(codecs.CHUNK):
        size += len(part)
        zero = zero and not bytes(part).strip(b"\0")
        if size > _TRAILER_LIMIT:
            raise DebError("limit", f"more than {_TRAILER_LIMIT} bytes after the end of an archive")
    if not zero:
        tell(Oddity("odd", "bytes follow the end of the archive"))
    if source.unread:
        tell(Oddity("odd", f"{source.unread} bytes follow the compressed data: dpkg skips them"))
    return size, zero


def installed_size(entries: Iterable[Entry]) -> int:
    """KiB, as dpkg-gencontrol counts (deb-substvars(5)).

    The content of each file and link is rounded up to a KiB, a hard link costs nothing, and
    anything else is one, the root of the package included.
    """
    total = 1
    for entry in entries:
        info = entry.info
        if info.type in FILE_TYPES:
            total += -(-info.size // 1024)
        elif info.issym():
            total += -(-len(info.linkname.encode("utf-8", "surrogateescape")) // 1024)
        elif entry.path != "/" and not info.islnk():
            total += 1
    return total


def lost(entries: Iterable[Entry]) -> Iterator[tuple[str, str]]:
    """Members that dpkg loses, as it unpacks another one under their name; and that other one.

    It unpacks X as X.dpkg-new, and moves an X that is there to X.dpkg-tmp.
    """
    by_path = {entry.path: entry for entry in entries}
    for path, entry in by_path.items():
        base, _, suffix = path.rpartition(".")
        taken = suffix == "dpkg-tmp" or (suffix == "dpkg-new" and entry.info.isdir())
        if taken and base in by_path:
            yield path, base


def is_file(entry: Entry) -> bool:
    """Whether it is a regular file under one of its names."""
    return entry.info.type in FILE_TYPES or entry.info.islnk()
