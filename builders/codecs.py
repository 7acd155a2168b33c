# SPDX-License-Identifier: GPL-2.0-or-later
"""The compressions of a .deb's members, as streams.

Reading holds a few MiB whatever the data claims to be. Writing uses the cores there are, yet
the bytes depend on the data, the codec and the level alone, and the result is one stream:
the dpkg of an old suite reads no concatenated ones.
"""

from __future__ import annotations

import bz2
import io
import lzma
import os
import shutil
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from builders.errors import BuildError, Exit

CHUNK = 1 << 20  # bytes that are handed on at a time
_INPUT = 1 << 16  # compressed bytes that are decoded at a time
_XZ_INPUT = 1 << 18  # the same of a block of xz, of which several are decoded side by side
_MEMORY = 256 << 20  # that a decoder may take; xz -9 needs 65 MiB
_KEPT = 64 << 20  # bytes of decompressed data that are kept in memory for a second look
_AHEAD = 32 << 20  # bytes that are decoded ahead at least, where blocks are small
_BLOCK_LIMIT = 96 << 20  # largest xz block that is held whole; xz -9 writes 192 MiB ones
_INDEX_LIMIT = 4 << 20


class CodecError(BuildError):
    """Compressed data is damaged or cut short."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="fetch or build the file again", exit=Exit.USAGE)


@dataclass(frozen=True)
class Codec:
    """One compression: its name as dpkg-deb -Z has it, the suffix of a member, its levels."""

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


def by_name(name: str) -> Codec:
    """The codec called `name`; BuildError where there is none."""
    for codec in CODECS:
        if codec.name == name:
            return codec
    raise BuildError(
        f"{name!r} is no compression of a .deb",
        hint=f"one of: {', '.join(c.name for c in CODECS)}",
    )


def by_suffix(suffix: str) -> Codec | None:
    """The codec of a member's suffix ("" or with its dot), None where there is none."""
    return next((codec for codec in CODECS if codec.suffix == suffix), None)


def cores() -> int:
    """Threads to use: the processors that this process may run on, 16 at most."""
    return min(16, len(os.sched_getaffinity(0)))


# Reading


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


class Reader:
    """What comes out of a Packed, from the front to the end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = memoryview(b"")
        self._at = 0  # in the chunk
        self.position = 0

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
            return Reader(_xz_chunks(packed, table, threads or cores()))
    return Reader(_decoded(packed))


def _decoded(packed: Packed) -> Iterator[bytes]:
    codec = packed.codec
    return _guarded(codec, _DECODERS[codec.name](_pieces(packed, _SLICE.get(codec, _INPUT))))


class Kept:
    """What a Packed decompresses to, in memory where that is little.

    For who looks at the data twice: what only one core can decompress is then so but once.
    """

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._whole = False

    def first(self, packed: Packed) -> Reader:
        """A reader as `reader` makes it, which keeps what goes by."""
        if packed.codec in (NONE, XZ):  # read from anywhere, or by several threads
            return reader(packed)
        return Reader(self._keep(_decoded(packed)))

    def _keep(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size <= _KEPT:
                self._chunks.append(chunk)
            else:
                self._chunks.clear()
            yield chunk
        self._whole = size <= _KEPT

    def again(self) -> Reader | None:
        """All of it from the front, None where it was not kept."""
        return Reader(iter(self._chunks)) if self._whole else None

    def release(self) -> None:
        self._chunks, self._whole = [], False


def _pieces(packed: Packed, count: int) -> Iterator[bytes]:
    offset = 0
    while piece := packed.read(offset, count):
        offset += len(piece)
        yield piece


def _guarded(codec: Codec, chunks: Iterator[bytes]) -> Iterator[bytes]:
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
    "lzma": _streams(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MEMORY)),
    "xz": _streams(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)),
    "zstd": _unzstd,
}
# zstandard has no limit on what one call gives out. A block is 4 bytes at least and becomes
# 128 KiB at most (RFC 8878 section 3.1.1.2), so that this much makes 64 MiB in the worst case.
_SLICE = {ZSTD: 2048}


# The xz container (xz file format 1.1.0), as far as blocks are taken out of it and put into it

_XZ_MAGIC = b"\xfd7zXZ\0"
_CHECK_SIZE = {lzma.CHECK_NONE: 0, lzma.CHECK_CRC32: 4, lzma.CHECK_CRC64: 8, lzma.CHECK_SHA256: 32}


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


def _vli(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _take_vli(data: bytes, at: int) -> tuple[int, int]:
    """The integer at `at` and the offset after it; ValueError or IndexError if malformed."""
    value = 0
    for shift in range(0, 63, 7):
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError("an integer is too long")


def _crc(data: bytes | memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _xz_head(check: int) -> bytes:
    flags = bytes((0, check))
    return _XZ_MAGIC + flags + _crc(flags)


def _xz_tail(check: int, records: Sequence[tuple[int, int]]) -> bytes:
    """Index and footer for blocks of these (unpadded size, uncompressed size)."""
    index = b"\0" + _vli(len(records)) + b"".join(_vli(u) + _vli(n) for u, n in records)
    index += bytes(-len(index) % 4)
    index += _crc(index)
    fields = (len(index) // 4 - 1).to_bytes(4, "little") + bytes((0, check))
    return index + _crc(fields) + fields + b"YZ"


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
    if check not in _CHECK_SIZE or not lzma.is_check_supported(check) or head != _xz_head(check):
        return None
    if length > min(_INDEX_LIMIT, packed.size - 24):
        return None
    index = packed.read(packed.size - 12 - length, length)
    blocks: list[XzBlock] = []
    offset, start = 12, 0
    try:
        count, at = _take_vli(index, 1)
        for _ in range(count):
            unpadded, at = _take_vli(index, at)
            size, at = _take_vli(index, at)
            block = XzBlock(offset, unpadded, start, size)
            if max(unpadded, size) > _BLOCK_LIMIT:
                return None
            blocks.append(block)
            offset += block.padded
            start += size
    except (ValueError, IndexError):
        return None
    records = [(block.unpadded, block.size) for block in blocks]
    if offset != packed.size - 12 - length or _xz_tail(check, records) != index + tail:
        return None
    return XzTable(check, tuple(blocks))


def _xz_decode(packed: Packed, table: XzTable, block: XzBlock) -> list[bytes]:
    """The data of one block in pieces, every size and check of it verified."""
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
    pieces: list[bytes] = []
    size = 0
    for part in _xz_alone(packed, table, block):
        out = decoder.decompress(part, CHUNK)
        while out:
            size += len(out)
            if size > block.size:
                raise _xz_other()
            pieces.append(out)
            out = b"" if decoder.eof else decoder.decompress(b"", CHUNK)
        if decoder.eof:
            break
    if not decoder.eof or size != block.size:
        raise _xz_other()
    return pieces


def _xz_other() -> CodecError:
    return CodecError("the xz data is damaged: a block is not what the index says")


def _xz_alone(packed: Packed, table: XzTable, block: XzBlock) -> Iterator[bytes]:
    """The block as a stream of its own, so that the decoder compares all with the index."""
    yield _xz_head(table.check)
    done = 0
    while done < block.padded:
        part = packed.read(block.offset + done, min(_XZ_INPUT, block.padded - done))
        if not part:
            return
        done += len(part)
        yield part
    yield _xz_tail(table.check, [(block.unpadded, block.size)])


def _xz_chunks(packed: Packed, table: XzTable, threads: int) -> Iterator[bytes]:
    """The data of all blocks in order, decoded side by side."""
    largest = max(block.size + block.unpadded for block in table.blocks)
    threads = max(1, min(threads, _MEMORY // (largest + 1)))
    pool = ThreadPoolExecutor(threads)
    ahead: deque[Future[list[bytes]]] = deque()
    held = 0
    try:
        for done, block in enumerate(table.blocks):
            ahead.append(pool.submit(_xz_decode, packed, table, block))
            held += block.size
            # Blocks are of any size where packages were put together from others: many small
            # ones, so that no thread is idle while another one works on a large one.
            while len(ahead) > threads and held > _AHEAD:
                held -= table.blocks[done + 1 - len(ahead)].size
                yield from _guarded(XZ, _result(ahead.popleft()))
        while ahead:
            yield from _guarded(XZ, _result(ahead.popleft()))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _result(future: Future[list[bytes]]) -> Iterator[bytes]:
    pieces = future.result()
    pieces.reverse()
    while pieces:  # one that was read is let go
        yield pieces.pop()


# Writing


class Sink(Protocol):
    """An open file without a buffer of its own."""

    def write(self, data: bytes | memoryview, /) -> int | None: ...
    def fileno(self) -> int: ...


def write_all(out: Sink, data: bytes | memoryview) -> None:
    """Write every byte: one call of an unbuffered file may write fewer."""
    view = memoryview(data)
    while view:
        view = view[out.write(view) or 0 :]


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
        self._pool = ThreadPoolExecutor(threads)
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

    def _queued(self, future: Future[Any]) -> None:
        self._queue.append(future)
        # One more than there are threads, so that none is idle while a result is written.
        while len(self._queue) > self._threads + 1:
            self._emit(self._queue.popleft().result())

    def _drain(self) -> None:
        while self._queue:
            self._emit(self._queue.popleft().result())
        self._pool.shutdown()

    def abort(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class _Gzip(_Blocks):
    """One gzip member (RFC 1952) whose deflate blocks are made side by side.

    Each block knows the 32 KiB before it as its dictionary and ends with an empty stored
    block (Z_SYNC_FLUSH), which brings the next one to a byte boundary.
    """

    def __init__(self, out: Sink, level: int, threads: int) -> None:
        super().__init__(out, 512 << 10, threads)
        self._level = level
        self._dictionary = b""
        self._crc = 0
        self._size = 0
        extra = 2 if level == 9 else 4 if level == 1 else 0
        write_all(out, b"\x1f\x8b\x08\0\0\0\0\0" + bytes((extra, 3)))  # no name, no time, Unix

    def _submit(self, block: bytes, last: bool) -> None:
        self._crc = zlib.crc32(block, self._crc)
        self._size += len(block)
        self._queued(self._pool.submit(_deflate, block, self._dictionary, self._level, last))
        self._dictionary = block[-32768:]

    def close(self) -> None:
        self._submit(self._rest(), True)
        self._drain()
        trailer = self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")
        write_all(self._out, trailer)


def _deflate(block: bytes, dictionary: bytes, level: int, last: bool) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY, dictionary)
    data = compressor.compress(block)
    return data + compressor.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


class _Xz(_Blocks):
    """One xz stream of many blocks: header, blocks, one index, footer."""

    def __init__(self, out: Sink, level: int, threads: int, size: int | None, check: int) -> None:
        dictionary = _DICTIONARY[level]
        # xz(1) --block-size: three dictionaries, as dpkg-deb has it; evenly long, so that the
        # last one keeps no core waiting. Shorter blocks would keep more cores busy, but cannot
        # see what programs have in common: with 4 MiB, git's package grows by 73 %.
        block = max(1 << 20, 3 * dictionary)
        if size:
            block = -(-size // -(-size // block))
        # An encoder takes about 11.5 dictionaries (xz(1), the table of presets).
        threads = max(1, min(threads, (1 << 31) // (12 * dictionary)))
        super().__init__(out, block, threads)
        self._level, self.check = level, check
        self._cuts = False
        self._records: list[tuple[int, int]] = []
        write_all(out, _xz_head(check))

    def _submit(self, block: bytes, last: bool) -> None:  # noqa: ARG002
        if block:
            self._queued(self._pool.submit(_xz_block, block, self._level, self.check))

    def _cut(self) -> None:
        """Compress what is buffered as the last of what lies between blocks of another stream.

        That is often all that there is to compress, and one core would do it: so a long part is
        halved. It grows by a percent or two.
        """
        self._cuts = True
        rest = self._rest()
        half = -(-len(rest) // 2) if len(rest) >= _HALVED else len(rest)
        self._submit(rest[:half], False)
        self._submit(rest[half:], False)

    def take(self, packed: Packed, table: XzTable, block: XzBlock) -> None:
        """Append a block that another stream has: as it is, where that has the same check."""
        self._cut()
        take = _xz_raw if table.check == self.check else _xz_whole
        self._queued(self._pool.submit(take, packed, table, block))

    def ready(self, block: tuple[bytes, int, int]) -> None:
        """Append a block that is made already."""
        self._cut()
        future: Future[tuple[bytes, int, int]] = Future()
        future.set_result(block)
        self._queued(future)

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
        write_all(self._out, _xz_tail(self.check, self._records))


# Bytes of dictionary at each preset (xz(1)).
_DICTIONARY = [n << 20 for n in (1, 1, 2, 4, 4, 8, 8, 16, 32, 64)]
_DICTIONARY[0] = 256 << 10


def _xz_block(data: bytes, level: int, check: int) -> tuple[bytes, int, int]:
    """`data` as one block, its unpadded size and the size of the data."""
    stream = lzma.compress(data, lzma.FORMAT_XZ, check, level)
    length = (int.from_bytes(stream[-8:-4], "little") + 1) * 4
    _, at = _take_vli(stream, len(stream) - 12 - length + 1)
    unpadded, _ = _take_vli(stream, at)
    head = (stream[12] + 1) * 4
    body = memoryview(stream)[12 + head : 12 + (unpadded + 3 & ~3)]  # data, padding, check
    # Behind the flags stands what the encoder wrote: LZMA2 and its dictionary.
    header = _xz_block_head(unpadded - head - _CHECK_SIZE[check], len(data), stream[14:17])
    return header + body, unpadded + len(header) - head, len(data)


def _xz_block_head(compressed: int, size: int, filters: bytes) -> bytes:
    """A block header with both sizes: without them no decoder works on several blocks at once."""
    fields = bytes((0xC0,)) + _vli(compressed) + _vli(size) + filters
    fields += bytes(-(len(fields) + 1) % 4)
    header = bytes(((len(fields) + 1) // 4,)) + fields
    return header + _crc(header)


def _xz_filters(raw: bytes) -> tuple[int, bytes] | None:
    """The size of a block's header and its filter, where that is LZMA2 alone."""
    at = 2
    try:
        for flag in (0x40, 0x80):
            if raw[1] & flag:
                _, at = _take_vli(raw, at)
        filters = raw[at : at + 3]
        if raw[1] & 0x3F or filters[:2] != b"\x21\x01":
            return None
        return (raw[0] + 1) * 4, filters
    except (ValueError, IndexError):
        return None


def _xz_front(raw: bytes, data: memoryview, limit: int) -> tuple[bytes, int, int]:
    """The longest part of a block's front with at most `limit` bytes of data, as a block.

    raw: the block as it stands in a stream, of LZMA2 alone. data: what it decodes to. Nothing
    is compressed: LZMA2 cuts the data into chunks, and a block may end after any of them. The
    check is CRC32 whatever it was, as Python has no CRC64 to make one for a part with.
    """
    found = _xz_filters(raw)
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
    header = _xz_block_head(len(body), size, filters)
    block = header + body + bytes(-len(body) % 4) + _crc(data[:size])
    return block, len(header) + len(body) + 4, size


def _xz_raw(packed: Packed, table: XzTable, block: XzBlock) -> tuple[bytes, int, int]:  # noqa: ARG001
    raw = packed.read(block.offset, block.padded)
    if len(raw) != block.padded:
        raise CodecError("the xz data is cut short")
    return raw, block.unpadded, block.size


def _xz_whole(packed: Packed, table: XzTable, block: XzBlock) -> tuple[bytes, int, int]:
    raw = packed.read(block.offset, block.padded)
    return _xz_front(raw, memoryview(b"".join(_xz_decode(packed, table, block))), block.size)


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


def writer(
    out: Sink,
    codec: Codec,
    level: int | None = None,
    *,
    size: int | None = None,
    threads: int | None = None,
    check: int = lzma.CHECK_CRC64,
) -> Writer:
    """A Writer that compresses into `out`, at dpkg-deb's default level where `level` is None.

    size: of the data in all, in bytes, where it is known; xz chooses its blocks by it.
    check: the integrity check of an xz stream, one of lzma's CHECK_ numbers.
    The bytes do not depend on `threads`.
    """
    level, threads = check_level(codec, level), threads or cores()
    if codec is GZIP:
        return _Gzip(out, level, threads)
    if codec is XZ:
        return _Xz(out, level, threads, size, check)
    if codec is ZSTD:
        import zstandard

        # One worker and many give the same bytes; none at all gives others.
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


# Copying and splicing


def copy_range(source: int, out: Sink, start: int, count: int) -> None:
    """Copy `count` bytes from offset `start` of descriptor `source`, inside the kernel if it can.

    CodecError where the source has fewer.
    """
    target = out.fileno()
    for copy in (_copy_file_range, _sendfile, _copy_chunk):
        while count:
            try:
                done = copy(source, target, start, count)
            except OSError:
                # Another file system, or one that knows no such call: the next way copies the
                # rest, and the last one raises what is really wrong.
                if copy is _copy_chunk:
                    raise
                break
            if not done:
                if copy is _copy_chunk:
                    raise CodecError("the file is cut short")
                break
            start, count = start + done, count - done


def _copy_file_range(source: int, target: int, start: int, count: int) -> int:
    return os.copy_file_range(source, target, count, start)


def _sendfile(source: int, target: int, start: int, count: int) -> int:
    return os.sendfile(target, source, start, count)


def _copy_chunk(source: int, target: int, start: int, count: int) -> int:
    return os.write(target, os.pread(source, min(count, CHUNK), start))


@dataclass(frozen=True)
class Range:
    """Bytes `start` to `end` of what a Packed decompresses to."""

    start: int
    end: int


@dataclass(frozen=True)
class Slice:
    """`size` bytes from `start` on of a file, such as a member of a tar archive."""

    path: Path
    start: int
    size: int


NewBytes = bytes | Path | Slice  # a Path stands for the content of that file
Piece = Range | NewBytes


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
    """
    if codec is NONE and source.codec is NONE:
        _splice_plain(source, pieces, out)
        return
    table = xz_table(source) if codec is XZ and source.codec is XZ and level is None else None
    sink = writer(
        out,
        codec,
        level,
        size=size,
        threads=threads,
        check=_check_for(table),
    )
    try:
        if table and isinstance(sink, _Xz):
            _splice_blocks(source, table, pieces, sink)
        else:
            again = kept.again() if kept else None
            _splice_stream(again or reader(source, threads), pieces, sink)
        sink.close()
    finally:
        sink.abort()


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


_HALVED = 1 << 20  # bytes of data that are worth two blocks
_FRONT = 4 << 20  # bytes of data that are worth a block; one chunk has 2 MiB at most


def _check_for(table: XzTable | None) -> int:
    """The check of the new stream: that of the old one, unless fronts of its blocks are of use.

    With the old check, whole blocks are copied; a front needs a check that Python can compute.
    """
    if table is None:
        return lzma.CHECK_CRC64
    if any(block.size >= _FRONT for block in table.blocks):
        return lzma.CHECK_CRC32
    return table.check


def _splice_blocks(source: Packed, table: XzTable, pieces: Iterable[Piece], sink: _Xz) -> None:
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
            usable = at == block.start and _xz_filters(raw) is not None
            if usable and stop == block.end:
                sink.take(source, table, block)
                at = stop
                continue
            if held is None or held[0] is not block:
                held = (block, memoryview(b"".join(_xz_decode(source, table, block))))
            data = held[1]
            if usable and stop - at >= _FRONT and sink.check == lzma.CHECK_CRC32:
                front = _xz_front(raw, data, stop - at)
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


def sliced(piece: Slice) -> Iterator[bytes]:
    """The content of a slice in parts; CodecError where its file ends before."""
    with piece.path.open("rb") as file:
        file.seek(piece.start)
        left = piece.size
        while left:
            part = file.read(min(left, CHUNK))
            if not part:
                raise CodecError(f"{piece.path} is cut short")
            left -= len(part)
            yield part


class _Adapter:
    def __init__(self, sink: Writer) -> None:
        self._sink = sink

    def write(self, data: bytes, /) -> None:
        self._sink.write(data)
