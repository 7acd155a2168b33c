# SPDX-License-Identifier: GPL-2.0-or-later
"""The compressions there are, and compressed bytes as they lie in a file."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass

from builders.errors import BuildError, Exit, not_installed

CHUNK = 1 << 20  # bytes that are handed on at a time
MEMORY = 160 << 20  # bytes that a decoder may take; xz -9 needs 65 MiB, and dpkg takes more


class CodecError(BuildError):
    """Compressed data is damaged or cut short."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="fetch or build the file again", exit=Exit.USAGE)


@dataclass(frozen=True)
class Codec:
    """One compression: its name, as dpkg-deb -Z has it, the suffix of a member, its levels."""

    name: str
    suffix: str
    level: int  # the default of dpkg-deb(1)
    lowest: int
    highest: int


NONE = Codec("none", "", 0, 0, 9)
GZIP = Codec("gzip", ".gz", 9, 1, 9)
BZIP2 = Codec("bzip2", ".bz2", 9, 1, 9)
LZMA = Codec("lzma", ".lzma", 6, 0, 9)
XZ = Codec("xz", ".xz", 6, 0, 9)
ZSTD = Codec("zstd", ".zst", 3, 1, 22)
CODECS = (NONE, GZIP, BZIP2, LZMA, XZ, ZSTD)
# Gzip by zlib-ng, which packs faster and gives other bytes. It is read as any gzip.
GZIP_NG = Codec("gzip-ng", ".gz", 9, 1, 9)
_WRITTEN = (*CODECS, GZIP_NG)


def by_name(name: str) -> Codec:
    """The codec called `name`; BuildError where there is none."""
    for codec in _WRITTEN:
        if codec.name == name:
            return codec
    raise BuildError(
        f"{name!r} is no compression of a .deb",
        hint=f"one of: {', '.join(c.name for c in _WRITTEN)}",
    )


def known(name: str) -> None:
    """BuildError where data can't be packed by the codec called `name`: gzip-ng is an extra."""
    if by_name(name) is not GZIP_NG:
        return
    try:
        importlib.import_module("zlib_ng.zlib_ng")
    except ImportError:
        raise not_installed("compression gzip-ng: zlib-ng", "requirements-gzip.lock") from None


def by_suffix(suffix: str) -> Codec | None:
    """The codec of a member's suffix ("" or with its dot), None where there is none."""
    return next((codec for codec in CODECS if codec.suffix == suffix), None)


def cores() -> int:
    """Threads to use: the processors that this process may run on, 16 at most."""
    return min(16, len(os.sched_getaffinity(0)))


def room(size: int) -> int:
    """Bytes of memory for work on `size` packed bytes: who sends little is to take little."""
    return min(_MOST_ROOM, max(_LEAST_ROOM, 20 * size))


_LEAST_ROOM, _MOST_ROOM = 100 << 20, 2 << 30  # bytes; an encoder of xz takes 94 MiB


def check_level(codec: Codec, level: int | None) -> int:
    """`level`, or the default where it is None; BuildError where the codec has no such one."""
    if level is None:
        return codec.level
    if not codec.lowest <= level <= codec.highest:
        raise BuildError(
            f"{codec.name} has no level {level}",
            hint=f"{codec.lowest} to {codec.highest}; dpkg-deb's default is {codec.level}",
        )
    return level


@dataclass(frozen=True)
class Packed:
    """Compressed bytes in a file: `size` of them from offset `start` of descriptor `fd`."""

    fd: int
    start: int
    size: int
    codec: Codec

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset` of these bytes; b"" at their end."""
        return os.pread(self.fd, max(0, min(count, self.size - offset)), self.start + offset)
