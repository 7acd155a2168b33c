# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of source, each with the pin that identifies its content."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UrlSource:
    """A file served at several addresses, the first that serves the right bytes wins."""

    name: str
    urls: tuple[str, ...]
    sha256: str
    size: int | None = None  # bytes
    filename: str = ""  # default: the last part of the first address


@dataclass(frozen=True)
class GitSource:
    """A tree at one commit (40 hexadecimal digits) of a git repository."""

    name: str
    urls: tuple[str, ...]
    commit: str


@dataclass(frozen=True)
class Pooled:
    """A tarball that mirrors may still serve when their lists name a newer version only.

    version: of the source package; path: of the tarball below the main archive's address.
    """

    version: str
    path: str
    sha256: str


@dataclass(frozen=True)
class DebianSource:
    """The upstream tarball of a source package; `version` is exact, or a glob such as 4.17.*.

    pooled: one more version that may be taken, where `version` admits it.
    """

    name: str
    package: str
    version: str
    pooled: Pooled | None = None


@dataclass(frozen=True)
class DebianPackage:
    """A binary package of the suite; `version` is exact, or a glob such as 6.1.*."""

    name: str
    package: str
    version: str


Source = UrlSource | GitSource | DebianSource | DebianPackage
