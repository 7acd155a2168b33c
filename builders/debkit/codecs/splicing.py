# SPDX-License-Identifier: GPL-2.0-or-later
"""New compressed data out of old: what stays as it was is taken over, not compressed again."""

from __future__ import annotations

import lzma
import os
import shutil
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from builders.debkit.codecs.copying import (
    NewBytes,
    Piece,
    Range,
    Sink,
    Slice,
    copy_range,
    sliced,
    write_all,
)
from builders.debkit.codecs.model import (
    CHUNK,
    GZIP,
    GZIP_NG,
    LZMA,
    NONE,
    XZ,
    Codec,
    CodecError,
    Packed,
    room,
)
from builders.debkit.codecs.reading import Kept, Reader, reader
from builders.debkit.codecs.writing import Writer, XzWriter, writer
from builders.debkit.codecs.xzblocks import xz_decode, xz_filters, xz_front
from builders.debkit.codecs.xzformat import XzBlock, XzTable, xz_table

_FRONT = 4 << 20  # bytes of data that are worth a block; one chunk has 2 MiB at most


def splice(
    source: Packed,
    pieces: Iterable[Piece],
    out: Sink,
    codec: Codec,
    level: int | None = None,
    *,
    size: int | None = None,
    threads: int | None = None,
    kept: Kept | None = None,
) -> None:
    """Write the pieces one after another, compressed, into `out`.

    The ranges refer to what `source` decompresses to, and none begins before the end of the one
    before it. Where nothing is compressed, ranges are copied inside the kernel. From xz to xz at
    no stated level, a block of the source that is wholly within a range is taken over as it is,
    and of one whose front is, that front: most of a package need not be compressed again.
    kept: of `source`, where it was read before.
    Threads and memory grow with what `source` has, and very tight data is packed at a quick level.
    """
    if codec is NONE and source.codec is NONE:
        _splice_plain(source, pieces, out)
        return
    table = xz_table(source) if codec is XZ and source.codec is XZ and level is None else None
    memory = room(source.size) if source.size else room(size or 0)
    if table and max((block.size for block in table.blocks), default=0) > memory // 4:
        table = None  # a block is held as a whole
    if level is None and source.codec is not NONE and _is_tight(source, size):
        level = _QUICK.get(codec)
    if level is None and codec in (GZIP, GZIP_NG) and (size or 0) > _LONG_GZIP:
        level = 7
    sink = writer(
        out,
        codec,
        level,
        size=size,
        threads=threads,
        check=_check_for(table),
        memory=memory,
    )
    try:
        if table and isinstance(sink, XzWriter):
            _splice_blocks(source, table, pieces, sink)
        else:
            again = kept.again() if kept else None
            _splice_stream(again or reader(source, threads), pieces, sink)
        sink.close()
    finally:
        sink.abort()


_TIGHT, _TIGHT_SIZE = 6, 16 << 20
# The default levels need up to a second for each MiB of what can be packed this tightly.
_QUICK = {XZ: 3, GZIP: 6, GZIP_NG: 6, LZMA: 3}
# Level 9 of zlib, dpkg-deb's default, may need over two seconds for a MiB of few letters; level 7
# a seventh of one.
_LONG_GZIP = 4 << 20


def _is_tight(source: Packed, size: int | None) -> bool:
    """Whether data is so tightly packed, and so much, that packing it anew takes too long."""
    return size is not None and size > max(_TIGHT_SIZE, _TIGHT * source.size)


def _splice_plain(source: Packed, pieces: Iterable[Piece], out: Sink) -> None:
    for piece in pieces:
        if isinstance(piece, Range):
            if piece.end > source.size:
                raise CodecError("the data is cut short")
            copy_range(source.fd, out, source.start + piece.start, piece.end - piece.start)
        elif isinstance(piece, Path):
            with piece.open("rb", buffering=0) as file:
                copy_range(file.fileno(), out, 0, os.fstat(file.fileno()).st_size)
        elif isinstance(piece, Slice):
            with piece.path.open("rb", buffering=0) as file:
                copy_range(file.fileno(), out, piece.start, piece.size)
        else:
            write_all(out, piece)


def _splice_stream(source: Reader, pieces: Iterable[Piece], sink: Writer) -> None:
    try:
        for piece in pieces:
            if not isinstance(piece, Range):
                _put(piece, sink)
                continue
            gap = piece.start - source.position
            left = piece.end - piece.start
            if gap < 0 or source.skip(gap) != gap:
                raise CodecError("the data is cut short")
            while left:
                part = source.read(left)
                if not part:
                    raise CodecError("the data is cut short")
                sink.write(part)
                left -= len(part)
    finally:
        source.close()


def _check_for(table: XzTable | None) -> int:
    """The check of the new stream: that of the old one, unless fronts of its blocks are of use.

    With the old check, whole blocks are copied; a front needs a check that Python can compute.
    """
    if table is None:
        return lzma.CHECK_CRC64
    if any(block.size >= _FRONT for block in table.blocks):
        return lzma.CHECK_CRC32
    return table.check


def _splice_blocks(source: Packed, table: XzTable, pieces: Iterable[Piece], sink: XzWriter) -> None:
    blocks = deque(table.blocks)
    held: tuple[XzBlock, memoryview] | None = None
    for piece in pieces:
        if not isinstance(piece, Range):
            _put(piece, sink)
            continue
        at = piece.start
        while at < piece.end:
            while blocks and blocks[0].end <= at:
                blocks.popleft()
            if not blocks or blocks[0].start > at:
                raise CodecError("the data is cut short")
            block = blocks[0]
            stop = min(block.end, piece.end)
            raw = source.read(block.offset, block.padded)
            usable = at == block.start and xz_filters(raw) is not None
            if usable and stop == block.end:
                sink.take(source, table, block)
                at = stop
                continue
            if held is None or held[0] is not block:
                held = (block, memoryview(b"".join(xz_decode(source, table, block))))
            data = held[1]
            if usable and stop - at >= _FRONT and sink.check == lzma.CHECK_CRC32:
                front = xz_front(raw, data, stop - at)
                sink.ready(front)
                at += front[2]
            sink.write(data[at - block.start : stop - block.start])
            at = stop


def _put(piece: NewBytes, sink: Writer) -> None:
    if isinstance(piece, bytes):
        sink.write(piece)
        return
    if isinstance(piece, Slice):
        for part in sliced(piece):
            sink.write(part)
        return
    with piece.open("rb") as file:
        shutil.copyfileobj(file, _Adapter(sink), CHUNK)


class _Adapter:
    def __init__(self, sink: Writer) -> None:
        self._sink = sink

    def write(self, data: bytes, /) -> None:
        self._sink.write(data)
