# SPDX-License-Identifier: GPL-2.0-or-later
"""A .deb as data (deb(5), format 2.0): read and rewritten as a stream, never unpacked.

Nothing that a file declares is believed: sizes are compared with what is there, and what has
to be held in memory has a limit. What dpkg itself would not unpack is refused.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import errno
import hashlib
import io
import os
import posixpath
import re
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Self

from debian.deb822 import Deb822

from builders import codecs
from builders.codecs import Codec, CodecError, Packed, Piece, Range, Reader
from builders.errors import BuildError, Exit
from builders.progress import printable

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60
_MEMBERS = 64  # in the ar archive
CONTROL_TAR_LIMIT = 64 << 20  # decompressed; the largest in Debian have a few MiB
CONTROL_LIMIT = 4 << 20
_ENTRIES = 500_000  # members of data.tar; the largest packages in Debian have some 100 000
_PATH_LIMIT = 64 << 10  # PATH_MAX is 4096
_TRAILER_LIMIT = 1 << 20  # after the end of a tar archive; tar(1) pads to 10 KiB
_FILE_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_TYPES = (
    *_FILE_TYPES,
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)

# The order in which dpkg-gencontrol writes the fields of a binary package; what it does not
# name comes before Description.
_FIELD_ORDER = (
    "Package",
    "Package-Type",
    "Source",
    "Version",
    "Kernel-Version",
    "Built-Using",
    "Static-Built-Using",
    "Architecture",
    "Maintainer",
    "Original-Maintainer",
    "Installed-Size",
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Suggests",
    "Enhances",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Provides",
    "Section",
    "Priority",
    "Multi-Arch",
    "Essential",
    "Protected",
    "Homepage",
)


class DebError(BuildError):
    """A .deb that cannot be used.

    kind: truncated, format, damaged, traversal, duplicate, name or limit.
    """

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint or "build or fetch the package again", exit=Exit.USAGE)
        self.kind = kind


@dataclass(frozen=True)
class Member:
    """One member of the ar archive: the offset and size of its content in the file."""

    name: str
    start: int
    size: int
    mtime: int


@dataclass(frozen=True)
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
        return _absolute(self.info.linkname)


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


def _absolute(name: str) -> str:
    """The absolute path that a member's name stands for; DebError where it leaves the root."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise DebError(
            "traversal",
            f"a member is named {printable(name)!r}, which leads out of the package",
            "do not install it: no sound build makes such a package",
        )
    return "/" + "/".join(parts)


def _walk(source: Reader) -> Iterator[tuple[Entry, Content]]:
    """The members of a tar archive, each with its content; what is not read is passed over.

    tarfile would believe the sizes of its own extension headers and read them whole, and know
    types that dpkg refuses, so that only the codec of a single header is taken from it.
    """
    longname = longlink = None
    offset = source.position
    seen: set[str] = set()
    files: set[str] = set()
    while True:
        header = source.upto(tarfile.BLOCKSIZE)
        if len(header) < tarfile.BLOCKSIZE:
            raise DebError("truncated", "the archive ends without an end mark")
        if not header.strip(b"\0"):
            if longname is not None or longlink is not None:
                raise DebError("damaged", "a long name belongs to no member")
            return
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except (tarfile.TarError, ValueError, OverflowError) as error:
            raise DebError("damaged", f"a tar header is damaged: {error}") from None
        if info.size < 0:
            raise DebError("damaged", "a member has a negative size")
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            if info.size > _PATH_LIMIT:
                raise DebError("limit", f"a name of {info.size} bytes")
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
        info.offset, info.offset_data = offset, source.position
        if info.type not in _FILE_TYPES:
            info.size = 0  # as dpkg does: there is no content
        if "\n" in info.name or "\n" in info.linkname:
            raise DebError("name", f"a name with a line break: {printable(info.name)!r}")
        path = _absolute(info.name)
        if path in seen:
            raise DebError("duplicate", f"{printable(path)} is there twice")
        seen.add(path)
        if len(seen) > _ENTRIES:
            raise DebError("limit", f"more than {_ENTRIES} members")
        if info.islnk():
            if _absolute(info.linkname) not in files:
                raise DebError(
                    "traversal",
                    f"{printable(path)} is a hard link to {printable(info.linkname)!r}, which no"
                    " file before it is",
                )
            files.add(path)
        elif info.type in _FILE_TYPES:
            files.add(path)
        content = Content(source, info.size)
        padding = -info.size % tarfile.BLOCKSIZE
        end = source.position + info.size + padding
        yield Entry(info, path, offset, source.position, end), content
        content.finish()
        if source.skip(padding) != padding:
            raise DebError("truncated", "the archive ends within a file")
        offset = source.position


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
        control: Deb822,
    ) -> None:
        self.path = path
        self.members = members
        self.control_files = dict(control_files)
        self.control_modes = dict(control_modes)
        self.control = control

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the control information of the package `path`.

        Raises DebError (a BuildError) where it is no .deb, is damaged or goes past a limit.
        """
        if path.exists() and not path.is_file():
            raise DebError("format", f"{path} is no file", "name a .deb")
        with _telling(path), path.open("rb") as file:
            members = _members(file)
            member = next(m for m in members if m.name.startswith("control.tar"))
            source = codecs.reader(_packed(file, member))
            files: dict[str, bytes] = {}
            modes: dict[str, int] = {}
            try:
                total = 0
                for entry, content in _walk(source):
                    total += entry.end - entry.offset
                    if total > CONTROL_TAR_LIMIT:
                        raise DebError("limit", f"control.tar has over {CONTROL_TAR_LIMIT} bytes")
                    if entry.path == "/":
                        continue
                    name = entry.path[1:]
                    if entry.info.type not in _FILE_TYPES or "/" in name:
                        raise DebError(
                            "format", f"control.tar has {printable(name)}, which is no plain file"
                        )
                    if name == "control" and entry.info.size > CONTROL_LIMIT:
                        raise DebError("limit", f"the control file has over {CONTROL_LIMIT} bytes")
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
        with _telling(self.path), self.path.open("rb") as file:
            source = codecs.reader(_packed(file, self.data_member))
            try:
                yield from _walk(source)
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
            _telling(self.path),
            self.path.open("rb") as file,
            ThreadPoolExecutor(codecs.cores()) as pool,
        ):
            packed = _packed(file, self.data_member)
            source = codecs.reader(packed)
            try:
                for entry, content in _walk(source):
                    found.append(entry)
                    if entry.info.type not in _FILE_TYPES:
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
def _telling(path: Path) -> Iterator[None]:
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


def _packed(file: BinaryIO, member: Member) -> Packed:
    codec = codecs.by_suffix(_suffix(member.name))
    if codec is None:
        raise DebError("format", f"{printable(member.name)} is compressed in no known way")
    return Packed(file.fileno(), member.start, member.size, codec)


def _suffix(name: str) -> str:
    return name.partition(".tar")[2]


_CONTROL_NAMES = {"control.tar", "control.tar.gz", "control.tar.xz", "control.tar.zst"}
_DATA_NAMES = {"data.tar" + codec.suffix for codec in codecs.CODECS}


def _members(file: BinaryIO) -> tuple[Member, ...]:
    """The members of the ar archive, in the order that deb(5) asks for."""
    size = os.fstat(file.fileno()).st_size
    magic = file.read(len(_AR_MAGIC))
    if magic != _AR_MAGIC:
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
        header = file.read(_AR_HEADER)
        if len(header) < _AR_HEADER:
            raise DebError("truncated", f"cut short: {len(header)} bytes of a header are left")
        if header[58:] != b"`\n":
            raise DebError("damaged", f"the ar header at offset {at} is damaged")
        name = header[:16].rstrip(b" ").removesuffix(b"/").decode("ascii", "backslashreplace")
        length = _decimal(header[48:58], at)
        if at + _AR_HEADER + length > size:
            raise DebError(
                "truncated",
                f"cut short: {printable(name)} has {length} bytes by its header,"
                f" {size - at - _AR_HEADER} are there",
            )
        member = Member(name, at + _AR_HEADER, length, _decimal(header[16:28], at))
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


_FIELD = re.compile(r"[!-9;-~]+")  # deb-control(5): printable ASCII without a colon


def parse_control(data: bytes) -> Deb822:
    """The one paragraph of a control file (deb-control(5)); DebError where it is malformed."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise DebError("format", "the control file is not in UTF-8 (Policy 5.1)") from None
    lines = text.strip("\n").split("\n")
    names: set[str] = set()
    for number, line in enumerate(lines, 1):
        if line[:1] in (" ", "\t") and line.strip() and names:
            continue
        name, colon, _ = line.partition(":")
        if not colon or not _FIELD.fullmatch(name) or name[0] in "-#":
            shown = printable(line[:60])
            raise DebError("format", f"line {number} of the control file is no field: {shown!r}")
        if name.lower() in names:
            raise DebError("format", f"the control file has {name} twice")
        names.add(name.lower())
    return Deb822(lines)


def dump_control(control: Mapping[str, str]) -> bytes:
    """A control file of these fields in their order; BuildError where a value cannot be one."""
    text = "".join(
        f"{name}:{'' if value[:1] == chr(10) else ' '}{value}\n" for name, value in control.items()
    )
    data = text.encode("utf-8", "replace")
    try:
        same = list(parse_control(data).items()) == list(control.items())
    except DebError:
        same = False
    if not same:
        raise BuildError(
            "a field of the control file has an empty line, or one that is not indented",
            hint="begin each line of an extended description with a space",
        )
    return data


def ordered(control: Mapping[str, str]) -> dict[str, str]:
    """The fields in the order of dpkg-gencontrol, Description last."""
    place = {name.lower(): n for n, name in enumerate(_FIELD_ORDER)}
    place["description"] = len(place) + 1

    def rank(name: str) -> int:
        return place.get(name.lower(), len(_FIELD_ORDER))

    return {name: control[name] for name in sorted(control, key=rank)}


def installed_size(entries: Iterable[Entry]) -> int:
    """KiB, as dpkg-gencontrol counts (deb-substvars(5)).

    The content of each file and link is rounded up to a KiB, a hard link costs nothing, and
    anything else is one, the root of the package included.
    """
    total = 1
    for entry in entries:
        info = entry.info
        if info.type in _FILE_TYPES:
            total += -(-info.size // 1024)
        elif info.issym():
            total += -(-len(info.linkname.encode("utf-8", "surrogateescape")) // 1024)
        elif entry.path != "/" and not info.islnk():
            total += 1
    return total


def is_file(entry: Entry) -> bool:
    """Whether it is a regular file under one of its names."""
    return entry.info.type in _FILE_TYPES or entry.info.islnk()


# Rewriting


@dataclass(frozen=True)
class Added:
    """A new member of data.tar, owned by root.

    content: bytes or the file that has them; None makes a directory.
    link: makes a symbolic link to it instead.
    """

    path: str
    content: bytes | Path | None = None
    mode: int = 0o644
    link: str = ""


@dataclass(frozen=True)
class Edit:
    """What `rewrite` changes. Paths are absolute; what is not named stays as it is.

    control: the whole control paragraph, in its order.
    control_files: other files of control.tar; None removes one.
    control_modes: their modes; a new file is 0644, a maintainer script 0755.
    remove: members of data.tar; a directory goes with all below it. What conffiles lists of
        them goes from there too.
    rename: old path to new path; a directory takes all below it along.
    replace: the content of regular files.
    modes: permission bits.
    add: new members; parent directories that are missing are made.
    epoch: SOURCE_DATE_EPOCH: no time that is written lies after it.
    tidy: the owners and times of all of data.tar are put right: root, but for the ids that
        Debian allocates (Policy 9.2.2), and no time after `epoch`.
    recount: md5sums and Installed-Size are made anew. Any change of data.tar's members implies
        tidy and recount.
    compression: the name of a codec for data.tar, "" for that of the source; None as level is
        dpkg-deb's default, or where the source has the same codec, whatever that used.
    """

    control: Mapping[str, str] | None = None
    control_files: Mapping[str, bytes | None] = field(default_factory=dict)
    control_modes: Mapping[str, int] = field(default_factory=dict)
    remove: frozenset[str] = frozenset()
    rename: Mapping[str, str] = field(default_factory=dict)
    replace: Mapping[str, bytes | Path] = field(default_factory=dict)
    modes: Mapping[str, int] = field(default_factory=dict)
    add: tuple[Added, ...] = ()
    epoch: int | None = None
    tidy: bool = False
    recount: bool = False
    compression: str = ""
    level: int | None = None

    @property
    def members(self) -> bool:
        """Whether members of data.tar change."""
        return bool(self.remove or self.rename or self.replace or self.modes or self.add)


_SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")


def rewrite(source: Path | Deb, destination: Path, edit: Edit) -> Path:
    """Write the package `source` with `edit` applied to `destination`; returns that path.

    Where the data stays as it is, its bytes are copied unchanged. The result appears by one
    rename, and nothing is left where it fails. The same input and edit give the same bytes.
    Raises BuildError: a damaged source, an edit that names what is not there, a full disk.
    """
    deb = source if isinstance(source, Deb) else Deb.open(source)
    with _telling(deb.path), deb.path.open("rb") as file:
        packed = _packed(file, deb.data_member)
        codec = codecs.by_name(edit.compression) if edit.compression else packed.codec
        codecs.check_level(codec, edit.level)
        same = codec is packed.codec and edit.level is None
        plan = None
        if edit.members or edit.tidy or edit.recount or not same:
            plan = _Plan(deb.index, edit)
        control = _control_tar(deb, edit, plan)
        if plan is not None and same and plan.unchanged:
            plan = None
        _write(deb, file, destination, edit, plan, codec, control)
    return destination


def _write(
    deb: Deb,
    file: BinaryIO,
    destination: Path,
    edit: Edit,
    plan: _Plan | None,
    codec: Codec,
    control: tuple[str, bytes],
) -> None:
    def stamp(member: Member) -> int:
        return member.mtime if edit.epoch is None else min(member.mtime, edit.epoch)

    with _appearing(destination) as out:
        codecs.write_all(out, _AR_MAGIC)
        for member in deb.members:
            if member.name.startswith("control.tar"):
                name, data = control
                head = _ar_header(name, stamp(member), len(data))
                codecs.write_all(out, head + data + b"\n" * (len(data) % 2))
            elif plan is not None and member is deb.data_member:
                start = out.tell()
                name = "data.tar" + codec.suffix
                codecs.write_all(out, _ar_header(name, stamp(member), 0))
                packed = _packed(file, member)
                codecs.splice(packed, plan.pieces, out, codec, edit.level, size=plan.size)
                size = out.tell() - start - _AR_HEADER
                codecs.write_all(out, b"\n" * (size % 2))
                os.pwrite(out.fileno(), _ar_header(name, stamp(member), size), start)
            else:
                codecs.write_all(out, _ar_header(member.name, stamp(member), member.size))
                codecs.copy_range(file.fileno(), out, member.start, member.size)
                codecs.write_all(out, b"\n" * (member.size % 2))


def _ar_header(name: str, mtime: int, size: int) -> bytes:
    if size > 9_999_999_999:
        raise DebError("limit", f"{name} has {size} bytes; deb(5) has room for 10 digits")
    return f"{name:<16}{mtime:<12}0     0     100644  {size:<10}`\n".encode("ascii")


@contextlib.contextmanager
def _appearing(destination: Path) -> Iterator[io.FileIO]:
    """A new file that becomes `destination` when all went well, and is gone otherwise.

    It is not synced to disk, as dpkg-deb does not either: a stage syncs what it keeps.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=destination.parent, prefix=f".{destination.name}.")
    except OSError as error:
        raise _unwritable(destination, error) from error
    temporary = Path(name)
    try:
        with io.FileIO(descriptor, "wb") as out:
            yield out
            os.fchmod(descriptor, 0o644)
        temporary.replace(destination)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(destination, error) from error
        raise


def _unwritable(destination: Path, error: OSError) -> BuildError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return BuildError(
        f"{destination} cannot be written: {error.strerror or error}",
        hint="free some space and run it again" if full else "name a folder that can be written",
        exit=Exit.ENGINE if full else Exit.USAGE,
    )


class _Plan:
    """The new data.tar: pieces of the old one and new bytes, and what it will contain.

    unchanged: it is the old one byte for byte.
    size: in bytes.
    entries: its members, for md5sums and Installed-Size.
    moved: old path to new path, or to None, of what was there.
    """

    def __init__(self, index: Index, edit: Edit) -> None:
        self.pieces: list[Piece] = []
        self.entries: list[Entry] = []
        self.size = 0
        self._edit = edit
        self._tidy = edit.tidy or edit.members
        self._there = {entry.path: entry for entry in index.entries}
        self._written: dict[str, str] = {}  # path to digest
        self.moved = self._moves()
        self._members(index)
        for added in edit.add:
            self._add(added)
        self.unchanged = self._end(index)

    def _moves(self) -> dict[str, str | None]:
        named = (*self._edit.remove, *self._edit.rename, *self._edit.replace, *self._edit.modes)
        for path in named:
            if path not in self._there:
                raise BuildError(
                    f"the package has no {printable(path)}", hint="correct the path of the edit"
                )
        moves: dict[str, str | None] = {}
        for path in self._there:
            moves[path] = path
            for above in _above(path):
                if above in self._edit.remove:
                    moves[path] = None
                    break
                if above in self._edit.rename:
                    moves[path] = self._edit.rename[above] + path[len(above) :]
                    break
        for new in moves.values():
            if new is not None and _absolute(new.lstrip("/")) != new:
                raise BuildError(f"{new!r} is no absolute path", hint="write it like /usr/bin/x")
        return moves

    def _first(self, entry: Entry) -> str:
        """The path of the file that a hard link shares, also where it names another link."""
        while entry.info.islnk():
            entry = self._there[entry.target]
        return entry.path

    def _members(self, index: Index) -> None:
        # Where a file goes that hard links share, the first of them takes its place and content.
        heirs: dict[str, str] = {}
        for entry in index.entries:
            if entry.info.islnk() and self.moved[entry.path] is not None:
                first = self._first(entry)
                if self.moved[first] is None:
                    heirs.setdefault(first, entry.path)
        chosen = set(heirs.values())
        for entry in index.entries:
            if entry.path not in chosen:  # those were written in the place of the file
                name = heirs.get(entry.path, entry.path)
                self._member(entry, name, heirs)

    def _member(self, entry: Entry, name: str, heirs: Mapping[str, str]) -> None:
        """Write `entry`, as the edit has it for the member called `name`."""
        path = self.moved[name]
        if path is None:
            return
        if entry.info.isdir() and path in self._written:
            return  # it had to come earlier, for what was renamed into it
        if path != entry.path:
            self._parents(path)
        info = self._header(entry, name, path)
        md5 = entry.md5
        if info.islnk():
            first = self._first(entry)
            target = self.moved[heirs.get(first, first)]
            assert target is not None  # noqa: S101  # an heir stays
            if target != entry.target:
                info.linkname = "." + target
            md5 = self._written[target]
        new = self._edit.replace.get(name)
        if new is not None:
            if info.type not in _FILE_TYPES:
                raise BuildError(
                    f"{printable(name)} is no regular file",
                    hint="replace the content of files only",
                )
            self._file(info, path, new)
            return
        if _same(info, entry.info):
            self._range(entry.offset, entry.end)
        else:
            self._bytes(_header_bytes(info))
            self._range(entry.start, entry.end)
        self._wrote(info, path, md5)

    def _header(self, entry: Entry, name: str, path: str) -> tarfile.TarInfo:
        info = copy.copy(entry.info)
        if path != entry.path:
            info.name = "." + path
        if name in self._edit.modes:
            info.mode = self._edit.modes[name] & 0o7777
        if self._tidy:
            if self._edit.epoch is not None:
                info.mtime = min(info.mtime, self._edit.epoch)
            if not _allocated(info.uid):
                info.uid, info.uname = 0, "root"
            if not _allocated(info.gid):
                info.gid, info.gname = 0, "root"
        return info

    def _parents(self, path: str) -> None:
        """Directories that have to be there before `path` is."""
        for parent in list(_above(path))[:0:-1]:
            if parent in self._written:
                continue
            there = self._there.get(parent)
            if there is not None and there.info.isdir() and self.moved[parent] == parent:
                info = self._header(there, parent, parent)
            else:
                info = self._new(parent, 0o755)
                info.type = tarfile.DIRTYPE
            self._bytes(_header_bytes(info))
            self._wrote(info, parent)

    def _add(self, added: Added) -> None:
        path = _absolute(added.path.lstrip("/"))
        self._parents(path)
        info = self._new(path, added.mode)
        if added.link:
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, added.link, 0o777
        elif added.content is None:
            info.type, info.mode = tarfile.DIRTYPE, added.mode | (added.mode & 0o444) >> 2
        else:
            self._file(info, path, added.content)
            return
        self._bytes(_header_bytes(info))
        self._wrote(info, path)

    def _new(self, path: str, mode: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo("." + path)
        info.mode, info.uname, info.gname = mode, "root", "root"
        info.mtime = self._edit.epoch or 0
        return info

    def _file(self, info: tarfile.TarInfo, path: str, content: bytes | Path) -> None:
        digest = hashlib.md5(usedforsecurity=False)
        if isinstance(content, Path):
            try:
                with content.open("rb") as file:
                    digest = hashlib.file_digest(file, lambda: digest)
                    info.size = file.tell()
            except OSError as error:
                raise BuildError(f"{content}: {error.strerror}", hint="make it readable") from error
        else:
            digest.update(content)
            info.size = len(content)
        self._bytes(_header_bytes(info))
        self.pieces.append(content)
        self.size += info.size
        self._bytes(bytes(-info.size % tarfile.BLOCKSIZE))
        self._wrote(info, path, digest.hexdigest())

    def _wrote(self, info: tarfile.TarInfo, path: str, md5: str = "") -> None:
        if path in self._written:
            raise BuildError(
                f"the edit gives {printable(path)} twice", hint="remove the one that is there"
            )
        self._written[path] = md5
        self.entries.append(Entry(info, path, 0, 0, 0, md5))

    def _range(self, start: int, end: int) -> None:
        self.size += end - start
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, Range) and last.end == start:
            self.pieces[-1] = Range(last.start, end)
        elif end > start:
            self.pieces.append(Range(start, end))

    def _bytes(self, data: bytes) -> None:
        self.size += len(data)
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, bytes) and len(last) < 16 << 10:
            self.pieces[-1] = last + data
        elif data:
            self.pieces.append(data)

    def _end(self, index: Index) -> bool:
        """The end mark; whether all is as it was."""
        if index.trailer >= 2 * tarfile.BLOCKSIZE:
            self._range(index.end, index.end + index.trailer)
        else:
            size = self.size + 2 * tarfile.BLOCKSIZE
            self._bytes(bytes(size + -size % tarfile.RECORDSIZE - self.size))
        return self.pieces == [Range(0, index.end + index.trailer)]


def _above(path: str) -> Iterator[str]:
    """`path` and the directories above it, without the root."""
    while path != "/":
        yield path
        path = posixpath.dirname(path)


def _allocated(number: int) -> bool:
    """Whether Debian allocates this user or group id globally (Policy 9.2.2)."""
    return 0 <= number <= 99 or 60000 <= number <= 64999


def _same(one: tarfile.TarInfo, other: tarfile.TarInfo) -> bool:
    names = ("name", "mode", "uid", "gid", "uname", "gname", "mtime", "linkname", "size", "type")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _header_bytes(info: tarfile.TarInfo) -> bytes:
    try:
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    except ValueError as error:
        raise DebError("damaged", f"{printable(info.name)}: {error}") from None


def _control_tar(deb: Deb, edit: Edit, plan: _Plan | None) -> tuple[str, bytes]:
    """The new control member: its name and content."""
    member = next(m for m in deb.members if m.name.startswith("control.tar"))
    files = dict(deb.control_files)
    control = dict(deb.control if edit.control is None else edit.control)
    for name, content in edit.control_files.items():
        if content is None:
            files.pop(name, None)
        elif name == "control" or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._-]*", name):
            raise BuildError(
                f"{name!r} is no file of control.tar to set", hint="set fields instead"
            )
        else:
            files[name] = content
    if plan is not None and (edit.members or edit.recount):
        conffiles = _moved_conffiles(files.get("conffiles", b""), plan.moved)
        files.pop("conffiles", None)
        if conffiles:
            files["conffiles"] = conffiles
        files["md5sums"] = _md5sums(plan.entries, _conffile_paths(conffiles))
        control["Installed-Size"] = str(installed_size(plan.entries))
        if "Installed-Size" not in (deb.control if edit.control is None else edit.control):
            control = ordered(control)
    if control != dict(deb.control) or list(control) != list(deb.control):
        files["control"] = dump_control(control)
    return _control_name(member, edit), _control_bytes(deb, member, files, edit)


def _control_bytes(deb: Deb, member: Member, files: Mapping[str, bytes], edit: Edit) -> bytes:
    mtime = member.mtime if edit.epoch is None else min(member.mtime, edit.epoch)
    out = io.BytesIO()
    root = tarfile.TarInfo("./")
    root.type, root.mode, root.mtime, root.uname, root.gname = (
        tarfile.DIRTYPE,
        0o755,
        mtime,
        "root",
        "root",
    )
    out.write(_header_bytes(root))
    for name in sorted(files):
        info = tarfile.TarInfo(f"./{name}")
        usual = 0o755 if name in _SCRIPTS else 0o644
        info.mode = edit.control_modes.get(name, deb.control_modes.get(name, usual))
        info.mtime, info.uname, info.gname = mtime, "root", "root"
        info.size = len(files[name])
        out.write(_header_bytes(info) + files[name] + bytes(-info.size % tarfile.BLOCKSIZE))
    size = out.tell() + 2 * tarfile.BLOCKSIZE
    out.write(bytes(size + -size % tarfile.RECORDSIZE - out.tell()))
    codec = codecs.by_suffix(_suffix(_control_name(member, edit)))
    assert codec is not None  # noqa: S101  # _members let no other one through
    return codecs.compress(out.getvalue(), codec)


def _control_name(member: Member, edit: Edit) -> str:
    """Its codec stays, as the dpkg of the suite that made it reads that.

    With another compression of the data, gzip is what every dpkg reads (deb(5)).
    """
    suffix = _suffix(member.name)
    if edit.compression and suffix not in (".gz", codecs.by_name(edit.compression).suffix):
        suffix = ".gz"
    return "control.tar" + suffix


def _moved_conffiles(data: bytes, moved: Mapping[str, str | None]) -> bytes:
    """The conffiles file after members moved or went."""
    lines = []
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        if not line.strip():
            continue
        path = line.strip()
        if path.startswith("/"):
            new = moved.get(path, path)
            if new is None:
                continue
            line = new
        lines.append(line + "\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def _conffile_paths(data: bytes) -> set[str]:
    return set(data.decode("utf-8", "surrogateescape").split("\n"))


def _md5sums(entries: Iterable[Entry], conffiles: set[str]) -> bytes:
    """deb-md5sums(5); without conffiles, whose digests dpkg keeps itself, as dh_md5sums(1)."""
    lines = sorted(
        (e.path[1:].encode("utf-8", "surrogateescape"), e.md5.encode())
        for e in entries
        if is_file(e) and e.path not in conffiles
    )
    return b"".join(digest + b"  " + name + b"\n" for name, digest in lines)
