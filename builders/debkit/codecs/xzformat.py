# SPDX-License-Identifier: GPL-2.0-or-later
"""The xz container (xz file format 1.1.0): its head, its index with the blocks, its tail."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from builders.debkit.codecs.model import Packed

_MAGIC = b"\xfd7zXZ\0"
CHECK_SIZE = {lzma.CHECK_NONE: 0, lzma.CHECK_CRC32: 4, lzma.CHECK_CRC64: 8, lzma.CHECK_SHA256: 32}
_BLOCK_LIMIT = 96 << 20  # largest xz block that is held whole; xz -9 writes 192 MiB ones
_INDEX_LIMIT = 4 << 20
_BLOCKS = 4096  # blocks of a stream that are worth looking at one by one; xz -T makes some ten


@dataclass(frozen=True)
class XzBlock:
    """A block: where it lies in the stream, and what of the decompressed data it holds."""

    offset: int
    unpadded: int
    start: int
    size: int

    @property
    def padded(self) -> int:
        return (self.unpadded + 3) & ~3

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True)
class XzTable:
    """The blocks of one xz stream."""

    check: int
    blocks: tuple[XzBlock, ...]


def vli(value: int) -> bytes:
    """An integer of variable length (section 1.2)."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def take_vli(data: bytes, at: int) -> tuple[int, int]:
    """The integer at `at` and the offset after it; ValueError or IndexError if malformed."""
    value = 0
    for shift in range(0, 63, 7):
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError("an integer is too long")


def crc(data: bytes | memoryview) -> bytes:
    """The CRC32 of `data` as the format writes it."""
    return zlib.crc32(data).to_bytes(4, "little")


def xz_head(check: int) -> bytes:
    """The header of a stream whose blocks have this check (lzma's CHECK_ numbers)."""
    flags = bytes((0, check))
    return _MAGIC + flags + crc(flags)


def xz_tail(check: int, records: Sequence[tuple[int, int]]) -> bytes:
    """Index and footer for blocks of these (unpadded size, uncompressed size)."""
    index = b"\0" + vli(len(records)) + b"".join(vli(u) + vli(n) for u, n in records)
    index += bytes(-len(index) % 4)
    index += crc(index)
    fields = (len(index) // 4 - 1).to_bytes(4, "little") + bytes((0, check))
    return index + crc(fields) + fields + b"YZ"


def xz_table(packed: Packed) -> XzTable | None:
    """The blocks of a plain one-stream .xz whose blocks are fit to be held in memory.

    None for anything else, a damaged one too: reading it from the front says what is wrong.
    """
    if packed.size % 4 or packed.size < 32:
        return None
    head, tail = packed.read(0, 12), packed.read(packed.size - 12, 12)
    if len(head) + len(tail) != 24:
        return None
    check = head[7]
    length = (int.from_bytes(tail[4:8], "little") + 1) * 4
    if check not in CHECK_SIZE or not lzma.is_check_supported(check) or head != xz_head(check):
        return None
    if length > min(_INDEX_LIMIT, packed.size - 24):
        return None
    index = packed.read(packed.size - 12 - length, length)
    blocks: list[XzBlock] = []
    offset, start = 12, 0
    try:
        count, at = take_vli(index, 1)
        if count > _BLOCKS:
            return None
        for _ in range(count):
            unpadded, at = take_vli(index, at)
            size, at = take_vli(index, at)
            block = XzBlock(offset, unpadded, start, size)
            if max(unpadded, size) > _BLOCK_LIMIT:
                return None
            blocks.append(block)
            offset += block.padded
            start += size
    except (ValueError, IndexError):
        return None
    records = [(block.unpadded, block.size) for block in blocks]
    if offset != packed.size - 12 - length or xz_tail(check, records) != index + tail:
        return None
    return XzTable(check, tuple(blocks))
