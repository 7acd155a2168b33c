# SPDX-License-Identifier: GPL-2.0-or-later
"""What a recipe states about a finished package; `finish` applies it.

Apart from `finish`, so that a recipe is read without all that rewrites packages.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    conffiles: bool = True
    revision: str = ""
    version: str = ""
    compression: str = ""
    level: int = -1
