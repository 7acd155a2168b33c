# SPDX-License-Identifier: GPL-2.0-or-later
"""Compression on all cores: the bytes depend on the data, the codec and the level alone."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from builders.debkit.codecs.copying import Sink, write_all
from builders.debkit.codecs.model import (
    BZIP2,
    GZIP,
    GZIP_NG,
    LZMA,
    XZ,
    ZSTD,
    Codec,
    Packed,
    check_level,
    cores,
    known,
)
from builders.debkit.codecs.xzblocks import xz_block, xz_raw, xz_whole
from builders.debkit.codecs.xzformat import XzBlock, XzTable, xz_head, xz_tail

# Bytes of data that are worth two blocks. With 1 MiB, the finished Xen package is 7 % larger.
_HALVED = 8 << 20
# Bytes of dictionary at each preset (xz(1)).
_DICTIONARY = [n << 20 for n in (1, 1, 2, 4, 4, 8, 8, 16, 32, 64)]
_DICTIONARY[0] = 256 << 10


_ZSTD_WORKER = 50 << 20  # bytes that a worker takes at level 3, its jobs included


class Writer:
    """Compresses what is written; `close` ends the stream and leaves the file open.

    Where writing stopped with an exception, `abort` lets go of the threads.
    """

    def __init__(self, out: Sink) -> None:
        self._out = out

    def write(self, data: bytes | memoryview) -> None:
        write_all(self._out, data)

    def close(self) -> None: ...

    def abort(self) -> None: ...


class _Serial(Writer):
    """A compressor that works in the caller's thread, or has threads of its own."""

    def __init__(self, out: Sink, compressor: Any) -> None:
        super().__init__(out)
        self._compressor = compressor

    def write(self, data: bytes | memoryview) -> None:
        write_all(self._out, self._compressor.compress(data))

    def close(self) -> None:
        write_all(self._out, self._compressor.flush())


class _Blocks(Writer):
    """Cuts the data into blocks that are compressed side by side and written in order."""

    def __init__(self, out: Sink, block: int, threads: int) -> None:
        super().__init__(out)
        self._block = block
        self._buffer = bytearray()
        self._threads = threads
        # One thread is the caller's own: nothing waits for it in memory.
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._queue: deque[Future[Any]] = deque()

    def write(self, data: bytes | memoryview) -> None:
        self._buffer += data
        done = 0
        while len(self._buffer) - done > self._block:
            with memoryview(self._buffer) as view:
                block = bytes(view[done : done + self._block])
            done += self._block
            self._submit(block, False)
        del self._buffer[:done]

    def _rest(self) -> bytes:
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _submit(self, block: bytes, last: bool) -> None:
        raise NotImplementedError

    def _emit(self, result: Any) -> None:
        write_all(self._out, result)

    def _start(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Have `work` done, whose result is written in its turn."""
        if self._pool is None:
            self._emit(work(*arguments))
        else:
            self._queued(self._pool.submit(work, *arguments))

    def _queued(self, future: Future[Any]) -> None:
        self._queue.append(future)
        # One more than there are threads, so that none is idle while a result is written.
        while len(self._queue) > self._threads + 1:
            self._emit(self._queue.popleft().result())

    def _drain(self) -> None:
        while self._queue:
            self._emit(self._queue.popleft().result())
        self.abort()

    def abort(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


class _Gzip(_Blocks):
    """One gzip member (RFC 1952) whose deflate blocks are made side by side.

    Each block knows the 32 KiB before it as its dictionary and ends with an empty stored
    block (Z_SYNC_FLUSH), which brings the next one to a byte boundary.
    """

    def __init__(self, out: Sink, level: int, threads: int, library: Any) -> None:
        super().__init__(out, 512 << 10, threads)
        self._level = level
        self._library = library  # zlib, or one with the same names
        self._dictionary = b""
        self._crc = 0
        self._size = 0
        extra = 2 if level == 9 else 4 if level == 1 else 0
        write_all(out, b"\x1f\x8b\x08\0\0\0\0\0" + bytes((extra, 3)))  # no name, no time, Unix

    def _submit(self, block: bytes, last: bool) -> None:
        self._crc = zlib.crc32(block, self._crc)
        self._size += len(block)
        self._start(_deflate, self._library, block, self._dictionary, self._level, last)
        self._dictionary = block[-32768:]

    def close(self) -> None:
        self._submit(self._rest(), True)
        self._drain()
        trailer = self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")
        write_all(self._out, trailer)


def _deflate(library: Any, block: bytes, dictionary: bytes, level: int, last: bool) -> bytes:
    # Raw deflate with the largest window; the level of memory is zlib's default.
    how = (level, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY)
    compressor = library.compressobj(*how, dictionary)
    data: bytes = compressor.compress(block)
    data += compressor.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
    return data


class XzWriter(_Blocks):
    """One xz stream of many blocks: header, blocks, one index, footer."""

    def __init__(
        self, out: Sink, level: int, threads: int, size: int | None, check: int, memory: int
    ) -> None:
        dictionary = _DICTIONARY[level]
        # xz(1) --block-size: three dictionaries, as dpkg-deb has it; evenly long, so that the
        # last one keeps no core waiting. Shorter blocks would keep more cores busy, but cannot
        # see what programs have in common: with 4 MiB, git's package grows by 73 %.
        block = max(1 << 20, 3 * dictionary)
        if size:
            block = -(-size // -(-size // block))
        # An encoder takes about 11.5 dictionaries (xz(1), the table of presets).
        threads = max(1, min(threads, memory // (12 * dictionary)))
        super().__init__(out, block, threads)
        self._level, self.check = level, check
        self._cuts = False
        self._records: list[tuple[int, int]] = []
        write_all(out, xz_head(check))

    def _submit(self, block: bytes, last: bool) -> None:  # noqa: ARG002
        if block:
            self._start(xz_block, block, self._level, self.check)

    def _cut(self) -> None:
        """Compress what is buffered as the last of what lies between blocks of another stream.

        That is often all that there is to compress, and one core would do it: so a long part is
        halved. It grows little by that; a short one would grow more.
        """
        self._cuts = True
        rest = self._rest()
        half = -(-len(rest) // 2) if len(rest) >= _HALVED else len(rest)
        self._submit(rest[:half], False)
        self._submit(rest[half:], False)

    def take(self, packed: Packed, table: XzTable, block: XzBlock) -> None:
        """Append a block that another stream has: as it is, where that has the same check."""
        self._cut()
        take = xz_raw if table.check == self.check else xz_whole
        self._start(take, packed, table, block)

    def ready(self, block: tuple[bytes, int, int]) -> None:
        """Append a block that is made already."""
        self._cut()
        self._start(lambda: block)

    def _emit(self, result: tuple[bytes, int, int]) -> None:
        raw, unpadded, size = result
        write_all(self._out, raw)
        self._records.append((unpadded, size))

    def close(self) -> None:
        if self._cuts:
            self._cut()
        else:
            self._submit(self._rest(), True)
        self._drain()
        write_all(self._out, xz_tail(self.check, self._records))


def writer(
    out: Sink,
    codec: Codec,
    level: int | None = None,
    *,
    size: int | None = None,
    threads: int | None = None,
    check: int = lzma.CHECK_CRC64,
    memory: int = 1 << 31,
) -> Writer:
    """A Writer that compresses into `out`, at dpkg-deb's default level where `level` is None.

    size: of the data in all, in bytes, where it is known; xz chooses its blocks by it.
    check: the integrity check of an xz stream, one of lzma's CHECK_ numbers.
    memory: bytes that the threads may take together; one may take more.
    The bytes do not depend on `threads` and `memory`.
    """
    level, threads = check_level(codec, level), threads or cores()
    if codec is GZIP:
        return _Gzip(out, level, threads, zlib)
    if codec is GZIP_NG:
        known(codec.name)
        from zlib_ng import zlib_ng

        return _Gzip(out, level, threads, zlib_ng)
    if codec is XZ:
        return XzWriter(out, level, threads, size, check, memory)
    if codec is ZSTD:
        import zstandard

        # One worker and many give the same bytes; none at all gives others.
        threads = max(1, min(threads, memory // _ZSTD_WORKER))
        parameters = zstandard.ZstdCompressionParameters.from_level(
            level, threads=threads, write_checksum=True
        )
        return _Serial(out, zstandard.ZstdCompressor(compression_params=parameters).compressobj())
    if codec is BZIP2:
        return _Serial(out, bz2.BZ2Compressor(level))
    if codec is LZMA:
        return _Serial(out, lzma.LZMACompressor(lzma.FORMAT_ALONE, preset=level))
    return Writer(out)


def compress(data: bytes, codec: Codec, level: int | None = None) -> bytes:
    """`data`, compressed: for what is small enough to be held."""
    out = _Memory()
    sink = writer(out, codec, level, size=len(data))
    try:
        sink.write(data)
        sink.close()
    finally:
        sink.abort()
    return out.getvalue()


class _Memory(io.BytesIO):
    def write(self, data: Any, /) -> int:
        return super().write(data)
