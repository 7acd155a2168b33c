# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading /sys and /proc, or a copy of them: what is missing, odd or endless reads as empty."""

from __future__ import annotations

import itertools
import os
import re
import stat
from pathlib import Path

LINE = 4096  # characters; attributes have at most one page
LINES = 65_536  # of one file in /proc, and entries of one folder


def text(path: Path) -> str:
    """The first line of an attribute; empty where it cannot be read."""
    return next(iter(lines(path, 1) or [""]), "").strip()


def lines(path: Path, most: int = LINES) -> list[str] | None:
    """The lines of a file, its first only for 1; None where it cannot be read."""
    try:
        if not path.is_file():  # nothing to wait for endlessly, such as a FIFO in a copied tree
            return None
        with path.open(encoding="utf-8", errors="replace") as file:
            return [file.readline(LINE).rstrip("\n")] if most == 1 else _split(file.read(1 << 23))
    except (OSError, ValueError):
        return None


def _split(content: str) -> list[str]:
    return content.split("\n")[:LINES]


def attribute(folder: Path, name: str, most: int = LINE) -> bytes:
    """The first `most` bytes of an attribute of a device; empty where it cannot be read.

    An attribute is a plain file. A link, which a copied tree could have in its place, is not
    followed, and a FIFO not waited for.
    """
    try:
        handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return b""
    try:
        return os.read(handle, most) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(handle)


def below(path: Path, top: Path) -> bool:
    """Whether a path leads to something inside of `top`, which is real."""
    return real(path).is_relative_to(top)


def number(path: Path, bits: int) -> int:
    """An attribute such as 0x030000; 0 where it is none."""
    found = text(path)
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{1,8}", found):
        return 0
    return int(found, 16) & ((1 << bits) - 1)


def link(path: Path) -> str:
    """The last part of what a link points to; empty where it is no link."""
    try:
        return path.readlink().name
    except (OSError, ValueError):
        return ""


def names(folder: Path) -> list[str]:
    """What is in a folder, sorted; nothing where it cannot be read."""
    try:
        return sorted(entry.name for entry in itertools.islice(folder.iterdir(), LINES))
    except (OSError, ValueError):
        return []


def there(path: Path) -> bool:
    """Whether there is something at `path`."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def real(path: Path) -> Path:
    """Where `path` leads; itself where its links go round in circles."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path


def unescaped(field: str) -> str:
    r"""A field of /proc/mounts, /proc/swaps or fstab: white space and backslash come as \ooo."""
    return re.sub(r"\\([0-3][0-7]{2})", lambda m: chr(int(m[1], 8)), field)
