# SPDX-License-Identifier: GPL-2.0-or-later
"""One decoder for each compression: pieces of a stream in, pieces of what it holds out."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from builders.codecs.model import CHUNK, MEMORY, ZSTD, Codec, CodecError, Packed

_INPUT = 1 << 16  # compressed bytes that are decoded at a time


def decoded(packed: Packed) -> Iterator[bytes]:
    """What `packed` decompresses to, by one core; CodecError where it is damaged."""
    codec = packed.codec
    return guarded(codec, _DECODERS[codec.name](_pieces(packed, _SLICE.get(codec, _INPUT))))


def _pieces(packed: Packed, count: int) -> Iterator[bytes]:
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
        raise CodecError(f"the {codec.name} data is damaged: {error}") from None
    except MemoryError:
        raise CodecError(f"the {codec.name} data asks for too much memory") from None


def _gunzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    decoder = zlib.decompressobj(wbits=31)
    for piece in pieces:
        rest = piece
        while rest:
            if decoder.eof:  # gzip(1): members that follow each other are one file
                if not rest.strip(b"\0"):
                    break
                decoder = zlib.decompressobj(wbits=31)
            out = decoder.decompress(rest, CHUNK)
            rest = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            if out:
                yield out
        # With nothing left to feed there may still be output inside.
        while not decoder.eof and (out := decoder.decompress(b"", CHUNK)):
            yield out
    if not decoder.eof:
        raise EOFError


def _streams(start: Callable[[], Any]) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    """A decoder of streams that follow each other, for bz2's and lzma's decompressors."""

    def decode(pieces: Iterator[bytes]) -> Iterator[bytes]:
        decoder = start()
        for piece in pieces:
            rest = piece
            while rest or not (decoder.eof or decoder.needs_input):
                if decoder.eof:
                    if not rest.strip(b"\0"):  # stream padding (xz file format 2.2)
                        break
                    decoder = start()
                out = decoder.decompress(rest, CHUNK)
                rest = decoder.unused_data if decoder.eof else b""
                if out:
                    yield out
        if not decoder.eof:
            raise EOFError

    return decode


def _unzstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard  # slow to import, and seldom needed

    context = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    decoder = context.decompressobj()
    for piece in pieces:
        rest = piece
        while rest:
            if decoder.eof:
                decoder = context.decompressobj()
            try:
                out = decoder.decompress(rest)
            except zstandard.ZstdError as error:
                raise ValueError(error) from None
            rest = decoder.unused_data if decoder.eof else b""
            if out:
                yield out
    if not decoder.eof:
        raise EOFError


_DECODERS: dict[str, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    "gzip": _gunzip,
    "bzip2": _streams(bz2.BZ2Decompressor),
    "lzma": _streams(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MEMORY)),
    "xz": _streams(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)),
    "zstd": _unzstd,
}
# zstandard has no limit on what one call gives out. A block is 4 bytes at least and becomes
# 128 KiB at most (RFC 8878 section 3.1.1.2), so that this much makes 64 MiB in the worst case.
_SLICE = {ZSTD: 2048}
