# SPDX-License-Identifier: GPL-2.0-or-later
"""One block of an xz stream: made, decoded, or taken over from another stream."""

from __future__ import annotations

import lzma
from collections.abc import Iterator

from builders.debkit.codecs.model import CHUNK, MEMORY, CodecError, Packed
from builders.debkit.codecs.xzformat import (
    CHECK_SIZE,
    XzBlock,
    XzTable,
    crc,
    take_vli,
    vli,
    xz_head,
    xz_tail,
)

_INPUT = 1 << 18  # compressed bytes that are decoded at a time; several blocks are side by side


def xz_decode(packed: Packed, table: XzTable, block: XzBlock) -> list[bytes]:
    """The data of one block in pieces, every size and check of it verified."""
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)
    pieces: list[bytes] = []
    size = 0
    for part in _alone(packed, table, block):
        out = decoder.decompress(part, CHUNK)
        while out:
            size += len(out)
            if size > block.size:
                raise _damaged()
            pieces.append(out)
            out = b"" if decoder.eof else decoder.decompress(b"", CHUNK)
        if decoder.eof:
            break
    if not decoder.eof or size != block.size:
        raise _damaged()
    return pieces


def _damaged() -> CodecError:
    return CodecError("the xz data is damaged: a block is not what the index says")


def _alone(packed: Packed, table: XzTable, block: XzBlock) -> Iterator[bytes]:
    """The block as a stream of its own, so that the decoder compares all with the index."""
    yield xz_head(table.check)
    done = 0
    while done < block.padded:
        part = packed.read(block.offset + done, min(_INPUT, block.padded - done))
        if not part:
            return
        done += len(part)
        yield part
    yield xz_tail(table.check, [(block.unpadded, block.size)])


def xz_block(data: bytes, level: int, check: int) -> tuple[bytes, int, int]:
    """`data` as one block, its unpadded size and the size of the data."""
    stream = lzma.compress(data, lzma.FORMAT_XZ, check, level)
    length = (int.from_bytes(stream[-8:-4], "little") + 1) * 4
    _, at = take_vli(stream, len(stream) - 12 - length + 1)
    unpadded, _ = take_vli(stream, at)
    head = (stream[12] + 1) * 4
    body = memoryview(stream)[12 + head : 12 + (unpadded + 3 & ~3)]  # data, padding, check
    # Behind the flags stands what the encoder wrote: LZMA2 and its dictionary.
    header = _block_head(unpadded - head - CHECK_SIZE[check], len(data), stream[14:17])
    return header + body, unpadded + len(header) - head, len(data)


def _block_head(compressed: int, size: int, filters: bytes) -> bytes:
    """A block header with both sizes: without them no decoder works on several blocks at once."""
    fields = bytes((0xC0,)) + vli(compressed) + vli(size) + filters
    fields += bytes(-(len(fields) + 1) % 4)
    header = bytes(((len(fields) + 1) // 4,)) + fields
    return header + crc(header)


def xz_filters(raw: bytes) -> tuple[int, bytes] | None:
    """The size of a block's header and its filter, where that is LZMA2 alone."""
    at = 2
    try:
        for flag in (0x40, 0x80):
            if raw[1] & flag:
                _, at = take_vli(raw, at)
        filters = raw[at : at + 3]
        if raw[1] & 0x3F or filters[:2] != b"\x21\x01":
            return None
        return (raw[0] + 1) * 4, filters
    except (ValueError, IndexError):
        return None


def xz_front(raw: bytes, data: memoryview, limit: int) -> tuple[bytes, int, int]:
    """The longest part of a block's front with at most `limit` bytes of data, as a block.

    raw: the block as it stands in a stream, of LZMA2 alone. data: what it decodes to. Nothing
    is compressed: LZMA2 cuts the data into chunks, and a block may end after any of them. The
    check is CRC32 whatever it was, as Python has no CRC64 to make one for a part with.
    """
    found = xz_filters(raw)
    assert found  # noqa: S101  # callers have looked
    head, filters = found
    at, size = head, 0
    while raw[at]:
        # A chunk: control byte, sizes less one in big endian, where it is compressed perhaps
        # the byte of properties, and the data.
        control = raw[at]
        count = int.from_bytes(raw[at + 1 : at + 3], "big") + 1
        if control < 3:
            length = 3 + count
        else:
            count += (control & 0x1F) << 16
            length = 6 + (control >= 0xC0) + int.from_bytes(raw[at + 3 : at + 5], "big")
        if size + count > limit:
            break
        at, size = at + length, size + count
    body = raw[head:at] + b"\0"
    header = _block_head(len(body), size, filters)
    block = header + body + bytes(-len(body) % 4) + crc(data[:size])
    return block, len(header) + len(body) + 4, size


def xz_raw(packed: Packed, table: XzTable, block: XzBlock) -> tuple[bytes, int, int]:  # noqa: ARG001
    """A block as it stands in its stream; CodecError where it is cut short."""
    raw = packed.read(block.offset, block.padded)
    if len(raw) != block.padded:
        raise CodecError("the xz data is cut short")
    return raw, block.unpadded, block.size


def xz_whole(packed: Packed, table: XzTable, block: XzBlock) -> tuple[bytes, int, int]:
    """A block, of LZMA2 alone, with CRC32 in place of the check that it has."""
    raw = packed.read(block.offset, block.padded)
    return xz_front(raw, memoryview(b"".join(xz_decode(packed, table, block))), block.size)
