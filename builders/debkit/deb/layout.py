# SPDX-License-Identifier: GPL-2.0-or-later
"""The data.tar to be written: pieces of the old one and new bytes, in their order."""

from __future__ import annotations

import hashlib
import operator
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from builders.debkit import codecs
from builders.debkit.codecs import Piece, Range, Slice
from builders.debkit.deb.edit import Added, Edit
from builders.debkit.deb.error import DebError
from builders.debkit.deb.owners import GROUPS, USERS, fixed
from builders.debkit.deb.paths import above, folder_of, nearest
from builders.debkit.deb.reading import Index
from builders.debkit.deb.tar import FILE_TYPES, Entry, absolute, lost
from builders.errors import BuildError
from builders.text import printable


class Layout:
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
        self._firsts = _firsts(index.entries)
        self._written: dict[str, str] = {}  # path to digest
        self._folders = {"/"}  # that were written
        self._leaves: set[str] = set()  # paths of those that are no directories
        self.moved = self._moves()
        self._members(index)
        for added in edit.add:
            self._add(added)
        for path, base in lost(self.entries):
            raise BuildError(
                f"dpkg would lose {printable(path)}: it unpacks {printable(base)} under that name",
                hint="remove or rename one of them",
            )
        self.unchanged = self._end(index)

    def _moves(self) -> dict[str, str | None]:
        named = (*self._edit.remove, *self._edit.rename, *self._edit.replace)
        named = (*named, *self._edit.modes, *self._edit.links)
        for path in named:
            if path not in self._there:
                raise BuildError(
                    f"the package has no {printable(path)}", hint="correct the path of the edit"
                )
        moves: dict[str, str | None] = {path: path for path in self._there}
        changed = {*self._edit.remove, *self._edit.rename}
        for path, parent in nearest(self._there, changed) if changed else ():
            if parent in self._edit.remove:
                moves[path] = None
            elif parent:
                moves[path] = self._edit.rename[parent] + path[len(parent) :]
        for new in moves.values():
            if new is not None and new not in self._there and absolute(new.lstrip("/")) != new:
                raise BuildError(f"{new!r} is no absolute path", hint="write it like /usr/bin/x")
        return moves

    def _members(self, index: Index) -> None:
        # Where a file goes that hard links share, the first of them takes its place and content.
        heirs: dict[str, str] = {}
        for entry in index.entries:
            if entry.info.islnk() and self.moved[entry.path] is not None:
                first = self._firsts[entry.path]
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
        if path != entry.path or (self._tidy and folder_of(path) not in self._folders):
            self._parents(path)
        info = self._header(entry, name, path)
        md5 = entry.md5
        if info.islnk():
            first = self._firsts[entry.path]
            target = self.moved[heirs.get(first, first)]
            assert target is not None  # noqa: S101  # an heir stays
            if target != entry.target:
                info.linkname = "." + target
            md5 = self._written[target]
        new = self._edit.replace.get(name)
        if new is not None:
            if info.type not in FILE_TYPES:
                raise BuildError(
                    f"{printable(name)} is no regular file",
                    hint="replace the content of files only",
                )
            self._file(info, path, new)
            return
        if _STATED(info) == _STATED(entry.info):
            info = entry.info  # the copy is not kept: there may be many
            self._range(entry.offset, entry.end)
        else:
            self._bytes(header_bytes(info))
            if not info.isdir():
                self._range(entry.start, entry.end)
        self._wrote(info, path, md5)

    def _header(self, entry: Entry, name: str, path: str) -> tarfile.TarInfo:
        info = _copied(entry.info)
        if path != entry.path or (self._tidy and (info.name.startswith("/") or path == "/")):
            info.name = "." if path == "/" else "." + path
        if name in self._edit.modes:
            info.mode = self._edit.modes[name] & 0o7777
        if name in self._edit.links:
            if not info.issym():
                raise BuildError(
                    f"{printable(name)} is no symbolic link", hint="give links of links only"
                )
            info.linkname = self._edit.links[name]
        if self._tidy:
            info.mode &= 0o7777
            if info.isdir():
                info.size = 0  # one that is a folder by its name only may have content
            if info.islnk() and info.linkname.startswith("/"):
                info.linkname = "." + entry.target
            if self._edit.epoch is not None:
                info.mtime = min(info.mtime, self._edit.epoch)
            if not fixed(info.uname, info.uid, USERS):
                info.uid, info.uname = 0, "root"
            if not fixed(info.gname, info.gid, GROUPS):
                info.gid, info.gname = 0, "root"
        return info

    def _parents(self, path: str) -> None:
        """Directories that have to be there before `path` is: dpkg makes none by itself."""
        for parent in list(above(path))[:0:-1]:
            if parent in self._leaves:
                raise _below(path, parent)
            if parent in self._written:
                continue
            there = self._there.get(parent)
            if there is not None and not there.info.isdir() and self.moved[parent] == parent:
                raise _below(path, parent)
            if there is not None and there.info.isdir() and self.moved[parent] == parent:
                info = self._header(there, parent, parent)
            else:
                info = self._new(parent, 0o755)
                info.type = tarfile.DIRTYPE
            self._bytes(header_bytes(info))
            self._wrote(info, parent)

    def _add(self, added: Added) -> None:
        path = absolute(added.path.lstrip("/"))
        self._parents(path)
        info = self._new(path, added.mode)
        if added.link:
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, added.link, 0o777
        elif added.content is None:
            info.type, info.mode = tarfile.DIRTYPE, added.mode | (added.mode & 0o444) >> 2
        else:
            self._file(info, path, added.content)
            return
        self._bytes(header_bytes(info))
        self._wrote(info, path)

    def _new(self, path: str, mode: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo("." + path)
        info.mode, info.uname, info.gname = mode, "root", "root"
        info.mtime = self._edit.epoch or 0
        return info

    def _file(self, info: tarfile.TarInfo, path: str, content: codecs.NewBytes) -> None:
        digest = hashlib.md5(usedforsecurity=False)
        if isinstance(content, Path):
            try:
                with content.open("rb") as file:
                    digest = hashlib.file_digest(file, lambda: digest)
                    info.size = file.tell()
            except OSError as error:
                raise BuildError(f"{content}: {error.strerror}", hint="make it readable") from error
        elif isinstance(content, Slice):
            for part in codecs.sliced(content):
                digest.update(part)
            info.size = content.size
        else:
            digest.update(content)
            info.size = len(content)
        self._bytes(header_bytes(info))
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
        (self._folders if info.isdir() else self._leaves).add(path)
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
        """The end mark; whether all is as it was.

        Where something changed it is as long as tar(1) makes it: what is left of the old one
        would tell how large that was which is gone.
        """
        there = index.trailer
        end = there
        if there < 2 * tarfile.BLOCKSIZE or self.pieces != [Range(0, index.end)]:
            size = self.size + 2 * tarfile.BLOCKSIZE
            end = size + -size % tarfile.RECORDSIZE - self.size
        self._range(index.end, index.end + min(end, there))
        self._bytes(bytes(max(0, end - there)))
        return self.pieces == [Range(0, index.end + index.trailer)]


def _below(path: str, parent: str) -> BuildError:
    return BuildError(
        f"{printable(path)} can't be: {printable(parent)} is no directory",
        hint="name another path, or remove that one",
    )


def _firsts(entries: Iterable[Entry]) -> dict[str, str]:
    """Each hard link to the path of the file that it shares, also where it names another link."""
    firsts: dict[str, str] = {}
    for entry in entries:
        if entry.info.islnk():
            target = entry.target
            firsts[entry.path] = firsts.get(target, target)
    return firsts


_NAMES = ("name", "mode", "uid", "gid", "uname", "gname", "mtime", "linkname", "size", "type")
_STATED = operator.attrgetter(*_NAMES)  # what an edit may change


def _copied(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """As copy.copy, which takes many times as long, of what a header has room for."""
    new = tarfile.TarInfo()
    for name in (*_NAMES, "devmajor", "devminor"):
        setattr(new, name, getattr(info, name))
    return new


def header_bytes(info: tarfile.TarInfo) -> bytes:
    try:
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    except ValueError as error:
        raise DebError("damaged", f"{printable(info.name)}: {error}") from None
