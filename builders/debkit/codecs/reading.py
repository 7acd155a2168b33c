# SPDX-License-Identifier: GPL-2.0-or-later
"""What compressed bytes hold, from the front to the end: a few MiB are in memory at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from builders.debkit.codecs.decoding import Rest, decoded, guarded
from builders.debkit.codecs.model import CHUNK, NONE, XZ, Packed, cores, room
from builders.debkit.codecs.xzblocks import xz_decode
from builders.debkit.codecs.xzformat import XzTable, xz_table

_KEPT = 256 << 20  # bytes of decompressed data that are kept in memory for a second look
_AHEAD = 32 << 20  # bytes that are decoded ahead at least, where blocks are small


class Reader:
    """What comes out of a Packed, from the front to the end."""

    def __init__(self, chunks: Iterator[bytes], rest: Rest | None = None) -> None:
        self._chunks = chunks
        self._rest = rest or Rest()
        self._chunk = memoryview(b"")
        self._at = 0  # in the chunk
        self.position = 0

    @property
    def unread(self) -> int:
        """Compressed bytes after the end of what is read, which dpkg passes over too."""
        return self._rest.size

    def read(self, count: int) -> memoryview:
        """At least one byte, at most `count`; nothing at the end."""
        while self._at == len(self._chunk):
            self._chunk, self._at = memoryview(next(self._chunks, b"")), 0
            if not self._chunk:
                return self._chunk
        taken = self._chunk[self._at : self._at + count]
        self._at += len(taken)
        self.position += len(taken)
        return taken

    def upto(self, count: int) -> bytes:
        """`count` bytes, fewer only where the data ends."""
        end = self._at + count
        if end <= len(self._chunk):
            data = bytes(self._chunk[self._at : end])
            self._at = end
            self.position += count
            return data
        parts = []
        while count and (part := self.read(count)):
            parts.append(part)
            count -= len(part)
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def skip(self, count: int) -> int:
        """Pass over `count` bytes; how many there were."""
        end = self._at + count
        if end <= len(self._chunk):
            self._at = end
            self.position += count
            return count
        left = count
        while left and (part := self.read(left)):
            left -= len(part)
        return count - left

    def through(self, look: Callable[[Iterator[bytes]], Iterator[bytes]]) -> Reader:
        """A reader of the same, of which nothing was read, whose chunks go through `look`."""
        return Reader(look(self._chunks), self._rest)

    def close(self) -> None:
        """Let go of what decoding holds."""
        close = getattr(self._chunks, "close", None)
        if close:
            close()


class _Plain(Reader):
    """Uncompressed bytes: passing over them costs nothing."""

    def __init__(self, packed: Packed) -> None:
        super().__init__(iter(()))
        self._packed = packed

    def read(self, count: int) -> memoryview:
        part = self._packed.read(self.position, min(count, CHUNK))
        self.position += len(part)
        return memoryview(part)

    def skip(self, count: int) -> int:
        there = min(count, self._packed.size - self.position)
        self.position += there
        return there


def reader(packed: Packed, threads: int | None = None) -> Reader:
    """Decompress `packed` from the front; reading raises CodecError where it is damaged."""
    codec = packed.codec
    if codec is NONE:
        return _Plain(packed)
    if codec is XZ:
        table = xz_table(packed)
        if table and len(table.blocks) > 1:
            # A thread holds a block that it decodes, and another one waits to be read.
            largest = max(block.size + block.unpadded for block in table.blocks)
            threads = min(threads or cores(), room(packed.size) // (2 * largest))
            if threads:
                return Reader(_xz_chunks(packed, table, threads))
    rest = Rest()
    return Reader(decoded(packed, rest), rest)


class Kept:
    """What a Packed decompresses to, in memory where that is little.

    Avoids decompressing twice for who looks at the data again.
    """

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._whole = False

    def first(self, packed: Packed) -> Reader:
        """A reader as `reader` makes it, which keeps what goes by."""
        made = reader(packed)
        if packed.codec is NONE:  # read from anywhere
            return made
        return made.through(partial(self._keep, most=min(_KEPT, room(packed.size) // 4)))

    def _keep(self, chunks: Iterator[bytes], most: int) -> Iterator[bytes]:
        size = 0
        try:
            for chunk in chunks:
                size += len(chunk)
                if size <= most:
                    self._chunks.append(chunk)
                else:
                    self._chunks.clear()
                yield chunk
        finally:
            if isinstance(chunks, Generator):
                chunks.close()  # with its threads, where the reader is closed before the end
        self._whole = size <= most

    def again(self) -> Reader | None:
        """All of it from the front, None where it was not kept."""
        return Reader(iter(self._chunks)) if self._whole else None

    def release(self) -> None:
        self._chunks, self._whole = [], False


def _xz_chunks(packed: Packed, table: XzTable, threads: int) -> Iterator[bytes]:
    """The data of all blocks in order, decoded side by side."""
    pool = ThreadPoolExecutor(threads)
    ahead: deque[Future[list[bytes]]] = deque()
    held = 0
    try:
        for done, block in enumerate(table.blocks):
            ahead.append(pool.submit(xz_decode, packed, table, block))
            held += block.size
            # Blocks are of any size where packages were put together from others: many small
            # ones, so that no thread is idle while another one works on a large one.
            while len(ahead) > threads and held > _AHEAD:
                held -= table.blocks[done + 1 - len(ahead)].size
                yield from guarded(XZ, _result(ahead.popleft()))
        while ahead:
            yield from guarded(XZ, _result(ahead.popleft()))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _result(future: Future[list[bytes]]) -> Iterator[bytes]:
    pieces = future.result()
    pieces.reverse()
    while pieces:  # one that was read is let go
        yield pieces.pop()
