# SPDX-License-Identifier: GPL-2.0-or-later
"""A cpio archive of the "newc" kind, as the kernel takes it for an initramfs
(Documentation/driver-api/early-userspace/buffer-format.rst). Archives may stand one behind the
other, so that a few files are laid over a large archive without making that anew."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """A file, or where content is None a directory. path: without a leading slash."""

    path: str
    content: bytes | None = None
    mode: int = 0o755


def archive(files: Iterable[File]) -> bytes:
    """The files with the directories above them, owned by root, without times."""
    out = bytearray()
    there: set[str] = set()
    number = 0

    def add(path: str, mode: int, content: bytes) -> None:
        nonlocal number
        number += 1
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        out.extend(b"070701" + b"".join(b"%08X" % field for field in fields) + name)
        out.extend(bytes(-len(out) % 4))
        out.extend(content)
        out.extend(bytes(-len(out) % 4))

    for file in files:
        parts = file.path.split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if above not in there:
                there.add(above)
                add(above, stat.S_IFDIR | 0o755, b"")
        there.add(file.path)
        if file.content is None:
            add(file.path, stat.S_IFDIR | file.mode, b"")
        else:
            add(file.path, stat.S_IFREG | file.mode, file.content)
    add("TRAILER!!!", 0, b"")
    out.extend(bytes(-len(out) % 512))
    return bytes(out)
