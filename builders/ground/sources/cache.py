# SPDX-License-Identifier: GPL-2.0-or-later
"""Files kept by their sha256, and what each source resolved to.

Below the root:

    sha256/ab/abcdef...   a file, read-only, named by its digest
    resolved/KEY.json     the version and the files of one source
    identity              a random word: whose cache this is
    damaged/              files whose bytes were no longer those of their digest
    partial/              downloads that are not complete, each under a lock
    tmp/                  folders of running processes, each under a lock

A file enters only after its digest was computed, by one rename on the same
file system. Several processes may use one cache at the same time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from builders.errors import BuildError, Interrupted
from builders.files import hold, scratch, sweep
from builders.ground.sources.partial import Partial
from builders.ground.sources.pins import (
    DebianPackage,
    DebianSource,
    GitSource,
    Source,
    TreeSource,
    UrlSource,
)
from builders.ground.sources.storage import storage_error, sync

_BLOCK = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class CachedFile:
    """One file in the cache: the name that it goes by, its digest, bytes and place."""

    name: str
    sha256: str
    size: int
    path: Path


@dataclass(frozen=True)
class Fetched:
    """What a source resolved to.

    version: the package's version for Debian sources, the commit for git, the
    sha256 for a file of an address. unserved: newer versions, the newest first, that
    the mirror listed then and could not serve.
    """

    name: str
    version: str
    files: tuple[CachedFile, ...]
    unserved: tuple[str, ...] = ()

    @property
    def behind(self) -> str:
        """What to know of newer versions; "" where there is none."""
        return behind(self.unserved)


def behind(unserved: Sequence[str]) -> str:
    """Of newer versions that a mirror listed and could not serve, in words; "" without any."""
    return f"the mirror lists {unserved[0]}, which it could not serve" if unserved else ""


class WrongDigest(Exception):  # noqa: N818 - it is answered, not shown
    """A file does not have the digest that it should have."""

    def __init__(self, expected: str, actual: str, size: int) -> None:
        super().__init__(f"sha256 is {actual}, not {expected}")
        self.expected = expected
        self.actual = actual
        self.size = size


def _quiet(_: str) -> None:
    """Hear a note and do nothing."""


class Cache:
    """The cache at `root`, which is made when something is first put in."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @classmethod
    def default(cls) -> Cache:
        """The user's cache: $XDG_CACHE_HOME, or ~/.cache, with /dom0-debs.

        A relative $XDG_CACHE_HOME is ignored (XDG Base Directory Specification).
        """
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        return cls((base if base.is_absolute() else Path.home() / ".cache") / "dom0-debs")

    def identity(self) -> str:
        """A random word that stays this cache's: it tells users and machines apart."""
        path = self.root / "identity"
        try:
            if not path.exists():
                with self.scratch() as folder:
                    fresh = folder / "identity"
                    fresh.write_text(secrets.token_hex(16) + "\n", encoding="ascii")
                    fresh.replace(path)
            return path.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            problem = error if isinstance(error, OSError) else OSError(errno.EINVAL, str(error))
            raise storage_error(problem, self.root) from None

    # -- files by digest ----------------------------------------------------

    def path(self, sha256: str) -> Path:
        """Where the file of that digest is, or would be."""
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"not a sha256: {sha256!r}")
        return self.root / "sha256" / sha256[:2] / sha256

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Whether the file is there (and of `size` bytes); its bytes are not read."""
        try:
            state = self.path(sha256).stat()
        except FileNotFoundError:
            return False
        return stat.S_ISREG(state.st_mode) and size in (None, state.st_size)

    def adopt(
        self, tmpfile: Path, sha256: str | None = None, *, name: str = "", keep: bool = False
    ) -> CachedFile:
        """Take a file in under its digest, which is computed here.

        tmpfile: gone afterwards, unless `keep`. sha256: what the digest has to be,
        where that is known. name: default is the name of `tmpfile`.
        Raises WrongDigest (the file stays where it is), OSError where `tmpfile`
        can't be read, BuildError where the cache can't be written.
        """
        # A FIFO must not block the open, and a link must not lead elsewhere.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with os.fdopen(os.open(tmpfile, flags), "rb", buffering=0) as stream:
            state = os.fstat(stream.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(tmpfile))
            # Only a file that nobody else can reach may be renamed into place.
            ours = (
                not keep
                and state.st_nlink == 1
                and state.st_uid == os.geteuid()
                and tmpfile.absolute().is_relative_to(self.root)
                and state.st_dev == self._folder().stat().st_dev
            )
            if ours:
                actual, size = _digest(stream)
                target = self._accept(sha256, actual, size)
                self._place(tmpfile, target, size)
            else:
                with self.scratch() as folder:
                    copy = folder / "copy"
                    actual, size = self._copy(stream, copy, state.st_size)
                    target = self._accept(sha256, actual, size)
                    self._place(copy, target, size)
                if not keep:
                    tmpfile.unlink(missing_ok=True)
        return CachedFile(name or tmpfile.name, actual, size, target)

    def lookup(
        self,
        sha256: str,
        *,
        name: str,
        note: Callable[[str], None] = _quiet,
    ) -> CachedFile | None:
        """The file of that digest, its bytes checked; None where it is not there.

        A damaged one is set aside, and `note` is told.
        """
        path = self.path(sha256)
        try:
            file = CachedFile(name, sha256, path.stat().st_size, path)
        except FileNotFoundError:
            return None
        return file if self._sound(file, verify=True, note=note) else None

    def _accept(self, expected: str | None, actual: str, size: int) -> Path:
        if expected is not None and expected != actual:
            raise WrongDigest(expected, actual, size)
        return self.path(actual)

    def _copy(self, source: BinaryIO, target: Path, needed: int) -> tuple[str, int]:
        """Copy and digest in one pass; an OSError of the reading side stays one."""
        digest, size = hashlib.sha256(), 0
        try:
            out = target.open("wb")
        except OSError as error:
            raise storage_error(error, self.root, needed) from None
        try:
            while block := source.read(_BLOCK):
                digest.update(block)
                size += len(block)
                try:
                    out.write(block)
                    out.flush()
                except OSError as error:
                    raise storage_error(error, self.root, needed) from None
        finally:
            with contextlib.suppress(OSError):  # a full disk was reported above
                out.close()
        return digest.hexdigest(), size

    def _place(self, source: Path, target: Path, size: int) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.chmod(0o444)
            sync(source)
            # Also over a file that is there: the bytes are the same, or it was damaged.
            source.replace(target)
        except OSError as error:
            raise storage_error(error, self.root, size) from None

    def _sound(self, file: CachedFile, *, verify: bool, note: Callable[[str], None]) -> bool:
        """Whether the file is as it was put in; set aside where it is not."""
        try:
            size = file.path.stat().st_size
            if size != file.size:
                problem = f"has {size} bytes instead of {file.size}"
            elif verify:
                with file.path.open("rb") as stream:
                    actual, _ = _digest(stream)
                if actual == file.sha256:
                    return True
                problem = f"has the sha256 {actual}"
            else:
                return True
        except FileNotFoundError:
            return False
        except OSError as error:  # a bad sector reads as EIO
            problem = f"cannot be read ({error.strerror})"
        aside = self._folder("damaged") / file.sha256
        note(f"{file.name}: the cached file {file.path} {problem}: set aside in {aside.parent}")
        try:
            with contextlib.suppress(FileNotFoundError):
                file.path.replace(aside)
        except OSError as error:
            raise storage_error(error, self.root) from None
        return False

    # -- what a source resolved to ------------------------------------------

    def record(self, source: Source, fetched: Fetched, *, scope: str = "") -> None:
        """Remember what `source` resolved to.

        scope: for Debian kinds, what else decides the outcome (the suite and its mirror).
        """
        content = {
            "source": identity_of(source, scope),
            "version": fetched.version,
            "files": [{"name": f.name, "sha256": f.sha256, "size": f.size} for f in fetched.files],
            **({"unserved": list(fetched.unserved)} if fetched.unserved else {}),
        }
        target = self._record_path(source, scope)
        text = json.dumps(content, indent=2, sort_keys=True) + "\n"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.scratch() as folder:
                temporary = folder / "record"
                temporary.write_text(text, encoding="utf-8")
                sync(temporary)
                temporary.replace(target)
        except OSError as error:
            raise storage_error(error, self.root, len(text)) from None

    def resolved(
        self,
        source: Source,
        *,
        scope: str = "",
        verify: bool = False,
        note: Callable[[str], None] = _quiet,
    ) -> Fetched | None:
        """What `source` resolved to before; None where a file is gone or damaged.

        Sizes are always checked, digests with `verify`. `note` is told of each
        file that was set aside, and of a record that was thrown away.
        """
        path = self._record_path(source, scope)
        try:
            raw = json.loads(path.read_bytes())
            files = tuple(
                CachedFile(_text(f["name"]), f["sha256"], int(f["size"]), self.path(f["sha256"]))
                for f in raw["files"]
            )
            unserved = tuple(_text(version) for version in raw.get("unserved", ()))
            fetched = Fetched(source.name, _text(raw["version"]), files, unserved)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None  # of a cache that can't be, writing tells
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            note(f"{source.name}: the record {path} is damaged: thrown away")
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        # A list, so that every damaged file is found, not only the first.
        sound = [self._sound(file, verify=verify, note=note) for file in files]
        return fetched if sound and all(sound) else None

    def keep_newest(self, source: TreeSource, number: int) -> None:
        """Of the archives that were read from the folder of `source` keep the newest ones."""
        records: list[tuple[float, Path, str]] = []
        for path in self.root.glob("resolved/*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                raw = json.loads(path.read_bytes())
                about = raw["source"]
                if about["kind"] == TreeSource.__name__ and about["path"] == source.path:
                    records.append((path.stat().st_mtime, path, str(about["sha256"])))
        records.sort(reverse=True)
        kept = {source.sha256, *(digest for _, _, digest in records[:number])}
        for _, path, digest in records[number:]:
            with contextlib.suppress(OSError, ValueError):
                if digest not in kept:
                    self.path(digest).unlink(missing_ok=True)
                    path.unlink(missing_ok=True)

    def _record_path(self, source: Source, scope: str) -> Path:
        text = json.dumps(identity_of(source, scope), sort_keys=True)
        return self.root / "resolved" / f"{hashlib.sha256(text.encode()).hexdigest()}.json"

    # -- what is under way --------------------------------------------------

    @contextlib.contextmanager
    def partial(
        self,
        sha256: str,
        *,
        stop: threading.Event | None = None,
        waiting: Callable[[], None] | None = None,
    ) -> Iterator[Partial]:
        """The unfinished download of that digest, held by nobody else for the block.

        Waits while another process or thread holds it (`waiting` is called once);
        raises Interrupted when `stop` is set meanwhile. Look for the file in the
        cache again once it is held: the other one may have finished it.
        """
        path = self._folder("partial") / self.path(sha256).name
        lock = path.with_suffix(".lock")
        pause = threading.Event() if stop is None else stop
        waited = False
        try:
            while (descriptor := hold(lock, make=True)) is None:
                if waiting is not None and not waited:
                    waiting()
                    waited = True
                if pause.wait(0.1):
                    raise Interrupted
        except OSError as error:
            raise storage_error(error, self.root) from None
        partial = Partial(path)
        try:
            yield partial
        finally:
            if partial.size() == 0:
                partial.discard()
                lock.unlink(missing_ok=True)
            os.close(descriptor)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder on the cache's file system that is gone afterwards."""
        with contextlib.ExitStack() as stack:
            try:
                folder = stack.enter_context(scratch("", self._folder("tmp")))
            except OSError as error:
                raise storage_error(error, self.root) from None
            yield folder

    def sweep(self) -> None:
        """Remove what killed runs left; unfinished downloads stay, to be resumed."""
        sweep("", self.root / "tmp")
        for path in self._under_way():
            # Nobody goes on with one that has arrived, or that has not begun.
            if self.has(path.name) or Partial(path).size() == 0:
                with contextlib.suppress(OSError):
                    self._forget(path)

    def _under_way(self) -> set[Path]:
        """The paths of unfinished downloads; each is named by the digest of the complete file."""
        paths = {path.with_suffix("") for path in self.root.glob("partial/*")}
        return {path for path in paths if _SHA256.fullmatch(path.name)}

    def _forget(self, path: Path) -> None:
        """Discard an unfinished download, unless somebody holds it."""
        lock = path.with_suffix(".lock")
        descriptor = hold(lock, make=True)
        if descriptor is not None:
            Partial(path).discard()
            lock.unlink(missing_ok=True)
            os.close(descriptor)

    def _folder(self, name: str = "") -> Path:
        folder = self.root / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, self.root) from None
        return folder

    # -- upkeep -------------------------------------------------------------

    def size(self) -> int:
        """Bytes in all files of the cache, unfinished downloads included."""
        total = 0
        for path in self.root.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                state = path.lstat()
                total += state.st_size if stat.S_ISREG(state.st_mode) else 0
        return total

    def prune(self, keep: Collection[str] = ()) -> int:
        """Remove all files but those with a digest in `keep`; returns the bytes freed.

        Records that name a removed file go too, and so do unfinished downloads
        and folders that no running process holds.
        """
        before = self.size()
        try:
            for path in self.root.glob("sha256/*/*"):
                if path.name not in keep:
                    path.unlink(missing_ok=True)
            shutil.rmtree(self.root / "damaged", ignore_errors=True)
            for record in self.root.glob("resolved/*.json"):
                if not self._still_whole(record):
                    record.unlink(missing_ok=True)
            for path in self._under_way():
                self._forget(path)
            self.sweep()
        except OSError as error:
            raise storage_error(error, self.root) from None
        return max(0, before - self.size())

    def _still_whole(self, record: Path) -> bool:
        try:
            files = json.loads(record.read_bytes())["files"]
            return all(self.has(f["sha256"], f["size"]) for f in files)
        except (OSError, ValueError, KeyError, TypeError):
            return False


def identity_of(source: Source, scope: str = "") -> dict[str, Any]:
    """What decides the content of a source: its fields, without the addresses.

    A pinned file or commit is the same wherever it was served.
    """
    fields = {k: v for k, v in dataclasses.asdict(source).items() if k != "urls"}
    if fields.get("pooled", ...) is None:
        del fields["pooled"]
    if isinstance(source, GitSource):  # what a commit alone identifies has the record it had
        fields = {k: v for k, v in fields.items() if v or k == "commit"}
    if isinstance(source, UrlSource):
        fields["filename"] = file_name(source)
    fields["kind"] = type(source).__name__
    # Only what apt chooses depends on the suite.
    fields["scope"] = scope if isinstance(source, (DebianSource, DebianPackage)) else ""
    return fields


def file_name(source: UrlSource) -> str:
    """The name that the file of `source` goes by: stated, or the end of its first address.

    Raises BuildError (usage) where that is no plain file name.
    """
    name = source.filename
    with contextlib.suppress(ValueError, IndexError):  # no address, or one that is none
        name = name or unquote(urlsplit(source.urls[0]).path.rpartition("/")[2])
    if name in ("", ".", "..") or "/" in name or not name.isprintable():
        raise BuildError(
            f"sources.{source.name}: {name!r} is not a file name",
            hint=f"name the file: sources.{source.name}.filename",
        )
    return name


def _digest(stream: BinaryIO) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while block := stream.read(_BLOCK):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a string: {value!r}")
    return value
