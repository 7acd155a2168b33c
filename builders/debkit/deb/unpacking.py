# SPDX-License-Identifier: GPL-2.0-or-later
"""What dpkg does with members that have one path: whether it can unpack them all.

dpkg (tarobject and tar_deferred_extract of its src/main/archives.c) writes each member to
NAME.dpkg-new. Folders, pipes and devices get their name at once. Files and links get it at the
end, and links are unpacked after all else. What stands in the way of another kind is moved to
NAME.dpkg-tmp, and comes back where the next member of that path finds nothing.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

FILE, LINK, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE


@dataclass(slots=True)
class _Place:
    """A path on the disk.

    kind: of what is there; "" for nothing. below: what is in it, where it is a folder.
    new: kind of its .dpkg-new. aside: the folder that is its .dpkg-tmp.
    """

    kind: bytes = b""
    below: dict[str, _Place] = field(default_factory=dict)
    new: bytes = b""
    aside: dict[str, _Place] | None = None


def refusals(members: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, str]]:
    """The members that dpkg fails at: each name with the reason. The first one ends its work.

    members: names as dpkg compares them and kinds, in the order of the archive.
        Two forms of one path are two names to it. A hard link is a file.
    """
    root = _Place(FOLDER)
    listed = list(members)
    links = [member for member in listed if member[1] == LINK]
    deferred: set[str] = set()
    for name, kind in (*(member for member in listed if member[1] != LINK), *links):
        place = _place(root, name)
        if place is None:
            yield name, "its folder is moved aside before"
        elif place is not root:
            _unpack(place, kind)
            if kind in (FILE, LINK) and place.new:
                deferred.add(name)
    for name, _ in listed:
        if name not in deferred:
            continue
        deferred.discard(name)
        place = _place(root, name)
        if place is None or not place.new:
            yield name, "nothing is left of it when it is to get its name"
        elif place.kind == FOLDER:
            yield name, "a folder is there when it is to get its name"
        else:
            place.kind, place.new = place.new, b""


def _place(root: _Place, name: str) -> _Place | None:
    """Where a name is; None where its folder was there before, and no longer is."""
    place = root
    for part in name.split("/"):
        if part in ("", "."):
            continue
        if place.kind != FOLDER:
            if place.kind or place.new or place.aside is not None:
                return None
            place.kind = FOLDER  # one of the system's, or the name is told as a fault of its own
        place = place.below.setdefault(part, _Place())
    return place


def _unpack(place: _Place, kind: bytes) -> None:
    if not place.kind and place.aside is not None:
        place.kind, place.below, place.aside = FOLDER, place.aside, None
    if place.kind == FOLDER and kind in (FOLDER, LINK):
        return
    place.new, place.aside = kind, None
    if place.kind == FOLDER:
        place.kind, place.below, place.aside = b"", {}, place.below
    if kind not in (FILE, LINK):
        place.kind, place.new, place.below = kind, b"", {}
