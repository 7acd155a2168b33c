# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of source, each with the pin that identifies its content."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UrlSource:
    """A file served at several addresses, the first that serves the right bytes wins.

    urls: its addresses.
    sha256: its digest, 64 hexadecimal digits.
    size: in bytes, where it is known.
    filename: under which it is placed; without, the last part of the first address.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str
    size: int | None = None
    filename: str = ""


@dataclass(frozen=True)
class GitSource:
    """A tree at one commit of a git repository: a pinned one, or that of a branch or a tag.

    urls: addresses of the repository.
    commit: its 40 hexadecimal digits. Of a tag, the last line of
        `git ls-remote URL TAG 'TAG^{}'` has them.
    ref: in place of `commit` a branch or a tag, such as "stable-4.20": its commit when it is first
        fetched is taken, and noted; `fetch --again` asks once more.
    signed_by: fingerprints of the keys of which one has to have signed the tag.
    keyring: the file with these keys.
    """

    name: str
    urls: tuple[str, ...]
    commit: str = ""
    ref: str = ""
    signed_by: tuple[str, ...] = ()
    keyring: str = ""


@dataclass(frozen=True)
class Pooled:
    """A tarball that mirrors may still serve when their lists name a newer version only.

    version: of the source package.
    path: of the tarball, below the main archive's address.
    sha256: its digest.
    """

    version: str
    path: str
    sha256: str


@dataclass(frozen=True)
class DebianSource:
    """The upstream tarball of a source package of the suite.

    package: the name of the source package.
    version: exact, or a glob such as "4.17.*": the newest that the suite lists is taken.
    pooled: one more version that may be taken, where `version` admits it.
    """

    name: str
    package: str
    version: str
    pooled: Pooled | None = None


@dataclass(frozen=True)
class DebianPackage:
    """A binary package of the suite.

    package: its name.
    version: exact, or a glob such as "6.1.*": the newest that the suite lists is taken.
    """

    name: str
    package: str
    version: str


@dataclass(frozen=True)
class TreeSource:
    """A local tree as it lay there when a run read it; --tree writes one.

    path: the folder that it was read from.
    sha256: the digest of its files, as one tar archive.
    commit: where the folder is a git repository, the one that it was at, changes or not.
    """

    name: str
    path: str
    sha256: str
    commit: str = ""


Source = UrlSource | GitSource | DebianSource | DebianPackage | TreeSource
