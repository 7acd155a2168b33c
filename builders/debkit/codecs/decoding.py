# SPDX-License-Identifier: GPL-2.0-or-later
"""One decoder for each compression: pieces of a stream in, pieces of what it holds out."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from builders.debkit.codecs.model import CHUNK, MEMORY, Codec, CodecError, Packed

_GZIP = b"\x1f\x8b"
_INPUT = 1 << 16  # compressed bytes that are decoded at a time


class Rest:
    """What of compressed bytes nobody reads. size: in bytes, known at the end of the data."""

    def __init__(self) -> None:
        self.size = 0


def decoded(packed: Packed, rest: Rest | None = None) -> Iterator[bytes]:
    """What `packed` decompresses to, by one core; CodecError where it is damaged.

    As dpkg does, only the first stream or frame is read, but all members of gzip (bzip2, liblzma
    and libzstd stop where a stream ends, zlib's gzread(3) goes on while there is a member).
    rest: is told how many bytes come after that.
    """
    codec = packed.codec
    return guarded(codec, _DECODERS[codec.name](packed, rest or Rest()))


def _pieces(packed: Packed, count: int = _INPUT) -> Iterator[bytes]:
    offset = 0
    while piece := packed.read(offset, count):
        offset += len(piece)
        yield piece


def guarded(codec: Codec, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks; what decoders raise where data is damaged becomes a CodecError."""
    try:
        yield from chunks
    except EOFError:
        raise CodecError(f"the {codec.name} data is cut short") from None
    except (zlib.error, lzma.LZMAError, OSError, ValueError) as error:
        if "Memory usage limit" in str(error):  # liblzma's LZMA_MEMLIMIT_ERROR: it is sound
            raise CodecError(
                f"the {codec.name} data asks for more than {MEMORY >> 20} MiB of memory"
            ) from None
        raise CodecError(f"the {codec.name} data is damaged: {error}") from None
    except MemoryError:
        raise CodecError(f"the {codec.name} data asks for too much memory") from None


def _gunzip(packed: Packed, rest: Rest) -> Iterator[bytes]:
    if packed.read(0, 2) != _GZIP:  # gzread(3) hands on what is not compressed
        yield from _pieces(packed)
        return
    decoder = zlib.decompressobj(wbits=31)
    offset = 0
    while piece := packed.read(offset, _INPUT):
        offset += len(piece)
        left = piece
        while left:
            if decoder.eof:  # gzip(1): members that follow each other are one file
                start = offset - len(left)
                if packed.read(start, 2) != _GZIP:
                    rest.size = packed.size - start
                    return
                decoder = zlib.decompressobj(wbits=31)
            out = decoder.decompress(left, CHUNK)
            left = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            if out:
                yield out
        # With nothing left to feed there may still be output inside.
        while not decoder.eof and (out := decoder.decompress(b"", CHUNK)):
            yield out
    if not decoder.eof:
        raise EOFError


def _stream(start: Callable[[], Any]) -> Callable[[Packed, Rest], Iterator[bytes]]:
    """A decoder of one stream, for bz2's and lzma's decompressors."""

    def decode(packed: Packed, rest: Rest) -> Iterator[bytes]:
        decoder = start()
        offset = 0
        while piece := packed.read(offset, _INPUT):
            offset += len(piece)
            out = decoder.decompress(piece, CHUNK)
            while True:
                if out:
                    yield out
                if decoder.eof:
                    rest.size = packed.size - offset + len(decoder.unused_data)
                    return
                if decoder.needs_input:
                    break
                out = decoder.decompress(b"", CHUNK)
        raise EOFError

    return decode


def _unzstd(packed: Packed, rest: Rest) -> Iterator[bytes]:
    import zstandard  # slow to import, and seldom needed

    decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
    offset = 0
    while piece := packed.read(offset, _SLICE):
        offset += len(piece)
        try:
            out = decoder.decompress(piece)
        except zstandard.ZstdError as error:
            raise ValueError(error) from None
        if out:
            yield out
        if decoder.eof:
            rest.size = packed.size - offset + len(decoder.unused_data)
            return
    raise EOFError


_DECODERS: dict[str, Callable[[Packed, Rest], Iterator[bytes]]] = {
    "gzip": _gunzip,
    "bzip2": _stream(bz2.BZ2Decompressor),
    "lzma": _stream(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MEMORY)),
    "xz": _stream(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)),
    "zstd": _unzstd,
}
# zstandard has no limit on what one call gives out. A block is 4 bytes at least and becomes
# 128 KiB at most (RFC 8878 section 3.1.1.2), so that this much makes 64 MiB in the worst case.
_SLICE = 2048
