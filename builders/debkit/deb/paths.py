# SPDX-License-Identifier: GPL-2.0-or-later
"""Absolute paths of a package and the folders above them.

Packages may have very many deep paths, so that no folder is looked at twice.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator


def folder_of(path: str) -> str:
    """The folder of an absolute path in its shortest form, as posixpath.dirname has it."""
    return path.rpartition("/")[0] or "/"


def above(path: str) -> Iterator[str]:
    """`path` and the folders above it, without the root."""
    while path != "/":
        yield path
        path = folder_of(path)


def folders_above(paths: Iterable[str]) -> set[str]:
    """All folders above these paths, without the root."""
    folders: set[str] = set()
    for path in paths:
        for folder in above(folder_of(path)):
            if folder in folders:
                break
            folders.add(folder)
    return folders


def nearest(paths: Iterable[str], chosen: Container[str]) -> Iterator[tuple[str, str]]:
    """Each path, and which is the first of it and the folders above it that is chosen.

    "" stands for none; the root is not looked at.
    """
    known = {"/": ""}  # folder to the first one
    for path in paths:
        climbed = []
        at = path
        while at not in known:
            climbed.append(at)
            if at in chosen:
                known[at] = at
                break
            at = folder_of(at)
        first = known[at]
        known.update(dict.fromkeys(climbed, first))
        yield path, first
