# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernels of a package by their paths: which there are, and which modules go with each."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Container, Iterable

# Packages that make an initramfs, or that another one provides which does.
INITRAMFS = ("initramfs-tools", "linux-initramfs-tool", "dracut", "tiny-initramfs")
_KERNEL = re.compile(r"/boot/vmlinu[xz]-(.+)")
_MODULE = re.compile(r"(?:/usr)?/lib/modules/([^/]+)/.+\.ko(?:\.gz|\.xz|\.zst)?")


def modular(paths: Iterable[str]) -> dict[str, int]:
    """The version of each kernel that has modules in the same package, and how many."""
    counts: dict[str, int] = {}
    versions = set()
    for path in paths:
        if kernel := _KERNEL.fullmatch(path):
            versions.add(kernel[1])
        elif module := _MODULE.fullmatch(path):
            counts[module[1]] = counts.get(module[1], 0) + 1
    return {version: counts[version] for version in sorted(versions & counts.keys())}


_BUILD_LINK = re.compile(r"(?:/usr)?/lib/modules/[^/]+/(build|source)")


def to_build(path: str, link: str, there: Container[str] = ()) -> bool:
    """Whether a symbolic link is one that `make modules_install` leaves to its own folder.

    What leads to a package of headers, stays among the modules, or is in the package itself, is
    meant. there: the paths of the package.
    """
    if not _BUILD_LINK.fullmatch(path):
        return False
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    return target not in there and not _HEADERS.match(target)


# Debian's linux-headers and its kbuild, and those of kernels that are called otherwise.
_HEADERS = re.compile(
    r"/usr/src/(linux-headers-|linux-kbuild|kernels/)|(/usr)?/lib/(modules|linux)|/usr/share/"
)
