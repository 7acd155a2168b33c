# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile ar archives and compressed streams: the outer layers of a package."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import struct
import zlib
from collections.abc import Iterator

from builders.debkit import codecs
from builders.debkit.codecs.xzformat import crc, vli, xz_head, xz_tail
from tests.fuzz.kinds import case
from tests.fuzz.products import deb, head, member, packed
from tests.unit import debs

_END = bytes(1024)
_DATA = packed([head("./", kind=b"5"), _END])
_CONTROL = codecs.compress(debs.control_tar(debs.CONTROL), codecs.by_name("gzip"))
_TAR = head("./", kind=b"5") + member("./x", b"x") + _END


# The ar archive


def entry(
    name: bytes, content: bytes, *, mtime: bytes = b"0", size: bytes = b"", end: bytes = b"`\n"
) -> bytes:
    """A member of an ar archive, whatever its header claims. size: b"" for the right one."""
    stated = size or b"%d" % len(content)
    header = name.ljust(16)[:16] + mtime.ljust(12)[:12] + b"0     0     100644  "
    return header + stated.ljust(10)[:10] + end + content + b"\n" * (len(content) % 2)


def archive(*members: bytes) -> bytes:
    return b"!<arch>\n" + b"".join(members)


_VERSION = entry(b"debian-binary", b"2.0\n")
_FIRST = entry(b"control.tar.gz", _CONTROL)
_LAST = entry(b"data.tar.gz", _DATA)


@case("ar")
def ar_of_nothing() -> bytes:
    return b""


@case("ar")
def ar_without_members() -> bytes:
    return archive()


@case("ar")
def ar_thin() -> bytes:
    """Members that lie in other files (GNU ar)."""
    return b"!<thin>\n" + _VERSION + _FIRST + _LAST


@case("ar")
def ar_of_1995() -> bytes:
    """The format before deb(5)."""
    return b"0.939000\n%d\n" % len(_CONTROL) + _CONTROL + _DATA


@case("ar")
def ar_signed_size() -> bytes:
    return archive(_VERSION, entry(b"control.tar.gz", _CONTROL, size=b"-60"), _LAST)


@case("ar")
def ar_size_with_a_gap() -> bytes:
    return archive(_VERSION, entry(b"control.tar.gz", _CONTROL, size=b"1 2"), _LAST)


@case("ar")
def ar_size_left_out() -> bytes:
    return archive(_VERSION, entry(b"control.tar.gz", _CONTROL, size=b" "), _LAST)


@case("ar")
def ar_size_in_hexadecimal() -> bytes:
    return archive(_VERSION, entry(b"control.tar.gz", _CONTROL, size=b"0x10"), _LAST)


@case("ar")
def ar_size_of_ten_nines() -> bytes:
    return archive(_VERSION, _FIRST, entry(b"data.tar.gz", _DATA, size=b"9999999999"))


@case("ar")
def ar_size_of_zero() -> bytes:
    return archive(_VERSION, entry(b"control.tar.gz", b""), entry(b"data.tar.gz", b""))


@case("ar")
def ar_time_of_twelve_nines() -> bytes:
    return archive(_VERSION, _FIRST, entry(b"data.tar.gz", _DATA, mtime=b"9" * 12))


@case("ar")
def ar_time_before_1970() -> bytes:
    return archive(_VERSION, _FIRST, entry(b"data.tar.gz", _DATA, mtime=b"-1"))


@case("ar")
def ar_header_without_end() -> bytes:
    return archive(_VERSION, entry(b"control.tar.gz", _CONTROL, end=b"\n`"), _LAST)


@case("ar")
def ar_without_padding() -> bytes:
    """Members of odd sizes, one right behind the other."""
    odd = entry(b"debian-binary", b"2.0\n\n")[:-1]
    return archive(odd, _FIRST, _LAST)


@case("ar")
def ar_odd_padding() -> bytes:
    return archive(_VERSION, entry(b"_x", b"123")[:-1] + b"\0", _FIRST, _LAST)


@case("ar")
def ar_many_members() -> bytes:
    return archive(_VERSION, *[entry(b"_%d" % n, b"") for n in range(80_000)], _FIRST, _LAST)


@case("ar")
def ar_many_members_after() -> bytes:
    return archive(_VERSION, _FIRST, _LAST, *[entry(b"_%d" % n, b"") for n in range(80_000)])


@case("ar")
def ar_names_of_bsd() -> bytes:
    """The name is in front of the content, its length in that of the header."""
    name = b"control.tar.gz\0\0"
    return archive(_VERSION, entry(b"#1/16", name + _CONTROL), _LAST)


@case("ar")
def ar_names_in_a_table() -> bytes:
    return archive(entry(b"//", b"debian-binary/\n"), entry(b"/0", b"2.0\n"), _FIRST, _LAST)


@case("ar")
def ar_name_with_escapes() -> bytes:
    return archive(_VERSION, entry(b"\x1b]0;x\x07\x1b[2J", b"x"), _FIRST, _LAST)


@case("ar")
def ar_name_with_a_path() -> bytes:
    return archive(_VERSION, entry(b"../../etc/x", b"x"), _FIRST, _LAST)


@case("ar")
def ar_name_of_spaces() -> bytes:
    return archive(_VERSION, entry(b" ", b"x"), _FIRST, _LAST)


@case("ar")
def ar_data_first() -> bytes:
    return archive(_VERSION, _LAST, _FIRST)


@case("ar")
def ar_version_last() -> bytes:
    return archive(_FIRST, _LAST, _VERSION)


@case("ar")
def ar_without_control() -> bytes:
    return archive(_VERSION, _LAST)


@case("ar")
def ar_without_data() -> bytes:
    return archive(_VERSION, _FIRST)


@case("ar")
def ar_control_twice() -> bytes:
    return archive(_VERSION, _FIRST, _FIRST, _LAST)


@case("ar")
def ar_data_twice() -> bytes:
    """In two compressions: which one is unpacked is another tool's choice."""
    return archive(_VERSION, _FIRST, _LAST, entry(b"data.tar", _TAR))


@case("ar")
def ar_version_of_five_megabytes() -> bytes:
    return archive(entry(b"debian-binary", b"2." + b"1" * 4_900_000), _FIRST, _LAST)


@case("ar")
def ar_version_of_tomorrow() -> bytes:
    return archive(entry(b"debian-binary", b"3.0\n"), _FIRST, _LAST)


@case("ar")
def ar_version_with_escapes() -> bytes:
    return archive(entry(b"debian-binary", b"\x1b[2J\x9b2J\n"), _FIRST, _LAST)


@case("ar")
def ar_cut_in_a_header() -> bytes:
    return archive(_VERSION, _FIRST, _LAST[:30])


@case("ar")
def ar_cut_in_a_member() -> bytes:
    return archive(_VERSION, _FIRST, _LAST[:-20])


@case("ar")
def ar_noise_after() -> bytes:
    """What is no member follows: dpkg passes over some of it."""
    return archive(_VERSION, _FIRST, _LAST, b"\n" * 1000 + b"x" * 100_000)


@case("ar")
def ar_signature_of_megabytes() -> bytes:
    return archive(_VERSION, _FIRST, _LAST, entry(b"_gpgorigin", b"x" * 4_900_000))


@case("ar")
def ar_unknown_compression() -> bytes:
    return archive(_VERSION, _FIRST, entry(b"data.tar.lz4", _DATA))


@case("ar")
def ar_control_in_bzip2() -> bytes:
    return archive(_VERSION, entry(b"control.tar.bz2", bz2.compress(_TAR)), _LAST)


@case("ar")
def ar_wrong_suffix() -> bytes:
    return archive(_VERSION, _FIRST, entry(b"data.tar.xz", _DATA))


# gzip


def gzip_head(flags: int, *, method: int = 8) -> bytes:
    return b"\x1f\x8b" + bytes((method, flags)) + bytes(6)


def deflated(content: bytes, level: int = 9) -> bytes:
    packer = zlib.compressobj(level, wbits=-15)
    return packer.compress(content) + packer.flush()


def gzip_tail(content: bytes) -> bytes:
    return struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)


@case("compression")
def gzip_cut() -> bytes:
    return deb(gzip.compress(_TAR, mtime=0)[:-30])


@case("compression")
def gzip_wrong_check() -> bytes:
    return deb(gzip.compress(_TAR, mtime=0)[:-8] + bytes(8))


@case("compression")
def gzip_name_without_end() -> bytes:
    """The name of the file in the header is 4.9 MB long."""
    return deb(gzip_head(8) + b"x" * 4_900_000)


@case("compression")
def gzip_comment_and_extra() -> bytes:
    extra = struct.pack("<H", 65_535) + bytes(65_535)
    said = b"x" * 4_000_000 + b"\0"
    return deb(gzip_head(4 | 16) + extra + said + deflated(_TAR) + gzip_tail(_TAR))


@case("compression")
def gzip_reserved_flags() -> bytes:
    return deb(gzip_head(0xE0) + deflated(_TAR) + gzip_tail(_TAR))


@case("compression")
def gzip_unknown_method() -> bytes:
    return deb(gzip_head(0, method=9) + deflated(_TAR) + gzip_tail(_TAR))


@case("compression")
def gzip_empty_blocks() -> bytes:
    """950 000 stored blocks with nothing in them."""
    return deb(gzip_head(0) + b"\0\0\0\xff\xff" * 950_000 + deflated(_TAR) + gzip_tail(_TAR))


@case("compression")
def gzip_far_back() -> bytes:
    """A match that begins before the data does."""
    return deb(gzip_head(0) + b"\x4b\x04\x22\x00\xff\xff" + bytes(100))


@case("compression")
def gzip_zeros_after() -> bytes:
    return deb(_DATA + bytes(4_800_000))


@case("compression")
def gzip_noise_after() -> bytes:
    return deb(_DATA + b"x" * 4_800_000)


@case("compression")
def gzip_empty_members_with_names() -> bytes:
    one = gzip_head(8) + b"n" * 40 + b"\0" + deflated(b"") + gzip_tail(b"")
    return deb(one * 70_000 + _DATA)


@case("compression")
def gzip_in_gzip() -> bytes:
    return deb(packed([packed([bytes(1 << 20)] * 800)]))


# xz and lzma


def xz_block(chunks: bytes, dictionary: int, *, filters: bytes = b"") -> tuple[bytes, int]:
    """A block without sizes, of these LZMA2 chunks; also its unpadded size, less the check.

    dictionary: its byte in the header (xz file format 5.3.1). filters: before LZMA2.
    """
    fields = bytes((filters.count(b"\0\0") and 1,)) + filters + bytes((0x21, 1, dictionary))
    fields += bytes(-(len(fields) + 1) % 4)
    header = bytes(((len(fields) + 1) // 4,)) + fields
    header += crc(header)
    return header + chunks + bytes(-len(chunks) % 4), len(header) + len(chunks)


def xz(chunks: bytes, size: int, dictionary: int) -> bytes:
    """A stream of one block, without a check."""
    block, unpadded = xz_block(chunks, dictionary)
    return xz_head(0) + block + xz_tail(0, [(unpadded, size)])


def lzma2(content: bytes) -> bytes:
    """LZMA2 chunks of nothing compressed."""
    parts = [content[n : n + 65_536] for n in range(0, len(content), 65_536)]
    chunks = [
        bytes((2 - (n == 0),)) + struct.pack(">H", len(part) - 1) + part
        for n, part in enumerate(parts)
    ]
    return b"".join(chunks) + b"\0"


def noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)  # noqa: S311  # nothing is secret


def _repeated(size: int, times: int) -> Iterator[bytes]:
    """One file: noise that is there many times over."""
    whole = noise(size)
    yield head("./", kind=b"5") + head("./usr/x", size * times)
    for _ in range(times):
        yield whole
    yield bytes(-size * times % 512) + _END


def _raw_xz(parts: Iterator[bytes], dictionary: int, preset: int = 0) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": dictionary}]
    packer = lzma.LZMACompressor(check=lzma.CHECK_NONE, filters=filters)
    return b"".join([*map(packer.compress, parts), packer.flush()])


@case("compression")
def xz_cut() -> bytes:
    return deb(lzma.compress(_TAR)[:-40], ".xz")


@case("compression")
def xz_wrong_check() -> bytes:
    raw = bytearray(lzma.compress(_TAR))
    raw[-40] ^= 1
    return deb(bytes(raw), ".xz")


@case("compression")
def xz_dictionary_of_4_gib() -> bytes:
    """By its header; there are 10 KB of data."""
    return deb(xz(lzma2(_TAR), len(_TAR), 40), ".xz")


@case("compression")
def xz_dictionary_filled() -> bytes:
    """A dictionary of 192 MiB, and as much data as goes into it."""
    return deb(_raw_xz(_repeated(4 << 20, 60), 192 << 20), ".xz")


@case("compression")
def xz_noise_repeated() -> bytes:
    """What takes an encoder its whole memory, for who writes it anew."""
    return deb(_raw_xz(_repeated(4 << 20, 100), 8 << 20), ".xz")


def _xz_many(size: int, count: int, inside: bytes) -> bytes:
    """Blocks of so many bytes each, all the same; the tar archive is in the first."""

    def block(data: bytes) -> tuple[bytes, int]:
        stream = lzma.compress(data, check=lzma.CHECK_NONE, preset=1)
        length = (int.from_bytes(stream[-8:-4], "little") + 1) * 4
        body = stream[12 : len(stream) - 12 - length]
        return body, len(body)

    first = head("./", kind=b"5") + head("./usr/x", size * count - 1024)
    whole = (inside * (size // len(inside) + 1))[:size]
    made = [block(first + whole[len(first) :]), *[block(whole)] * (count - 1)]
    return xz_head(0) + b"".join(b for b, _ in made) + xz_tail(0, [(n, size) for _, n in made])


@case("compression", "xz-large-blocks", "xz-blocks-of-90-mib")
def xz_blocks_of_90_mib() -> bytes:
    """Each can be decoded by a thread of its own, and all of it is held."""
    return deb(_xz_many(90 << 20, 12, bytes(1 << 20)), ".xz")


@case("compression", "xz-large-blocks", "xz-blocks-of-16-mib")
def xz_blocks_of_16_mib() -> bytes:
    return deb(_xz_many(16 << 20, 60, bytes(1 << 20)), ".xz")


@case("compression")
def xz_blocks_of_noise() -> bytes:
    """Large blocks whose dictionaries are filled too."""
    return deb(_xz_many(60 << 20, 4, noise(700_000)), ".xz")


@case("compression")
def xz_index_of_megabytes() -> bytes:
    count = 1_500_000
    return deb(xz_head(0) + xz_tail(0, [(1, 1)] * count), ".xz")


@case("compression")
def xz_index_that_lies() -> bytes:
    stream = lzma.compress(_TAR, check=lzma.CHECK_NONE)
    length = (int.from_bytes(stream[-8:-4], "little") + 1) * 4
    body = stream[12 : -12 - length]
    return deb(xz_head(0) + body + xz_tail(0, [(len(body), 1 << 60)]), ".xz")


@case("compression")
def xz_two_blocks_that_lie() -> bytes:
    """The index has other sizes than the blocks, each within its limit."""
    stream = lzma.compress(_TAR, check=lzma.CHECK_NONE)
    length = (int.from_bytes(stream[-8:-4], "little") + 1) * 4
    body = stream[12 : -12 - length]
    records = [(len(body), 90 << 20), (len(body), 90 << 20)]
    return deb(xz_head(0) + body * 2 + xz_tail(0, records), ".xz")


@case("compression")
def xz_filters_for_code() -> bytes:
    """Filters before LZMA2, which dpkg's liblzma knows too."""
    filters = [
        {"id": lzma.FILTER_DELTA, "dist": 256},
        {"id": lzma.FILTER_X86},
        {"id": lzma.FILTER_LZMA2, "preset": 6},
    ]
    return deb(lzma.compress(_TAR, filters=filters), ".xz")


@case("compression")
def xz_unknown_filter() -> bytes:
    fields = bytes((1, 0x7F, 1, 0, 0x21, 1, 0))
    header = bytes(((len(fields) + 1) // 4,)) + fields
    return deb(xz_head(0) + header + crc(header) + lzma2(_TAR), ".xz")


@case("compression")
def xz_padding() -> bytes:
    """Streams of nothing, far apart."""
    return deb((lzma.compress(b"") + bytes(4096)) * 1100 + lzma.compress(_TAR), ".xz")


@case("compression")
def xz_chunks_of_a_byte() -> bytes:
    """A million chunks, each a byte that is not compressed."""
    whole = _TAR + bytes(1_100_000)
    first = b"\1\0\0" + whole[:1]
    chunks = first + b"".join(b"\2\0\0" + whole[n : n + 1] for n in range(1, len(whole))) + b"\0"
    return deb(xz(chunks, len(whole), 0), ".xz")


@case("compression")
def xz_sizes_without_end() -> bytes:
    """A block header whose sizes have more bytes than an integer may have."""
    fields = b"\xc0" + b"\xff" * 20 + b"\x21\x01\x00"
    fields += bytes(-(len(fields) + 1) % 4)
    header = bytes(((len(fields) + 1) // 4,)) + fields
    return deb(xz_head(0) + header + crc(header) + vli(1), ".xz")


def lzma_alone(dictionary: int, size: int, content: bytes, properties: int = 0x5D) -> bytes:
    return struct.pack("<BIQ", properties, dictionary, size) + content


@case("compression")
def lzma_dictionary_of_4_gib() -> bytes:
    body = lzma.compress(_TAR, format=lzma.FORMAT_ALONE)[13:]
    return deb(lzma_alone(0xFFFFFFFF, (1 << 64) - 1, body), ".lzma")


@case("compression")
def lzma_dictionary_filled() -> bytes:
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 0, "dict_size": 192 << 20}]
    packer = lzma.LZMACompressor(lzma.FORMAT_ALONE, filters=filters)
    parts = [*map(packer.compress, _repeated(4 << 20, 60)), packer.flush()]
    return deb(b"".join(parts), ".lzma")


@case("compression")
def lzma_size_that_lies() -> bytes:
    body = lzma.compress(_TAR, format=lzma.FORMAT_ALONE)[13:]
    return deb(lzma_alone(1 << 20, 1 << 62, body), ".lzma")


@case("compression")
def lzma_properties() -> bytes:
    return deb(lzma_alone(1 << 20, 100, bytes(100), 0xE0), ".lzma")


@case("compression")
def zeros_lzma() -> bytes:
    packer = lzma.LZMACompressor(lzma.FORMAT_ALONE, preset=0)
    parts = [packer.compress(head("./", kind=b"5") + head("./usr/x", 900 << 20))]
    parts += [packer.compress(bytes(1 << 20)) for _ in range(900)]
    return deb(b"".join([*parts, packer.compress(_END), packer.flush()]), ".lzma")


# bzip2


@case("compression")
def bzip2_cut() -> bytes:
    return deb(bz2.compress(_TAR)[:-20], ".bz2")


@case("compression")
def bzip2_wrong_check() -> bytes:
    raw = bytearray(bz2.compress(_TAR))
    raw[-3] ^= 1
    return deb(bytes(raw), ".bz2")


@case("compression")
def bzip2_runs() -> bytes:
    """The slowest blocks to take apart: nearly the same everywhere."""
    text = (b"a" * 899_000 + b"b") * 40
    parts = head("./", kind=b"5") + head("./usr/x", len(text)) + text
    return deb(bz2.compress(parts + bytes(-len(text) % 512) + _END), ".bz2")


@case("compression")
def bzip2_block_without_end() -> bytes:
    return deb(b"BZh9" + b"\x31\x41\x59\x26\x53\x59" + b"\xff" * 4_000_000, ".bz2")


# zstd


def zstd_frame(window: int, blocks: bytes, flags: int = 0) -> bytes:
    """A frame with this window descriptor (RFC 8878 3.1.1.1.2)."""
    return b"\x28\xb5\x2f\xfd" + bytes((flags, window)) + blocks


def zstd_raw(content: bytes) -> bytes:
    """Blocks that are not compressed, the last one of a frame among them."""
    parts = [content[n : n + 65_536] for n in range(0, len(content), 65_536)]
    return b"".join(
        struct.pack("<I", (len(part) << 3) | (n == len(parts) - 1))[:3] + part
        for n, part in enumerate(parts)
    )


def zstd_run(size: int, last: bool) -> bytes:
    """A block of so many zeros."""
    return struct.pack("<I", (size << 3) | 2 | last)[:3] + b"\0"


@case("compression")
def zstd_window_of_2_gib() -> bytes:
    return deb(zstd_frame(21 << 3, zstd_raw(_TAR)), ".zst")


@case("compression")
def zstd_window_filled() -> bytes:
    """A window of 128 MiB, and all of it used."""
    start = head("./", kind=b"5") + head("./usr/x", (2 << 30) - 1536)
    runs = zstd_run(131_072, False) * ((2 << 30) // 131_072 - 1)
    blocks = struct.pack("<I", len(start) << 3)[:3] + start + runs
    blocks += zstd_run(131_072 - len(start), True)
    return deb(zstd_frame(17 << 3, blocks), ".zst")


@case("compression")
def zstd_noise_repeated() -> bytes:
    import zstandard

    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=24)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    parts = [packer.compress(part) for part in _repeated(4 << 20, 100)]
    return deb(b"".join([*parts, packer.flush()]), ".zst")


@case("compression")
def zstd_size_that_lies() -> bytes:
    size = struct.pack("<Q", 1 << 62)
    return deb(b"\x28\xb5\x2f\xfd\xe0" + size + zstd_raw(_TAR), ".zst")


@case("compression")
def zstd_dictionary() -> bytes:
    """It asks for a dictionary that nobody has."""
    return deb(b"\x28\xb5\x2f\xfd\x03\x58" + b"\xff" * 4 + zstd_raw(_TAR), ".zst")


@case("compression")
def zstd_cut() -> bytes:
    return deb(zstd_frame(0x58, zstd_raw(_TAR)[:-100]), ".zst")


@case("compression")
def zstd_skips_4_gib() -> bytes:
    return deb(b"\x50\x2a\x4d\x18\xff\xff\xff\xff" + bytes(100), ".zst")


@case("compression")
def zstd_of_an_old_version() -> bytes:
    return deb(b"\x25\xb5\x2f\xfd" + bytes(1000), ".zst")


@case("compression")
def zstd_reserved_block() -> bytes:
    return deb(zstd_frame(0x58, b"\x07\0\0"), ".zst")


@case("compression")
def zstd_frames_of_a_block() -> bytes:
    """A frame for each 512 bytes."""
    import zstandard

    one = zstandard.ZstdCompressor()
    frames = (one.compress(head(f"./usr/{n}")) for n in range(60_000))
    return deb(b"".join([*frames, one.compress(_END)]), ".zst")


# Archives that are not compressed, and control.tar


@case("compression")
def plain_data() -> bytes:
    """Many members in 4.9 MB that are not compressed."""
    members = b"".join(head(f"./usr/{n:06d}") for n in range(9000))
    return deb(head("./", kind=b"5") + members + _END, "")


def _with_control(control: bytes, suffix: str) -> bytes:
    return debs.ar(
        [("debian-binary", b"2.0\n"), ("control.tar" + suffix, control), ("data.tar.gz", _DATA)]
    )


@case("compression")
def control_bomb_xz() -> bytes:
    """2 GiB of zeros where control information belongs."""
    packer = lzma.LZMACompressor(preset=0)
    parts = [packer.compress(head("./control", 2 << 30))]
    parts += [packer.compress(bytes(16 << 20)) for _ in range(128)]
    return _with_control(b"".join([*parts, packer.flush()]), ".xz")


@case("compression")
def control_bomb_zstd() -> bytes:
    start = head("./control", (2 << 30) - 1024)
    runs = zstd_run(131_072, False) * 16_383 + zstd_run(131_072 - 512, True)
    blocks = struct.pack("<I", len(start) << 3)[:3] + start + runs
    return _with_control(zstd_frame(17 << 3, blocks), ".zst")


@case("compression")
def control_zeros_after() -> bytes:
    tar = debs.control_tar(debs.CONTROL)
    return _with_control(packed([tar, *[bytes(1 << 20)] * 900]), ".gz")


@case("compression")
def control_dictionary() -> bytes:
    tar = debs.control_tar(debs.CONTROL)
    return _with_control(xz(lzma2(tar), len(tar), 40), ".xz")
