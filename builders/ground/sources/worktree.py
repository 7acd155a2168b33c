# SPDX-License-Identifier: GPL-2.0-or-later
"""A local tree as it lies there: read into one tar archive that its files alone decide.

Of a git repository that is what git does not ignore, whether it was committed or not; any other
folder is taken whole. The repository is a stranger's: git(1) sees its index and lists of what to
ignore in a folder of our own, so that no setting of it (core.fsmonitor, filters, hooks, remotes) is
ever read, and its commit is read without git.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tarfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from builders.errors import BuildError, Interrupted
from builders.files import scratch
from builders.ground.sources.address import Failed, Patience
from builders.ground.sources.cache import Cache, CachedFile, Fetched
from builders.ground.sources.git import Git
from builders.ground.sources.pins import TreeSource
from builders.ground.sources.storage import storage_error
from builders.text import amount, printable

EPOCH = 946684800  # 1 January 2000: the time of every file, so that the same files are one archive
FILE = "tree.tar"  # what it is called in the cache
_MOST = 500_000  # files and links
_BYTES = 4 << 30  # of them all
_DEPTH = 8  # repositories in repositories
_PATH = 4096  # bytes of one
INDEX = 256 << 20  # bytes of an index, or of a part of one
_SMALL = 1 << 20  # of what else is read of a repository
_KEPT = 3  # archives that stay, of one folder
_NAMED = 3  # files that a line names
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Snapshot:
    """A tree that was read. notes: what to know of it, a line each; files: how many it has."""

    source: TreeSource
    file: CachedFile
    files: int
    notes: tuple[str, ...]


@dataclass
class _Found:
    """What was found in a tree, before its files are read: path -> its state then."""

    files: dict[bytes, os.stat_result] = field(default_factory=dict)
    folders: set[bytes] = field(default_factory=set)  # that are empty
    others: list[bytes] = field(default_factory=list)  # sockets, devices, FIFOs
    absent: list[bytes] = field(default_factory=list)  # submodules that are not checked out
    size: int = 0


def read(
    folder: Path,
    name: str,
    cache: Cache,
    *,
    needs: Iterable[str] = (),
    stop: threading.Event | None = None,
    patience: Patience | None = None,
) -> Snapshot:
    """Read the tree in `folder` as the source `name`, and keep its archive in the cache.

    needs: files of which one has to be at its top, or it is not the tree that was meant.
    Raises BuildError (USAGE) where it can't be read, is too large, or is no such tree.
    """
    stop = stop or threading.Event()
    folder = folder.absolute()
    try:
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise BuildError(
            f"{printable(str(folder))}: {error.strerror}", hint="name the folder with the tree"
        ) from None
    found = _Found()
    try:
        _look(folder, top, b"", found, stop, patience or Patience(), 1)
        needed = list(needs)
        if needed and not any(os.fsencode(need) in found.files for need in needed):
            raise BuildError(
                f"{printable(str(folder))} has no {needed[0]} at its top: it is no tree to build",
                hint="name the folder that make would be run in",
            )
        with cache.scratch() as place:
            tar = place / FILE
            changed = _write(top, tar, found, stop, cache)
            changed += _changed(top, found, {*changed})
            notes = tuple(_notes(top, found, changed))
            return keep(folder, name, head(folder), cache, tar, len(found.files), notes)
    except (OSError, RecursionError) as error:
        which = printable(os.fsdecode(getattr(error, "filename", None) or ""))
        why = getattr(error, "strerror", None) or "its folders are too deep"
        raise BuildError(
            f"{printable(str(folder))}: {which} {why}",
            hint="make it readable, or have git ignore it (.gitignore)",
        ) from None
    finally:
        os.close(top)


def keep(
    folder: Path,
    name: str,
    commit: str,
    cache: Cache,
    tar: Path,
    files: int,
    notes: tuple[str, ...],
) -> Snapshot:
    """Put an archive into the cache as that of the tree in `folder`, at `commit`."""
    file = cache.adopt(tar, name=FILE)
    source = TreeSource(name, str(folder), file.sha256, commit)
    cache.record(source, Fetched(name, commit or file.sha256, (file,)))
    cache.keep_newest(source, _KEPT)
    return Snapshot(source, file, files, notes)


def normal(archive: Path, target: Path) -> int:
    """Write what git-archive(1) made as `read` would have it; how many files and links it has.

    Raises BuildError where it is larger than a tree may be, tarfile.TarError where it is none.
    """
    with tarfile.open(archive) as tar, target.open("wb") as out:
        members = {
            os.fsencode(member.name).partition(b"/")[2]: member
            for member in tar
            if member.isreg() or member.issym()
        }
        if len(members) > _MOST or sum(member.size for member in members.values()) > _BYTES:
            raise BuildError(
                f"the tree has more than {_MOST:,} files or {amount(_BYTES)}",
                hint="is it the right repository?",
            )
        out.write(_member(b"", tarfile.DIRTYPE, 0o755))
        for path, member in sorted(members.items()):
            if member.issym():
                target_of = os.fsencode(member.linkname)
                out.write(_member(path, tarfile.SYMTYPE, 0o777, target=target_of))
                continue
            mode = 0o755 if member.mode & stat.S_IXUSR else 0o644
            out.write(_member(path, tarfile.REGTYPE, mode, member.size))
            stream = tar.extractfile(member)
            while stream and (block := stream.read(_BLOCK)):
                out.write(block)
            out.write(bytes(-member.size % tarfile.BLOCKSIZE))
        out.write(bytes(2 * tarfile.BLOCKSIZE))
    return len(members)


# -- which files there are ----------------------------------------------------


def _look(
    folder: Path,
    top: int,
    prefix: bytes,
    found: _Found,
    stop: threading.Event,
    patience: Patience,
    depth: int,
) -> None:
    """Note what belongs to the tree `folder`, whose paths begin with `prefix` in the whole."""
    if depth > _DEPTH:
        raise BuildError(
            f"{printable(str(folder))}: repositories in repositories, more than {_DEPTH}",
            hint="name the innermost, or take the others away",
        )
    paths = _listed(folder, patience, stop) if is_repository(folder) else _walked(top, prefix)
    opened = _Opened(top)
    try:
        for path in paths:
            if stop.is_set():
                raise Interrupted
            whole = prefix + path.rstrip(b"/")
            if not _plain(whole):
                continue
            state = opened.state(whole)
            if state is None:
                continue  # it is in the index, and was deleted; or lies behind a link
            if stat.S_ISDIR(state.st_mode):
                inner = folder / os.fsdecode(path.rstrip(b"/"))
                if path.endswith(b"/") and not is_repository(inner):
                    found.folders.add(whole)
                else:  # a submodule, or a repository that git does not know
                    before = len(found.files)
                    _look(inner, top, whole + b"/", found, stop, patience, depth + 1)
                    if len(found.files) == before and not is_repository(inner):
                        found.absent.append(whole)
                        found.folders.add(whole)
            elif stat.S_ISREG(state.st_mode) or stat.S_ISLNK(state.st_mode):
                found.size += 0 if whole in found.files else state.st_size
                found.files[whole] = state
            else:
                found.others.append(whole)
            if len(found.files) + len(found.folders) > _MOST or found.size > _BYTES:
                raise BuildError(
                    f"{printable(str(folder))} has more than {_MOST:,} files or {amount(_BYTES)}",
                    hint="is it the right folder? what git ignores is not counted",
                )
    finally:
        opened.close()


def _plain(path: bytes) -> bool:
    """Whether a path stays in the tree, and in no repository's own files. An index may say any."""
    parts = path.split(b"/")
    return (
        0 < len(path) <= _PATH
        and b"\0" not in path
        and not any(part in (b"", b".", b"..") or part.lower() == b".git" for part in parts)
    )


def _walked(top: int, prefix: bytes) -> Iterator[bytes]:
    """All of a folder, and "NAME/" for each empty folder; links are not followed."""
    at = _Opened(top)
    try:
        parent = at.folder(prefix.rstrip(b"/")) if prefix else top
        if parent is None:
            return
        for where, folders, names, here in os.fwalk(b".", dir_fd=parent):
            folders[:] = [each for each in folders if each.lower() != b".git"]
            path = b"" if where == b"." else where.removeprefix(b"./") + b"/"
            links = [each for each in folders if _is_link(each, here)]
            yield from (path + each for each in (*names, *links))
            if not folders and not names and path:
                yield path
    finally:
        at.close()


def _is_link(name: bytes, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def is_repository(folder: Path) -> bool:
    return os.path.lexists(folder / ".git")


def _listed(folder: Path, patience: Patience, stop: threading.Event) -> list[bytes]:
    """What git lists of the repository in `folder`: known files, and others that it doesn't ignore.

    A folder of our own takes the place of its .git: there are copies of the index and of
    info/exclude in it, and no setting but ours.
    """
    own, common = git_folders(folder)
    with scratch("dom0-debs-tree-") as place:
        environment = {
            "GIT_WORK_TREE": str(folder),
            "GIT_INDEX_FILE": str(place / "index"),
            "GIT_OPTIONAL_LOCKS": "0",
            # The trees of a sparse index are read from there, and nothing else is.
            "GIT_OBJECT_DIRECTORY": str(common / "objects"),
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "",
        }
        git = Git(place, patience, stop, folder.name)
        try:
            kind = object_format(common)
            git.run("init", "--quiet", "--bare", "--template=", *kind, str(place / "git"))
            for index in (own / "index", *sorted(own.glob("sharedindex.*"))[:10]):
                name = place / "index" if index.name == "index" else place / "git" / index.name
                if copied := content(index, INDEX):
                    name.write_bytes(copied)
            (place / "git" / "info").mkdir(exist_ok=True)
            (place / "git" / "info" / "exclude").write_bytes(content(common / "info" / "exclude"))
            git = Git(place, patience, stop, folder.name, environment=environment)
            said = git.output(
                *("-c", "core.bare=false", "-c", "core.untrackedCache=false"),
                *_excludes(place, patience, stop),
                *("-C", str(folder), "ls-files", "-z", "--cached", "--others"),
                "--exclude-standard",
            )
        except Failed as error:
            raise BuildError(
                f"{printable(str(folder))}: its git repository can't be read: {error.reason}",
                hint="does git status work there? a copy without .git is taken whole",
            ) from None
    return list(dict.fromkeys(said.split(b"\0")[:-1]))


def object_format(common: Path) -> list[str]:
    """What git-init(1) has to be told for a repository with the same kind of names."""
    form = re.search(
        rb"^\s*objectformat\s*=\s*sha256\s*$",
        content(common / "config"),
        re.IGNORECASE | re.MULTILINE,
    )
    return ["--object-format=sha256"] if form else []


def _excludes(place: Path, patience: Patience, stop: threading.Event) -> list[str]:
    """The user's own list of what git ignores, as their settings name it."""
    home = os.environ.get("GIT_CONFIG_GLOBAL") or str(Path.home() / ".gitconfig")
    git = Git(place, patience, stop, "git", environment={"GIT_CONFIG_GLOBAL": home})
    with suppress(Failed):
        path = git.run("config", "--global", "--type=path", "--get", "core.excludesFile").strip()
        return ["-c", f"core.excludesFile={path}"] if path else []
    return []


def git_folders(folder: Path) -> tuple[Path, Path]:
    """The folder that `.git` is or names, and the one that its worktrees share (gitrepository(5)).

    Only the index, HEAD and lists of what to ignore are read there.
    """
    own = folder / ".git"
    if own.is_file():
        said = re.fullmatch(rb"gitdir: ([^\0\n]+)\n*", content(own))
        own = folder / os.fsdecode(said[1]) if said else own
    common = own
    if shared := content(own / "commondir").strip(b"\n"):
        common = own / os.fsdecode(shared.partition(b"\0")[0])
    return own, common


def content(path: Path, limit: int = _SMALL) -> bytes:
    """A plain file of a repository, b"" where it is none; BuildError where it is too large."""
    try:
        # A FIFO must not block the open, nor a link lead to a device.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    with os.fdopen(file, "rb") as stream:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return b""
        whole = stream.read(limit + 1)
    if len(whole) > limit:
        raise BuildError(f"{printable(str(path))} has more than {amount(limit)}", hint="git gc")
    return whole


def head(folder: Path) -> str:
    """The commit that the repository in `folder` is at; "" where that is not to be seen."""
    if not is_repository(folder):
        return ""
    own, common = git_folders(folder)
    said = content(own / "HEAD").strip().decode("ascii", "replace")
    if reference := re.fullmatch(r"ref: (refs/[!-~]+)", said):
        name = reference[1]
        if ".." in name:
            return ""
        said = content(common / name).strip().decode("ascii", "replace")
        if not said:
            packed = content(common / "packed-refs", INDEX).decode("utf-8", "replace")
            line = re.search(rf"^([0-9a-f]+) {re.escape(name)}$", packed, re.MULTILINE)
            said = line[1] if line else ""
    return said if re.fullmatch(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", said) else ""


# -- reading them -------------------------------------------------------------


class _Opened:
    """The folders of the last path, open, so that no part of a path can be a link."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._open: list[tuple[bytes, int]] = []

    def folder(self, path: bytes) -> int | None:
        """The folder of that path; None where it is gone, or a link."""
        parts = path.split(b"/") if path else []
        same = 0
        for (name, _), part in zip(self._open, parts, strict=False):
            if name != part:
                break
            same += 1
        self._cut(same)
        for part in parts[same:]:
            parent = self._open[-1][1] if self._open else self._top
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                opened = os.open(part, flags, dir_fd=parent)
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                if error.errno == errno.ELOOP:
                    return None
                raise
            self._open.append((part, opened))
        return self._open[-1][1] if parts else self._top

    def state(self, path: bytes) -> os.stat_result | None:
        """What lies at a path, a link not followed; None where nothing does."""
        folder, _, name = path.rpartition(b"/")
        parent = self.folder(folder)
        if parent is None:
            return None
        try:
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def file(self, path: bytes) -> BinaryIO | None:
        """A regular file, to be read; None where there is none any more."""
        folder, _, name = path.rpartition(b"/")
        parent = self.folder(folder)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            opened = os.open(name, flags, dir_fd=parent) if parent is not None else None
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):  # a link now, or a socket
                return None
            raise
        if opened is None:
            return None
        stream = os.fdopen(opened, "rb", buffering=0)
        if stat.S_ISREG(os.fstat(opened).st_mode):
            return stream
        stream.close()
        return None

    def link(self, path: bytes) -> bytes | None:
        """What a link says; None where there is none any more."""
        folder, _, name = path.rpartition(b"/")
        parent = self.folder(folder)
        try:
            return os.readlink(name, dir_fd=parent) if parent is not None else None
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.EINVAL:
                return None
            raise

    def close(self) -> None:
        self._cut(0)

    def _cut(self, length: int) -> None:
        while len(self._open) > length:
            os.close(self._open.pop()[1])


def _write(top: int, tar: Path, found: _Found, stop: threading.Event, cache: Cache) -> list[bytes]:
    """Write the archive; the files that were another thing by then, which are left out."""
    changed: list[bytes] = []
    opened = _Opened(top)
    size = 0
    try:
        with tar.open("wb") as out:
            out.write(_member(b"", tarfile.DIRTYPE, 0o755))
            for path in sorted({*found.files, *found.folders}):
                if stop.is_set():
                    raise Interrupted
                state = found.files.get(path)
                if state is None:
                    out.write(_member(path, tarfile.DIRTYPE, 0o755))
                    continue
                if stat.S_ISLNK(state.st_mode):
                    target = opened.link(path)
                    if target is None:
                        changed.append(path)
                    else:
                        out.write(_member(path, tarfile.SYMTYPE, 0o777, target=target))
                    continue
                stream = opened.file(path)
                if stream is None:
                    changed.append(path)
                    continue
                with stream:
                    size += _copy(stream, path, state, out)
                if size > 2 * _BYTES:  # they grow while they are read
                    raise OSError(errno.EFBIG, "its files grow while they are read")
            out.write(bytes(2 * tarfile.BLOCKSIZE))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise storage_error(error, cache.root, found.size) from None
        raise
    finally:
        opened.close()
    return changed


def _copy(stream: BinaryIO, path: bytes, state: os.stat_result, out: BinaryIO) -> int:
    """One file as a member; its bytes. As many are read as it has when that begins."""
    length = os.fstat(stream.fileno()).st_size
    if length > _BYTES:
        raise OSError(errno.EFBIG, f"has more than {amount(_BYTES)}", os.fsdecode(path))
    mode = 0o755 if state.st_mode & stat.S_IXUSR else 0o644
    begin = out.tell()
    out.write(_member(path, tarfile.REGTYPE, mode, length))
    left = length
    while left and (block := stream.read(min(left, _BLOCK))):
        out.write(block)
        left -= len(block)
    if left:  # it was cut meanwhile: what was read is all of it
        length -= left
        end = out.tell()
        out.seek(begin)
        out.write(_member(path, tarfile.REGTYPE, mode, length))
        out.seek(end)
    out.write(bytes(-length % tarfile.BLOCKSIZE))
    return length


def _member(path: bytes, kind: bytes, mode: int, size: int = 0, target: bytes = b"") -> bytes:
    """The header of a member of the archive, below the one folder at its top."""
    info = tarfile.TarInfo(os.fsdecode(b"tree/" + path).rstrip("/"))
    info.type, info.mode, info.size, info.mtime = kind, mode, size, EPOCH
    info.linkname = os.fsdecode(target)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _changed(top: int, found: _Found, already: set[bytes]) -> list[bytes]:
    """The files that are no longer as they were before they were read."""
    opened = _Opened(top)
    try:
        return [
            path
            for path, before in found.files.items()
            if path not in already and _sign(opened.state(path)) != _sign(before)
        ]
    finally:
        opened.close()


def _sign(state: os.stat_result | None) -> tuple[int, ...]:
    return (state.st_mode, state.st_ino, state.st_size, state.st_mtime_ns) if state else ()


def _notes(top: int, found: _Found, changed: list[bytes]) -> Iterator[str]:
    """What whoever has the tree should know of it."""
    if changed:
        yield (
            f"{len(changed)} file(s) changed while the tree was read: {_named(changed)}; what was "
            "read is built"
        )
    if found.others:
        yield f"left out, neither a file nor a link: {_named(found.others)}"
    if found.absent:
        yield (
            f"submodules that are not checked out are empty: {_named(found.absent)} "
            "(git submodule update --init)"
        )
    opened = _Opened(top)
    try:
        links = [path for path, state in found.files.items() if stat.S_ISLNK(state.st_mode)]
        out = [path for path in links if _leaves(path, opened.link(path) or b"")]
    finally:
        opened.close()
    if out:
        yield f"what these links lead to is not in the tree and not taken: {_named(out)}"


def _leaves(path: bytes, target: bytes) -> bool:
    """Whether a link at `path` leads out of the tree."""
    depth = path.count(b"/")
    for part in target.split(b"/"):
        depth += -1 if part == b".." else part not in (b"", b".")
        if depth < 0:
            return True
    return target.startswith(b"/")


def _named(paths: list[bytes]) -> str:
    shown = ", ".join(printable(os.fsdecode(path))[:200] for path in sorted(paths)[:_NAMED])
    return shown + (f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else "")
