# SPDX-License-Identifier: GPL-2.0-or-later
"""What is to change in a package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from builders.debkit.codecs import NewBytes


@dataclass(frozen=True)
class Added:
    """A new member of data.tar, owned by root.

    content: bytes, or the file or the slice of one that has them; None makes a directory.
    link: makes a symbolic link to it instead.
    """

    path: str
    content: NewBytes | None = None
    mode: int = 0o644
    link: str = ""


@dataclass(frozen=True)
class Edit:
    """What `rewrite` changes. Paths are absolute; what is not named stays as it is.

    control: the whole control paragraph, in its order.
    control_files: other files of control.tar; None removes one.
    control_modes: their modes; a new file is 0644, a maintainer script 0755.
    remove: members of data.tar; a directory goes with all below it. What conffiles lists of
        them goes from there too.
    rename: old path to new path; a directory takes all below it along.
    replace: the content of regular files.
    modes: permission bits.
    links: new targets of symbolic links.
    add: new members; parent directories that are missing are made.
    epoch: SOURCE_DATE_EPOCH: no time that is written lies after it.
    tidy: the owners and times of all of data.tar are put right: root, but for the ids that
        Debian allocates (Policy 9.2.2), and no time after `epoch`.
    recount: md5sums and Installed-Size are made anew. Any change of data.tar's members implies
        tidy and recount.
    compression: the name of a codec for data.tar, "" for that of the source; None as level is
        dpkg-deb's default, or where the source has the same codec, whatever that used.
    """

    control: Mapping[str, str] | None = None
    control_files: Mapping[str, bytes | None] = field(default_factory=dict)
    control_modes: Mapping[str, int] = field(default_factory=dict)
    remove: frozenset[str] = frozenset()
    rename: Mapping[str, str] = field(default_factory=dict)
    replace: Mapping[str, NewBytes] = field(default_factory=dict)
    modes: Mapping[str, int] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    add: tuple[Added, ...] = ()
    epoch: int | None = None
    tidy: bool = False
    recount: bool = False
    compression: str = ""
    level: int | None = None

    @property
    def members(self) -> bool:
        """Whether members of data.tar change."""
        edits = (self.remove, self.rename, self.replace, self.modes, self.links, self.add)
        return any(edits)
