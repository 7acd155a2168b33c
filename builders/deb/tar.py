# SPDX-License-Identifier: GPL-2.0-or-later
"""The members of a tar archive in a .deb, one after the other, each with its content.

What dpkg would not unpack is refused, and so is what would take more memory or time than any
real package.
"""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from builders import codecs
from builders.codecs import Reader
from builders.deb.error import DebError
from builders.deb.headers import Headers
from builders.progress import printable

_ENTRIES = 200_000  # members of data.tar; the largest packages in Debian have some 100 000
_NAMES_LIMIT = 64 << 20  # bytes of memory that the names of all members take
_WORD = (1 << 32) - 1  # mode_t, uid_t and gid_t; base 256 in a header can say more, and less
_PATH_LIMIT = 64 << 10  # PATH_MAX is 4096
_TRAILER_LIMIT = 1 << 20  # after the end of a tar archive; tar(1) pads to 10 KiB
FILE_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
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
        return absolute(self.info.linkname)


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
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise DebError(
            "traversal",
            f"a member is named {printable(name)!r}, which leads out of the package",
            "do not install it: no sound build makes such a package",
        )
    return "/" + "/".join(parts)


def walk(source: Reader, limit: int) -> Iterator[tuple[Entry, Content]]:
    """The members of a tar archive, each with its content; what is not read is passed over.

    limit: bytes of the archive; what goes past it is refused before it is read.

    tarfile would believe the sizes of its own extension headers and read them whole, and know
    types that dpkg refuses, so that only a single header is read as it does.
    """
    longname = longlink = None
    offset = source.position
    seen: dict[str, bool] = {}  # whether a path is a file
    names = 0
    headers = Headers()
    while True:
        if source.position > limit:
            raise _too_large(limit)
        header = source.upto(tarfile.BLOCKSIZE)
        if len(header) < tarfile.BLOCKSIZE:
            raise DebError("truncated", "the archive ends without an end mark")
        if not header.strip(b"\0"):
            if longname is not None or longlink is not None:
                raise DebError("damaged", "a long name belongs to no member")
            return
        try:
            info = headers.read(header)
        except (tarfile.TarError, ValueError, OverflowError) as error:
            raise DebError("damaged", f"a tar header is damaged: {error}") from None
        if info.size < 0:
            raise DebError("damaged", "a member has a negative size")
        if not all(0 <= n <= _WORD for n in (info.mode, info.uid, info.gid)):
            raise DebError("damaged", "a member's mode or owner is no number of 32 bits")
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            if info.size > _PATH_LIMIT:
                raise DebError("limit", f"a name of {info.size} bytes")
            if (longname if info.type == tarfile.GNUTYPE_LONGNAME else longlink) is not None:
                raise DebError("damaged", "two long names belong to one member")
            text = _padded(source, info.size).partition(b"\0")[0]
            name = text.decode("utf-8", "surrogateescape")
            if info.type == tarfile.GNUTYPE_LONGNAME:
                longname = name
            else:
                longlink = name
            continue
        if info.type not in _TYPES:
            raise DebError(
                "format",
                f"a member of tar type {printable(info.type.decode('latin-1'))!r}, which dpkg"
                " does not unpack",
                "write the archive as dpkg-deb does, with GNU headers",
            )
        info.name = info.name if longname is None else longname
        info.linkname = info.linkname if longlink is None else longlink
        longname = longlink = None
        start = source.position
        info.offset, info.offset_data = offset, start
        if info.type not in FILE_TYPES:
            info.size = 0  # as dpkg does: there is no content
        if "\n" in info.name or "\n" in info.linkname:
            raise DebError("name", f"a name with a line break: {printable(info.name)!r}")
        path = absolute(info.name)
        names += sum(map(sys.getsizeof, (info.name, info.linkname, path)))
        if names > _NAMES_LIMIT:
            raise DebError("limit", f"names that take more than {_NAMES_LIMIT >> 20} MiB")
        if path in seen:
            raise DebError("duplicate", f"{printable(path)} is there twice")
        if len(seen) >= _ENTRIES:
            raise DebError("limit", f"more than {_ENTRIES} members")
        if info.islnk() and not seen.get(absolute(info.linkname)):
            raise DebError(
                "traversal",
                f"{printable(path)} is a hard link to {printable(info.linkname)!r}, which no"
                " file before it is",
            )
        seen[path] = info.islnk() or info.type in FILE_TYPES
        content = Content(source, info.size)
        padding = -info.size % tarfile.BLOCKSIZE
        end = start + info.size + padding
        if end > limit:
            raise _too_large(limit)
        yield Entry(info, path, offset, start, end), content
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


def read_trailer(source: Reader) -> tuple[int, bool]:
    """Read to the end, so that checksums there are verified: bytes, and whether all are zero."""
    size, zero = 0, True
    while part := source.read(codecs.CHUNK):
        size += len(part)
        zero = zero and not bytes(part).strip(b"\0")
        if size > _TRAILER_LIMIT:
            raise DebError("limit", f"more than {_TRAILER_LIMIT} bytes after the end of an archive")
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


def is_file(entry: Entry) -> bool:
    """Whether it is a regular file under one of its names."""
    return entry.info.type in FILE_TYPES or entry.info.islnk()
