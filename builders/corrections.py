# SPDX-License-Identifier: GPL-2.0-or-later
"""What a recipe states about a finished package; `finish` applies it.

Apart from `finish`, so that a recipe is read without all that rewrites packages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Corrections:
    """What a recipe states about a finished package; an empty value keeps the raw one's.

    package: the new name (Policy 5.6.1).
    maintainer, section, priority, homepage: fields of that name.
    description: the synopsis, then from the second line on the extended description.
    depends, recommends, suggests, provides, conflicts, replaces, breaks: relations that are
        added to those of the raw package, each as Policy 7.1 writes them.
    remove: globs (fnmatch, "*" matches "/" too) of absolute paths, such as "/boot/xen-syms*";
        a directory that matches goes with all below it.
    move: old path to new path; a directory takes all below it along.
    modes: glob to permission bits, such as "0700" (Policy 10.9); links have none.
    symbols: files are stripped, and their symbols go into NAME-dbgsym (Policy 10.1): a build hands
        both over. With it goes what lies in /usr/lib/debug.
    libraries: shared libraries are not executable, and have a shlibs file and the trigger for
        the linker's cache (Policy 8.1.1, 8.6, 10.9).
    python: modules are in dist-packages, without caches, with a python3 that fits, and are
        compiled where they are installed (Debian Python Policy 2.5, 2.6, 3.2).
    runtime: directories below /run are made by tmpfiles.d(5) (Policy 9.1.4).
    documents: manual pages and large documents are compressed, there is a copyright file and a
        changelog (Policy 12.1, 12.3, 12.5, 12.7).
    copyright: the text of the copyright file in place of the package's and the source's.
    links: symbolic links within a top-level directory are relative (Policy 10.5).
    conffiles: every regular file under /etc is a conffile (Policy 10.7, appendix E).
    revision: appended to the raw version, such as "+dom0.1"; the result must sort above it.
    version: takes the place of version and revision.
    compression: none, gzip, xz, zstd, bzip2 or lzma, for the data member.
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
    move: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, str] = field(default_factory=dict)
    symbols: bool = True
    libraries: bool = True
    python: bool = True
    runtime: bool = True
    documents: bool = True
    copyright: str = ""
    links: bool = True
    conffiles: bool = True
    revision: str = ""
    version: str = ""
    compression: str = ""
    level: int = -1
