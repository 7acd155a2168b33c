# SPDX-License-Identifier: GPL-2.0-or-later
"""A .deb that is there: its members, control information and data, read as a stream."""

from __future__ import annotations

import contextlib
import hashlib
import io
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Self

from builders.debkit import codecs
from builders.debkit.codecs import CodecError
from builders.debkit.deb.ar import Member, packed_member, read_members
from builders.debkit.deb.control import Control, parse_control
from builders.debkit.deb.controltar import read_control_files
from builders.debkit.deb.error import DebError
from builders.debkit.deb.metadata import read_conffiles, read_md5sums
from builders.debkit.deb.oddities import Oddity, Tell, pass_over, refuse
from builders.debkit.deb.tar import FILE_TYPES, Content, Entry, read_trailer, walk
from builders.errors import BuildError, Exit
from builders.text import printable

# Bytes of data.tar, decompressed, and how often those of the member, whichever is more: to be
# read, and to be written anew. bzip2 is read at a tenth of the others' speed.
_LIMITS = {False: (1 << 30, 200), True: (320 << 20, 72)}
_LIMITS_OF_BZIP2 = {False: (128 << 20, 25), True: (64 << 20, 12)}
# Members of what is to be written anew, where they are packed more tightly than _MEMBER: each of
# them takes memory. papirus-icon-theme, with 116,148 members, has 187 bytes for each.
_MEMBERS = 20_000
_MEMBER = 80  # bytes, packed


@dataclass(frozen=True)
class Index:
    """All members of data.tar, and where they and the zeros that follow them end."""

    entries: tuple[Entry, ...]
    end: int
    trailer: int  # zero bytes after `end`


def _limit(packed: codecs.Packed, *, anew: bool = False) -> int:
    """How large an archive may be, decompressed: more is taken for a bomb.

    anew: it is read in order to be written anew, which takes longer.
    """
    limits = _LIMITS_OF_BZIP2 if packed.codec is codecs.BZIP2 else _LIMITS
    least, ratio = limits[anew]
    return max(least, ratio * packed.size)


class Deb:
    """A .deb that was opened: its control information is in memory, its data in the file."""

    def __init__(
        self,
        path: Path,
        members: tuple[Member, ...],
        control_files: Mapping[str, bytes],
        control_modes: Mapping[str, int],
        control: Control,
        oddities: Sequence[Oddity] = (),
    ) -> None:
        self.path = path
        self.members = members
        self.control_files = dict(control_files)
        self.control_modes = dict(control_modes)
        self.control = control
        self.oddities = oddities  # of the ar archive and of control.tar; dpkg takes these
        self.kept = codecs.Kept()  # the data, where `index` has read it and it is small

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the control information of the package `path`.

        Raises DebError (a BuildError) where it is no .deb, is damaged or goes past a limit.
        """
        if path.exists() and not path.is_file():
            raise DebError("format", f"{path} is no file", "name a .deb")
        with telling(path), path.open("rb") as file:
            oddities: list[Oddity] = []
            members = read_members(file, oddities.append)
            member = next(m for m in members if m.name.startswith("control.tar"))
            source = codecs.reader(packed_member(file, member))
            try:
                files, modes = read_control_files(source, oddities.append)
            finally:
                source.close()
            control = parse_control(files["control"])
            return cls(path, members, files, modes, control, tuple(oddities))

    @property
    def conffiles(self) -> tuple[str, ...]:
        """The absolute paths that the conffiles file lists (deb-conffiles(5)), without flags."""
        listed = read_conffiles(self.control_files.get("conffiles", b""))[0]
        return tuple(conffile.path for conffile in listed)

    @property
    def md5sums(self) -> dict[str, str]:
        """Absolute path to digest, as the md5sums file states them (deb-md5sums(5))."""
        return read_md5sums(self.control_files.get("md5sums", b""))[0]

    @property
    def data_member(self) -> Member:
        return next(m for m in self.members if m.name.startswith("data.tar"))

    def entries(self, tell: Tell = refuse) -> Iterator[tuple[Entry, Content]]:
        """The members of data.tar in order, each with its content as an unbuffered stream.

        A content can be read until the next member is asked for.
        tell: is told what is odd; without it, that ends in DebError.
        """
        with telling(self.path), self.path.open("rb") as file:
            packed = packed_member(file, self.data_member)
            source = codecs.reader(packed)
            try:
                yield from walk(source, _limit(packed), tell)
                read_trailer(source, tell)
            finally:
                source.close()

    def settled(self) -> Iterator[tuple[Entry, Content]]:
        """The members that `index` has, each with its content as `entries` gives it."""
        entries = self.index.entries
        with telling(self.path), self.path.open("rb") as file:
            source = self.kept.again() or codecs.reader(packed_member(file, self.data_member))
            try:
                for entry in entries:
                    start = Content(source, entry.start - source.position)
                    start.finish()
                    yield entry, Content(source, entry.info.size)
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
        odd = _Mendable()
        digests: list[str | Future[str]] = []
        with (
            telling(self.path),
            self.path.open("rb") as file,
            ThreadPoolExecutor(codecs.cores()) as pool,
        ):
            packed = packed_member(file, self.data_member)
            source = self.kept.first(packed)
            try:
                most = _MEMBERS + self.data_member.size // _MEMBER
                for entry, content in walk(source, _limit(packed, anew=True), odd.tell):
                    found.append(entry)
                    if len(found) > most:
                        raise DebError(
                            "limit", f"more than {most} members in {self.data_member.size} bytes"
                        )
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
                rest, zero = read_trailer(source, odd.tell)
            finally:
                source.close()
            sums = [each if isinstance(each, str) else each.result() for each in digests]
        trailer = source.position - end if zero and rest >= tarfile.BLOCKSIZE else 0
        return Index(odd.once(_linked(found, sums)), end, trailer)


class _Mendable:
    """What is odd about a data.tar that is to be written anew, where that mends it."""

    def __init__(self) -> None:
        self._twice: set[str] = set()

    def tell(self, oddity: Oddity) -> None:
        """Remember it; raises DebError where it cannot be mended."""
        pass_over(oddity)
        if oddity.kind == "duplicate":
            self._twice.add(oddity.path)

    def once(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """Each path as dpkg leaves it: by its last member.

        Raises DebError where dpkg's order of work decides: of links and files of one name, or
        of a hard link to one of two files.
        """
        if not self._twice:
            return entries
        last = {entry.path: entry for entry in entries}
        for entry in entries:
            path = entry.target if entry.info.islnk() else entry.path
            if path in self._twice and (
                entry.info.islnk() or entry.info.type != last[path].info.type
            ):
                raise DebError(
                    "duplicate",
                    f"{printable(path)} is there twice, and not as two files or two folders",
                    "make the package again with dpkg-deb -b",
                )
        return tuple(entry for entry in entries if entry is last[entry.path])


_LARGE = 1 << 20  # bytes that are worth a thread


def _digest(content: Content) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    while part := content.chunk():
        digest.update(part)
    return sys.intern(digest.hexdigest())  # many files may have the same content


def _linked(entries: Sequence[Entry], sums: Sequence[str]) -> tuple[Entry, ...]:
    """The entries with their digests; a hard link has that of the file that it names."""
    digests: dict[str, str] = {}
    linked = []
    for entry, md5 in zip(entries, sums, strict=True):
        if entry.info.islnk():
            md5 = digests.get(entry.target, "")
        digests[entry.path] = md5
        if md5:
            entry = Entry(entry.info, entry.path, entry.offset, entry.start, entry.end, md5)
        linked.append(entry)
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
