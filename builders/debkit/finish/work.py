# SPDX-License-Identifier: GPL-2.0-or-later
"""A package while it is corrected: what it has, and what the corrections have decided."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builders.debkit.codecs import NewBytes
from builders.debkit.corrections import Corrections
from builders.debkit.deb import Added, Deb, Entry
from builders.debkit.deb.tar import FILE_TYPES


@dataclass(frozen=True)
class Beside:
    """What a build hands over beside a package.

    symbols: a tar archive: stripped/ has files of the package without their symbols, debug/ what
        belongs into a package of debugging symbols, by its path.
    copyright, changelog: the source's debian/copyright or license, and upstream's changes.
    suite: where the package is for, for its changelog.
    sign: what gives the signature of a kernel's module, a file; where modules are to be signed.
    """

    symbols: Path | None = None
    copyright: Path | None = None
    changelog: Path | None = None
    suite: str = "unstable"
    sign: Callable[[Path], bytes] | None = None


@dataclass
class Work:
    """One package in work. All paths are absolute and, but for `add`, as the raw package has them.

    name, version: of the finished package.
    depends: relations that a correction found, for Depends.
    snippets: shell lines for maintainer scripts: script name ("postinst") and lines.
    """

    package: Deb
    corrections: Corrections
    beside: Beside
    epoch: int
    name: str
    version: str
    notes: list[str] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)
    moved: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, NewBytes] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    add: list[Added] = field(default_factory=list)
    control_files: dict[str, bytes | None] = field(default_factory=dict)
    control_modes: dict[str, int] = field(default_factory=dict)
    depends: list[str] = field(default_factory=list)
    snippets: list[tuple[str, str]] = field(default_factory=list)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All members of the raw package."""
        return self.package.index.entries

    @property
    def kept(self) -> list[Entry]:
        """The members that stay, in the raw package's order."""
        return [entry for entry in self.entries if entry.path not in self.removed]

    def path(self, entry: Entry) -> str:
        """Where a member that stays is in the finished package."""
        return self.moved.get(entry.path, entry.path)

    def paths(self) -> set[str]:
        """All paths of the finished package that are known so far."""
        return {self.path(e) for e in self.kept} | {added.path for added in self.add}

    def control_file(self, name: str) -> bytes:
        """The content of a control file as it is so far; empty where there is none."""
        if name in self.control_files:
            return self.control_files[name] or b""
        return self.package.control_files.get(name, b"")

    def read(
        self, wanted: Iterable[str], limit: int = 64 << 20, total: int = 256 << 20
    ) -> Mapping[str, bytes]:
        """The content of these regular files as it is so far, in one pass over the raw package.

        One of more than `limit` bytes is left out, and what would make it more than `total`.
        """
        left = set(wanted)
        new = ((path, self.replaced.get(path)) for path in left)
        found = {path: content for path, content in new if isinstance(content, bytes)}
        left -= found.keys()
        if not left:
            return found
        for entry, content in self.package.settled():
            if entry.path in left and is_plain(entry) and entry.info.size <= min(limit, total):
                total -= entry.info.size
                found[entry.path] = b"".join(iter(lambda c=content: bytes(c.chunk()), b""))  # type: ignore[misc]
        return found


def is_plain(entry: Entry) -> bool:
    """Whether it is a regular file with content of its own, no hard link."""
    return entry.info.type in FILE_TYPES


def link_target(entry: Entry) -> str:
    """The absolute path that a symbolic link of a package leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.info.linkname))
