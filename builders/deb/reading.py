# SPDX-License-Identifier: GPL-2.0-or-later
"""A .deb that is there: its members, control information and data, read as a stream."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import re
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Self

from builders import codecs
from builders.codecs import CodecError, Packed, Reader
from builders.deb.control import Control, parse_control
from builders.deb.error import DebError
from builders.deb.headers import Headers
from builders.errors import BuildError, Exit
from builders.progress import printable

AR_MAGIC = b"!<arch>\n"
AR_HEADER = 60
_MEMBERS = 64  # in the ar archive
CONTROL_TAR_LIMIT = 24 << 20  # decompressed; the largest in Debian have a few MiB
CONTROL_LIMIT = 1 << 20  # of the file control, and of conffiles
_ENTRIES = 200_000  # members of data.tar; the largest packages in Debian have some 100 000
_NAMES_LIMIT = 64 << 20  # bytes of memory that the names of all members take
_DATA_LIMIT = 4 << 30  # data.tar, decompressed, where it is packed more tightly than _RATIO
_RATIO = 200
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


@dataclass(frozen=True)
class Member:
    """One member of the ar archive: the offset and size of its content in the file."""

    name: str
    start: int
    size: int
    mtime: int


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


@dataclass(frozen=True)
class Index:
    """All members of data.tar, and where they and the zeros that follow them end."""

    entries: tuple[Entry, ...]
    end: int
    trailer: int  # zero bytes after `end`


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


def _walk(source: Reader, limit: int) -> Iterator[tuple[Entry, Content]]:
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


def _limit(member: Member) -> int:
    """How large an archive may be, decompressed: more is taken for a bomb."""
    return max(_DATA_LIMIT, _RATIO * member.size)


def _too_large(limit: int) -> DebError:
    return DebError("limit", f"an archive of more than {limit} bytes, decompressed")


def _padded(source: Reader, size: int) -> bytes:
    data = source.upto(size)
    padding = -size % tarfile.BLOCKSIZE
    if len(data) < size or source.skip(padding) != padding:
        raise DebError("truncated", "the archive ends within a name")
    return data


def _trailer(source: Reader) -> tuple[int, bool]:
    """Read to the end, so that checksums there are verified: bytes, and whether all are zero."""
    size, zero = 0, True
    while part := source.read(codecs.CHUNK):
        size += len(part)
        zero = zero and not bytes(part).strip(b"\0")
        if size > _TRAILER_LIMIT:
            raise DebError("limit", f"more than {_TRAILER_LIMIT} bytes after the end of an archive")
    return size, zero


class Deb:
    """A .deb that was opened: its control information is in memory, its data in the file."""

    def __init__(
        self,
        path: Path,
        members: tuple[Member, ...],
        control_files: Mapping[str, bytes],
        control_modes: Mapping[str, int],
        control: Control,
    ) -> None:
        self.path = path
        self.members = members
        self.control_files = dict(control_files)
        self.control_modes = dict(control_modes)
        self.control = control
        self.kept = codecs.Kept()  # the data, where `index` has read it and it is small

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the control information of the package `path`.

        Raises DebError (a BuildError) where it is no .deb, is damaged or goes past a limit.
        """
        if path.exists() and not path.is_file():
            raise DebError("format", f"{path} is no file", "name a .deb")
        with telling(path), path.open("rb") as file:
            members = _members(file)
            member = next(m for m in members if m.name.startswith("control.tar"))
            source = codecs.reader(packed_member(file, member))
            files: dict[str, bytes] = {}
            modes: dict[str, int] = {}
            try:
                for entry, content in _walk(source, CONTROL_TAR_LIMIT):
                    if entry.path == "/":
                        continue
                    name = entry.path[1:]
                    if entry.info.type not in FILE_TYPES or "/" in name:
                        raise DebError(
                            "format", f"control.tar has {printable(name)}, which is no plain file"
                        )
                    if name == "control" and entry.info.size > CONTROL_LIMIT:
                        raise DebError("limit", f"the control file has over {CONTROL_LIMIT} bytes")
                    if name == "conffiles" and entry.info.size > CONTROL_LIMIT:
                        raise DebError("limit", f"conffiles has over {CONTROL_LIMIT} bytes")
                    files[name] = b"".join(iter(lambda c=content: bytes(c.chunk()), b""))  # type: ignore[misc]
                    modes[name] = entry.info.mode & 0o7777
                _trailer(source)
            finally:
                source.close()
            if "control" not in files:
                raise DebError("format", "control.tar has no file control")
            return cls(path, members, files, modes, parse_control(files["control"]))

    @property
    def conffiles(self) -> tuple[str, ...]:
        """The absolute paths that the conffiles file lists (deb-conffiles(5)), without flags."""
        lines = self._lines("conffiles")
        return tuple(line.split()[-1] if line[:1] != "/" else line for line in lines)

    @property
    def md5sums(self) -> dict[str, str]:
        """Absolute path to digest, as the md5sums file states them (deb-md5sums(5))."""
        pairs = (line.split(maxsplit=1) for line in self._lines("md5sums"))
        return {"/" + pair[1].lstrip("*").removeprefix("./"): pair[0] for pair in pairs if pair[1:]}

    def _lines(self, name: str) -> list[str]:
        text = self.control_files.get(name, b"").decode("utf-8", "surrogateescape")
        return [line.rstrip() for line in text.split("\n") if line.strip()]

    @property
    def data_member(self) -> Member:
        return next(m for m in self.members if m.name.startswith("data.tar"))

    def entries(self) -> Iterator[tuple[Entry, Content]]:
        """The members of data.tar in order, each with its content as an unbuffered stream.

        A content can be read until the next member is asked for.
        """
        with telling(self.path), self.path.open("rb") as file:
            source = codecs.reader(packed_member(file, self.data_member))
            try:
                yield from _walk(source, _limit(self.data_member))
                _trailer(source)
            finally:
                source.close()

    def data(self) -> Iterator[tuple[tarfile.TarInfo, BinaryIO]]:
        """As `entries`, in the terms of tarfile."""
        for entry, content in self.entries():
            yield entry.info, io.BufferedReader(content)

    @cached_property
    def index(self) -> Index:
        """All members of data.tar with the digests of the files: one pass over the data."""
        found: list[Entry] = []
        digests: list[str | Future[str]] = []
        with (
            telling(self.path),
            self.path.open("rb") as file,
            ThreadPoolExecutor(codecs.cores()) as pool,
        ):
            packed = packed_member(file, self.data_member)
            source = self.kept.first(packed)
            try:
                for entry, content in _walk(source, _limit(self.data_member)):
                    found.append(entry)
                    if entry.info.type not in FILE_TYPES:
                        digests.append("")
                    elif packed.codec is codecs.NONE and entry.info.size >= _LARGE:
                        # Uncompressed, it can be read from anywhere: by a thread of its own.
                        whole = Content(codecs.reader(packed), entry.start + entry.info.size)
                        whole.skip(entry.start)
                        digests.append(pool.submit(_digest, whole))
                    else:
                        digests.append(_digest(content))
                end = found[-1].end if found else 0
                rest, zero = _trailer(source)
            finally:
                source.close()
            sums = [each if isinstance(each, str) else each.result() for each in digests]
        trailer = source.position - end if zero and rest >= tarfile.BLOCKSIZE else 0
        return Index(_linked(found, sums), end, trailer)


_LARGE = 1 << 20  # bytes that are worth a thread


def _digest(content: Content) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    while part := content.chunk():
        digest.update(part)
    return digest.hexdigest()


def _linked(entries: Sequence[Entry], sums: Sequence[str]) -> tuple[Entry, ...]:
    """The entries with their digests; a hard link has that of the file that it names."""
    digests: dict[str, str] = {}
    linked = []
    for entry, md5 in zip(entries, sums, strict=True):
        if entry.info.islnk():
            md5 = digests.get(entry.target, "")
        digests[entry.path] = md5
        linked.append(dataclasses.replace(entry, md5=md5))
    return tuple(linked)


@contextlib.contextmanager
def telling(path: Path) -> Iterator[None]:
    """Say which file an error is about."""
    try:
        yield
    except DebError as error:
        if not error.message.startswith(str(path)):
            error.message = f"{path}: {error.message}"
            error.args = (error.message,)
        raise
    except CodecError as error:
        kind = "truncated" if "cut short" in error.message else "damaged"
        raise DebError(kind, f"{path}: {error.message}") from None
    except OSError as error:
        raise BuildError(
            f"{path}: {error.strerror or error}",
            hint="name a .deb that can be read",
            exit=Exit.USAGE,
        ) from error


def packed_member(file: BinaryIO, member: Member) -> Packed:
    codec = codecs.by_suffix(suffix_of(member.name))
    if codec is None:
        raise DebError("format", f"{printable(member.name)} is compressed in no known way")
    return Packed(file.fileno(), member.start, member.size, codec)


def suffix_of(name: str) -> str:
    return name.partition(".tar")[2]


_CONTROL_NAMES = {"control.tar", "control.tar.gz", "control.tar.xz", "control.tar.zst"}
_DATA_NAMES = {"data.tar" + codec.suffix for codec in codecs.CODECS}


def _members(file: BinaryIO) -> tuple[Member, ...]:
    """The members of the ar archive, in the order that deb(5) asks for."""
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
    while (at := file.tell()) < size:
        header = file.read(AR_HEADER)
        if len(header) < AR_HEADER:
            raise DebError("truncated", f"cut short: {len(header)} bytes of a header are left")
        if header[58:] != b"`\n":
            raise DebError("damaged", f"the ar header at offset {at} is damaged")
        name = header[:16].rstrip(b" ").removesuffix(b"/").decode("ascii", "backslashreplace")
        length = _decimal(header[48:58], at)
        if at + AR_HEADER + length > size:
            raise DebError(
                "truncated",
                f"cut short: {printable(name)} has {length} bytes by its header,"
                f" {size - at - AR_HEADER} are there",
            )
        member = Member(name, at + AR_HEADER, length, _decimal(header[16:28], at))
        if not members:
            _check_version(member, file)
        elif not data and not name.startswith("_"):
            data = _check_order(member, members)
        if any(m.name == name for m in members):
            raise DebError("duplicate", f"{printable(name)} is there twice")
        members.append(member)
        if len(members) > _MEMBERS:
            raise DebError("limit", f"more than {_MEMBERS} members")
        file.seek(member.start + length + length % 2)
    if not data:
        missing = next(
            part
            for part in ("debian-binary", "control.tar", "data.tar")
            if not any(m.name.startswith(part) for m in members)
        )
        raise DebError("truncated", f"not a whole .deb: it has no {missing}")
    return tuple(members)


def _decimal(text: bytes, at: int) -> int:
    digits = text.strip(b" ")
    if not digits.isdigit():
        # A time is left out by some archivers; a size that is not there cannot be used.
        if not digits and len(text) == 12:
            return 0
        raise DebError("damaged", f"the ar header at offset {at} is damaged")
    return int(digits)


def _check_version(member: Member, file: BinaryIO) -> None:
    if member.name != "debian-binary":
        raise DebError(
            "format",
            f"not a .deb: its first member is {printable(member.name)!r}, not debian-binary",
        )
    version = file.read(min(member.size, 64)).partition(b"\n")[0]
    if not re.fullmatch(rb"2\.\d+", version):
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
