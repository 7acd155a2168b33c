# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be stated about a finished package; `finish` applies it.

A recipe states it, or a file of rules. Apart from `finish`, so that either is read without all
that rewrites packages.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

OVERRIDES = 10  # kinds, over all packages of all recipes
SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]*")  # the name of a unit or an init script
# What a recipe may say of a service.
WORDS = {
    "boot": "starts at boot; a running one is never touched",
    "start": "also started by the first installation, and stopped by removal",
    "restart": "also restarted by an upgrade",
    "manual": "an administrator enables it",
    "sysv": "boots without systemd only: with systemd, other units do its work",
}
# All else belongs to the administrator, to other packages or to the system (Policy 10.8, FHS).
PURGEABLE = ("/etc/", "/var/cache/", "/var/lib/", "/var/log/", "/var/spool/")
_PURGE = re.compile(r"/[A-Za-z0-9_.+-]+(/[A-Za-z0-9_.+*?@:-]+)+/?")


def purge_problem(path: str) -> str:
    """Why a package may not remove `path` when it is purged; "" where it may."""
    plain = path.removesuffix("/")
    if (
        len(path) <= 4096
        and _PURGE.fullmatch(path)
        and posixpath.normpath(path) == plain
        and plain.startswith(PURGEABLE)
    ):
        return ""
    return f"{path[:80]!r} can't be removed by a package"


@dataclass(frozen=True)
class Override:
    """A tag of lintian(1) that is wrong for a package, and why.

    tag: its name.
    reason: a sentence that says why lintian is wrong here.
    context: of the tag, where only one place is meant; "*" stands for anything.
    """

    tag: str
    reason: str
    context: str = ""

    def problem(self) -> str:
        """What is wrong with it; empty where nothing is."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", self.tag):
            return f"{self.tag!r} is no tag of lintian"
        if not self.reason.strip():
            return f"{self.tag} is overridden without a reason"
        if len(self.context.splitlines()) > 1 or self.context.strip() != self.context:
            return f"the context of {self.tag} has more than one line, or space around it"
        return ""


@dataclass(frozen=True)
class Replacement:
    """A passage of a text file, and what takes its place.

    path: glob (fnmatch) of absolute paths, as the raw package has them.
    old: the passage. In each file that `path` matches it is there exactly once; where it is not,
        the package is not what the recipe was written for.
    new: what takes its place.
    """

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Corrections:
    """What is stated about a finished package; an empty value keeps the raw one's.

    package: the new name (Policy 5.6.1).
    maintainer: who answers for it, "Name <address>" (Policy 5.6.2).
    section: of the archive, such as "admin" (Policy 2.4).
    priority: such as "optional" (Policy 2.5).
    homepage: upstream's page (Policy 5.6.23).
    description: the synopsis, then from the second line on the extended description.
    depends, recommends, suggests, provides, conflicts, replaces, breaks: relations that are
        added to those of the raw package, each as Policy 7.1 writes them.
    remove: globs (fnmatch, "*" matches "/" too) of absolute paths, such as "/boot/xen-syms*";
        a directory that matches goes with all below it.
    discard: as remove, of what not every package has: nothing is noted where there is none.
    move: old path to new path; a directory takes all below it along.
    replace: passages of text files, such as the head of an init script (Policy 9.3.2).
    modes: glob to permission bits, such as "0700" (Policy 10.9); links have none.
    symbols: files are stripped, and their symbols go into NAME-dbgsym (Policy 10.1): the suite's
        tools, which only a builder has, make both. With it goes what lies in /usr/lib/debug.
    libraries: shared libraries are not executable, and have a shlibs file and the trigger for
        the linker's cache (Policy 8.1.1, 8.6, 10.9).
    python: modules are in dist-packages, without caches, with a python3 that fits, and are
        compiled where they are installed (Debian Python Policy 2.5, 2.6, 3.2).
    runtime: directories below /run are made by tmpfiles.d(5) (Policy 9.1.4).
    documents: manual pages and large documents are compressed, there is a copyright file and a
        changelog (Policy 12.1, 12.3, 12.5, 12.7).
    copyright: text for the copyright file: in place of the package's own, or where it has none,
        above what the source says.
    links: symbolic links within a top-level directory are relative (Policy 10.5).
    services: unit or init script to how it is run (Policy 9.3): boot, start, restart, manual or
        sysv (docs/finish.md).
    grub: GRUB's menu is written anew when the package comes or goes, where there is one.
    purge: paths that `dpkg --purge` removes with all below them (Policy 6.8, 10.8); one that
        ends in "/" only where it is empty.
    files: path to content: new files; one that begins with "#!" is executable.
    overrides: what lintian says wrongly, each with a reason.
    conffiles: every regular file under /etc is a conffile (Policy 10.7, appendix E).
    revision: appended to the raw version, such as "+dom0.1"; the result must sort above it.
    version: takes the place of version and revision.
    compression: none, gzip, xz, zstd, bzip2 or lzma, for the data member; gzip-ng is gzip by
        zlib-ng.
    level: of that compression; -1 is the default of dpkg-deb.
    """

    package: str = ""
    maintainer: str = ""
    section: str = ""
    priority: str = ""
    homepage: str = ""
    description: str = ""
    depends: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    suggests: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    discard: tuple[str, ...] = ()
    move: Mapping[str, str] = field(default_factory=dict)
    replace: tuple[Replacement, ...] = ()
    modes: Mapping[str, str] = field(default_factory=dict)
    symbols: bool = True
    libraries: bool = True
    python: bool = True
    runtime: bool = True
    documents: bool = True
    copyright: str = ""
    links: bool = True
    services: Mapping[str, str] = field(default_factory=dict)
    grub: bool = False
    purge: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    conffiles: bool = True
    revision: str = ""
    version: str = ""
    compression: str = ""
    level: int = -1
