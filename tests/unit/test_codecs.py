# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import errno
import gzip
import importlib.util
import io
import lzma
import os
import random
import shutil
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.debkit import codecs, deb
from builders.debkit.codecs import (
    CodecError,
    Packed,
    Piece,
    Range,
    Slice,
    reading,
    splicing,
    writing,
    xzblocks,
    xzformat,
)
from builders.debkit.deb import Edit
from builders.errors import BuildError
from tests.unit.samples import package

pytestmark = pytest.mark.slow
COMPRESSED = [codec for codec in codecs.CODECS if codec is not codecs.NONE]
TOOLS = {
    "gzip": ["gzip", "-t"],
    "bzip2": ["bzip2", "-t"],
    "lzma": ["xz", "-t", "--format=lzma"],
    "xz": ["xz", "-t"],
    "zstd": ["zstd", "-t", "-q"],
}


def mixed(size: int, seed: int = 1) -> bytes:
    """Text that compresses, with stretches that do not."""
    rng = random.Random(seed)  # noqa: S311
    words = [rng.randbytes(rng.randint(2, 12)) for _ in range(300)]
    out = bytearray()
    while len(out) < size:
        out += b" ".join(rng.choices(words, k=200)) + rng.randbytes(300)
    return bytes(out[:size])


DATA = mixed(2_200_000)


@contextmanager
def packed(path: Path, data: bytes, codec: codecs.Codec) -> Iterator[Packed]:
    # Bytes around it, which must not be read.
    path.write_bytes(b"before" + data + b"after")
    with path.open("rb") as file:
        yield Packed(file.fileno(), 6, len(data), codec)


def open_out(path: Path) -> io.FileIO:
    return io.FileIO(path, "wb")


def level(codec: codecs.Codec) -> int:
    """The quickest, at which all that is compressed here has several blocks."""
    return 0 if codec is codecs.XZ else 1


def write(path: Path, codec: codecs.Codec, data: bytes, step: int, threads: int) -> bytes:
    with path.open("wb", buffering=0) as out:
        writer = codecs.writer(out, codec, level(codec), size=len(data), threads=threads)
        for at in range(0, len(data), step):
            writer.write(data[at : at + step])
        writer.close()
        writer.abort()
    return path.read_bytes()


@pytest.mark.parametrize("codec", codecs.CODECS, ids=lambda c: c.name)
def test_same_bytes_whatever_threads_and_pieces(tmp_path: Path, codec: codecs.Codec) -> None:
    results = {
        write(tmp_path / "out", codec, DATA, step, threads)
        for step, threads in ((700_001, 1), (4096 * 5, 2), (len(DATA), 7))
    }
    assert len(results) == 1
    with packed(tmp_path / "p", results.pop(), codec) as source:
        assert codecs.reader(source).upto(len(DATA) + 1) == DATA


@pytest.mark.parametrize("codec", COMPRESSED, ids=lambda c: c.name)
@pytest.mark.parametrize("size", [0, 1, 511, 512 << 10, (512 << 10) + 1, len(DATA)])
def test_the_usual_tools_read_it(tmp_path: Path, codec: codecs.Codec, size: int) -> None:
    tool = TOOLS[codec.name]
    if not shutil.which(tool[0]):
        pytest.skip(f"{tool[0]} is missing")
    path = tmp_path / ("x" + codec.suffix)
    write(path, codec, DATA[:size], 1 << 20, 2)
    subprocess.run([*tool, str(path)], check=True, capture_output=True)


def test_gzip_is_one_member_without_name_or_time(tmp_path: Path) -> None:
    data = write(tmp_path / "x", codecs.GZIP, DATA, 1 << 20, 2)
    assert data[:8] == b"\x1f\x8b\x08\0\0\0\0\0"
    decoder = zlib.decompressobj(wbits=31)
    assert decoder.decompress(data) == DATA
    assert decoder.eof
    assert decoder.unused_data == b""


NG = pytest.mark.skipif(
    importlib.util.find_spec("zlib_ng") is None, reason="requirements-gzip.lock is not installed"
)


@NG
@pytest.mark.parametrize("threads", [1, 2])
def test_gzip_by_zlib_ng_is_gzip(tmp_path: Path, threads: int) -> None:
    path = tmp_path / "x.gz"
    data = write(path, codecs.GZIP_NG, DATA, 1 << 20, threads)
    subprocess.run(["gzip", "-t", str(path)], check=True)
    assert gzip.decompress(data) == DATA
    assert data == write(tmp_path / "y.gz", codecs.GZIP_NG, DATA, 70_000, 3 - threads)
    assert codecs.by_suffix(".gz") is codecs.GZIP, "it is read as any other"


@NG
def test_a_package_that_zlib_ng_packed_is_one_to_dpkg(tmp_path: Path) -> None:
    made = package(tmp_path, "x", {"usr/share/x": DATA[:300_000]})
    out = deb.rewrite(made, tmp_path / "y.deb", Edit(compression="gzip-ng"))
    listed = subprocess.run(["ar", "t", str(out)], check=True, capture_output=True, text=True)
    assert "data.tar.gz" in listed.stdout.split()
    unpacked = ["dpkg-deb", "-x", str(out), str(tmp_path / "tree")]
    subprocess.run(unpacked, check=True)
    assert (tmp_path / "tree/usr/share/x").read_bytes() == DATA[:300_000]


def test_zlib_ng_that_is_missing_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zlib_ng", None)
    monkeypatch.setitem(sys.modules, "zlib_ng.zlib_ng", None)
    with pytest.raises(BuildError, match="zlib-ng is not installed") as error:
        codecs.compress(b"x", codecs.GZIP_NG)
    assert "requirements-gzip.lock" in error.value.hint
    codecs.known("gzip")


def test_gzip_in_blocks_costs_little(tmp_path: Path) -> None:
    one = len(gzip.compress(DATA, 1))
    assert len(write(tmp_path / "x", codecs.GZIP, DATA, 1 << 20, 2)) < one * 1.005


def test_xz_is_one_stream_of_many_blocks_with_sizes(tmp_path: Path) -> None:
    path = tmp_path / "x.xz"
    data = write(path, codecs.XZ, DATA, 1 << 20, 2)
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    assert decoder.decompress(data) == DATA
    assert decoder.eof
    assert decoder.unused_data == b""
    with path.open("rb") as file:
        table = xzformat.xz_table(Packed(file.fileno(), 0, len(data), codecs.XZ))
    assert table
    assert len(table.blocks) == 3  # level 0: at most 1 MiB
    assert sum(block.size for block in table.blocks) == len(DATA)
    if shutil.which("xz"):
        shown = subprocess.run(
            ["xz", "-lvv", "--robot", str(path)], check=True, capture_output=True, text=True
        ).stdout
        blocks = [line.split("\t") for line in shown.splitlines() if line.startswith("block")]
        assert [int(line[7]) for line in blocks] == [block.size for block in table.blocks]
        assert all("cu" in line for line in blocks)  # both sizes stand in the header


def test_xz_blocks_are_long_enough_to_see_what_programs_share(tmp_path: Path) -> None:
    noise = random.Random(7).randbytes(3 << 19)  # noqa: S311
    with open_out(tmp_path / "x.xz") as out:
        writer = codecs.writer(out, codecs.XZ, 2, size=2 * len(noise))  # 2 MiB of dictionary
        writer.write(noise)
        writer.write(noise)
        writer.close()
    assert (tmp_path / "x.xz").stat().st_size < 1.1 * len(noise)


@pytest.mark.parametrize("check", [lzma.CHECK_NONE, lzma.CHECK_CRC32, lzma.CHECK_SHA256])
def test_xz_with_other_checks(tmp_path: Path, check: int) -> None:
    path = tmp_path / "x.xz"
    with path.open("wb", buffering=0) as out:
        writer = codecs.writer(out, codecs.XZ, 0, size=len(DATA), check=check)
        writer.write(DATA)
        writer.close()
    assert lzma.decompress(path.read_bytes()) == DATA


@pytest.mark.parametrize("codec", COMPRESSED, ids=lambda c: c.name)
def test_cut_short(tmp_path: Path, codec: codecs.Codec) -> None:
    data = codecs.compress(DATA[:200_000], codec)
    first = 2 if codec is codecs.GZIP else 0  # less is handed on as it is, as gzread(3) does
    for size in (first, 10, len(data) // 2, len(data) - 13, len(data) - 1):
        with packed(tmp_path / "p", data[:size], codec) as source, pytest.raises(CodecError):
            codecs.reader(source).upto(1 << 30)


@pytest.mark.parametrize("codec", [codecs.GZIP, codecs.BZIP2, codecs.XZ, codecs.ZSTD])
def test_a_flipped_bit_is_noticed(tmp_path: Path, codec: codecs.Codec) -> None:
    data = bytearray(codecs.compress(DATA[:300_000], codec))
    data[len(data) // 2] ^= 4
    with packed(tmp_path / "p", bytes(data), codec) as source, pytest.raises(CodecError):
        codecs.reader(source).upto(1 << 30)


@pytest.mark.parametrize("codec", [codecs.GZIP, codecs.BZIP2, codecs.XZ, codecs.ZSTD])
def test_the_first_stream_is_all_that_dpkg_reads(tmp_path: Path, codec: codecs.Codec) -> None:
    more = codecs.compress(b"two", codec)
    with packed(tmp_path / "p", codecs.compress(b"one", codec) + more, codec) as source:
        reader = codecs.reader(source)
        text = reader.upto(100)
    # gzread(3) goes on with the next member.
    assert (text, reader.unread) == (
        (b"onetwo", 0) if codec is codecs.GZIP else (b"one", len(more))
    )


@pytest.mark.parametrize("codec", COMPRESSED, ids=lambda c: c.name)
@pytest.mark.parametrize("junk", [b"\n", b"\0" * 4, b"\x1f", b"junk" * 50])
def test_what_follows_is_counted(tmp_path: Path, codec: codecs.Codec, junk: bytes) -> None:
    with packed(tmp_path / "p", codecs.compress(DATA[:200_000], codec) + junk, codec) as source:
        reader = codecs.reader(source)
        assert reader.upto(1 << 30) == DATA[:200_000]
        assert reader.unread == len(junk)


def test_gzip_that_is_not_compressed(tmp_path: Path) -> None:
    with packed(tmp_path / "p", b"plain", codecs.GZIP) as source:
        assert codecs.reader(source).upto(100) == b"plain"


def test_damage_in_one_of_many_xz_blocks(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "x", codecs.XZ, DATA, 1 << 20, 2))
    data[-2000] ^= 1
    with packed(tmp_path / "p", bytes(data), codecs.XZ) as source:
        reader = codecs.reader(source)
        assert reader.upto(1000) == DATA[:1000]
        with pytest.raises(CodecError):
            reader.upto(1 << 30)


@pytest.mark.parametrize("codec", COMPRESSED, ids=lambda c: c.name)
@given(noise=st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_noise_is_an_error_or_data(
    tmp_path_factory: pytest.TempPathFactory, codec: codecs.Codec, noise: bytes
) -> None:
    head = codecs.compress(b"", codec)[:13]
    for data in (noise, head + noise):
        with packed(tmp_path_factory.mktemp("n") / "p", data, codec) as source:
            try:
                codecs.reader(source).upto(1 << 20)
            except CodecError:
                continue


BOMB = """
import re, sys
from pathlib import Path
from builders.debkit import codecs
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
codec = codecs.by_name(sys.argv[2])
with Path(sys.argv[1]).open("rb") as file:
    size = Path(sys.argv[1]).stat().st_size
    reader = codecs.reader(codecs.Packed(file.fileno(), 0, size, codec), 2)
    before = peak()
    total = 0
    while part := reader.read(1 << 20):
        total += len(part)
    grown = peak() - before
print(total, grown)
"""


def zstd_bomb(path: Path, size: int) -> None:
    with path.open("wb") as out:
        compressor = zstandard.ZstdCompressor(level=3).compressobj()
        for _ in range(size >> 20):
            out.write(compressor.compress(bytes(1 << 20)))
        out.write(compressor.flush())


@pytest.mark.parametrize("name", ["gzip", "xz", "xz blocks", "zstd"])
def test_a_bomb_takes_no_memory(tmp_path: Path, name: str) -> None:
    # In blocks, xz may hold two that are decoded and the one that is read, each of 24 MiB and no
    # more, and two decoders; zstd its window; gzip next to nothing.
    size, bound = {"gzip": (64, 40), "xz": (64, 24), "xz blocks": (144, 100)}.get(name, (256, 160))
    size <<= 20
    path = tmp_path / "bomb"
    if name == "zstd":
        zstd_bomb(path, size)
    elif name == "xz":
        # One block, so that it is larger than any that is held whole.
        path.write_bytes(lzma.compress(bytes(size), preset=0))
    elif name == "xz blocks":
        raw, *record = xzblocks.xz_block(bytes(24 << 20), 0, 4)
        records = [(record[0], record[1])] * (size // record[1])
        path.write_bytes(xzformat.xz_head(4) + raw * len(records) + xzformat.xz_tail(4, records))
    else:
        path.write_bytes(codecs.compress(bytes(size), codecs.GZIP, 1))
    name = name.partition(" ")[0]
    assert path.stat().st_size < size // 100
    done = subprocess.run(
        [sys.executable, "-c", BOMB, str(path), name],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    total, grown = map(int, done.stdout.split())
    assert total == size
    assert grown < bound << 10  # KiB


def test_an_index_that_lies_is_noticed(tmp_path: Path) -> None:
    """The sizes in the index are compared with what the blocks really hold."""
    head = xzformat.xz_head(lzma.CHECK_CRC32)
    blocks = [xzblocks.xz_block(bytes([n]) * 1000, 0, lzma.CHECK_CRC32) for n in (1, 2)]
    for lie in ((0, 1), (0, -1), (4, 0), (-4, 0)):
        records = [(unpadded, size) for _, unpadded, size in blocks]
        records[0] = (records[0][0] + lie[0], records[0][1] + lie[1])
        body = b"".join(raw for raw, _, _ in blocks)
        data = head + body + xzformat.xz_tail(lzma.CHECK_CRC32, records)
        with packed(tmp_path / "p", data, codecs.XZ) as source, pytest.raises(CodecError):
            codecs.reader(source).upto(1 << 20)


# Splicing


@st.composite
def pieces(draw: st.DrawFn, limit: int) -> list[Piece]:
    cuts = sorted(draw(st.lists(st.integers(0, limit), max_size=8)))
    found: list[Piece] = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        found.append(Range(start, end))
        if draw(st.booleans()):
            found.append(draw(st.binary(max_size=600)))
    return found


def joined(wanted: list[Piece], data: bytes) -> bytes:
    return b"".join(
        data[p.start : p.end] if isinstance(p, Range) else p
        for p in wanted
        if not isinstance(p, Path | Slice)
    )


SMALL = mixed(150_000, 3)


@cache
def small_blocks(data: bytes) -> bytes:
    """An xz stream of many blocks."""
    size = 10_000
    made = [xzblocks.xz_block(data[at : at + size], 0, 4) for at in range(0, len(data), size)]
    records = [(unpadded, count) for _, unpadded, count in made]
    return xzformat.xz_head(4) + b"".join(m[0] for m in made) + xzformat.xz_tail(4, records)


@pytest.mark.parametrize("source_name", ["none", "gzip", "xz", "blocks"])
@pytest.mark.parametrize("name", ["none", "gzip", "xz"])
@given(wanted=pieces(len(SMALL)))
@settings(max_examples=15, deadline=None)
def test_splice_writes_the_pieces(
    tmp_path_factory: pytest.TempPathFactory, source_name: str, name: str, wanted: list[Piece]
) -> None:
    folder = tmp_path_factory.mktemp("s")
    codec = codecs.by_name("xz" if source_name == "blocks" else source_name)
    data = small_blocks(SMALL) if source_name == "blocks" else codecs.compress(SMALL, codec, 1)
    added = folder / "added"
    added.write_bytes(b"from a file" * 100)
    with packed(folder / "p", data, codec) as source, open_out(folder / "out") as out:
        codecs.splice(source, [*wanted, added], out, codecs.by_name(name))
    result = (folder / "out").read_bytes()
    with packed(folder / "q", result, codecs.by_name(name)) as source:
        assert codecs.reader(source).upto(1 << 20) == joined(wanted, SMALL) + added.read_bytes()


@pytest.mark.parametrize(
    ("mib", "name", "level"),
    [
        (15, "xz", 6),
        (17, "xz", 3),
        (3, "gzip", 9),
        (15, "gzip", 7),
        (17, "gzip", 6),
        (17, "zstd", 3),
    ],
)
def test_much_tight_data_is_packed_at_a_quick_level(
    tmp_path: Path, mib: int, name: str, level: int
) -> None:
    codec = codecs.by_name(name)
    data = DATA[:1000] + bytes((mib << 20) - 1000)
    results = []
    for stated in (None, level):
        with (
            packed(tmp_path / "p", gzip.compress(data, 1), codecs.GZIP) as source,
            open_out(tmp_path / "out") as out,
        ):
            codecs.splice(source, [Range(0, len(data))], out, codec, stated, size=len(data))
        results.append((tmp_path / "out").read_bytes())
    assert results[0] == results[1]


def test_a_dictionary_that_is_too_large_is_no_damage(tmp_path: Path) -> None:
    data = bytearray(lzma.compress(b"x" * 100, lzma.FORMAT_ALONE))
    data[1:5] = (512 << 20).to_bytes(4, "little")  # the dictionary, of lzma's header
    with (
        packed(tmp_path / "p", bytes(data), codecs.LZMA) as source,
        pytest.raises(CodecError, match="asks for more than 160 MiB of memory"),
    ):
        codecs.reader(source).upto(100)


def test_an_xz_stream_of_no_blocks_is_spliced(tmp_path: Path) -> None:
    empty = xzformat.xz_head(4) + xzformat.xz_tail(4, [])
    with packed(tmp_path / "p", empty, codecs.XZ) as source, open_out(tmp_path / "out") as out:
        codecs.splice(source, [b"new"], out, codecs.XZ)
    assert lzma.decompress((tmp_path / "out").read_bytes()) == b"new"


def test_a_small_package_has_one_thread_and_holds_no_large_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def pool(count: int) -> ThreadPoolExecutor:
        threads.append(count)
        return ThreadPoolExecutor(count)

    for module in (reading, writing):
        monkeypatch.setattr(module, "ThreadPoolExecutor", pool)
    block = xzblocks.xz_block(bytes(30 << 20), 0, 4)
    records = [(block[1], block[2])] * 2
    data = xzformat.xz_head(4) + block[0] * 2 + xzformat.xz_tail(4, records)
    with (
        packed(tmp_path / "p", data, codecs.XZ) as source,
        open_out(tmp_path / "out") as out,
    ):
        codecs.splice(source, [Range(0, 31 << 20)], out, codecs.XZ, 6, threads=8)
        assert threads == [1]  # that which decodes: the encoder's is the caller's own
        assert codecs.reader(source, 8).skip(61 << 20) == 60 << 20
    assert lzma.decompress((tmp_path / "out").read_bytes()) == bytes(31 << 20)
    assert threads == [1, 1]


def test_splice_takes_xz_blocks_over(tmp_path: Path) -> None:
    data = small_blocks(SMALL)
    with packed(tmp_path / "p", data, codecs.XZ) as source:
        with open_out(tmp_path / "out") as out:
            codecs.splice(source, [Range(0, 5), Range(9_000, len(SMALL))], out, codecs.XZ)
        table = xzformat.xz_table(source)
    assert table
    result = (tmp_path / "out").read_bytes()
    assert lzma.decompress(result) == SMALL[:5] + SMALL[9_000:]
    for block in table.blocks[1:]:
        assert data[block.offset : block.offset + block.padded] in result
    assert result[7] == data[7]  # the kind of check
    if shutil.which("xz"):
        subprocess.run(["xz", "-t"], input=result, check=True)


# Incompressible data makes chunks of another kind in the middle.
FRONTS = DATA[:600_000] + random.Random(5).randbytes(1 << 18) + DATA  # noqa: S311


@pytest.mark.parametrize(
    ("check", "end"),
    [
        (lzma.CHECK_NONE, 2 << 20),
        (lzma.CHECK_CRC32, (2 << 20) + 17),
        (lzma.CHECK_CRC64, len(FRONTS) - 1000),
    ],
)
def test_splice_takes_the_front_of_an_xz_block_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: int, end: int
) -> None:
    monkeypatch.setattr(splicing, "_FRONT", 2 << 20)
    content, data = FRONTS, lzma.compress(FRONTS, lzma.FORMAT_XZ, check, 0)
    compressed: list[int] = []
    original = xzblocks.xz_block

    def counting(data: bytes, level: int, kind: int) -> tuple[bytes, int, int]:
        compressed.append(len(data))
        return original(data, level, kind)

    monkeypatch.setattr(writing, "xz_block", counting)
    with (
        packed(tmp_path / "p", data, codecs.XZ) as source,
        open_out(tmp_path / "out.xz") as out,
    ):
        codecs.splice(source, [Range(0, end), b"instead"], out, codecs.XZ)
    result = (tmp_path / "out.xz").read_bytes()
    assert lzma.decompress(result) == content[:end] + b"instead"
    assert data[24 : 1 << 18] in result
    assert sum(compressed) <= 1 << 20
    if shutil.which("xz"):
        subprocess.run(["xz", "-t", str(tmp_path / "out.xz")], check=True)


@pytest.mark.parametrize("threads", [1, 3])
def test_what_is_between_blocks_is_shared_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(writing, "_HALVED", 8000)
    pieces: list[Piece] = [Range(0, 15_000), Range(15_001, len(SMALL) - 3_000)]
    with (
        packed(tmp_path / "p", small_blocks(SMALL), codecs.XZ) as source,
        open_out(tmp_path / "out") as out,
    ):
        codecs.splice(source, pieces, out, codecs.XZ, threads=threads)
    result = (tmp_path / "out").read_bytes()
    assert lzma.decompress(result) == joined(pieces, SMALL)
    with packed(tmp_path / "q", result, codecs.XZ) as source:
        table = xzformat.xz_table(source)
    assert table
    sizes = [block.size for block in table.blocks]
    # A block, the next one without a byte, twelve blocks, and the front of the last one.
    assert sizes[:3] == [10_000, 5000, 4999]
    assert sizes[3:] == [10_000] * 12 + [7000]


@pytest.mark.parametrize("codec", COMPRESSED, ids=lambda c: c.name)
def test_a_second_look_at_what_was_kept(tmp_path: Path, codec: codecs.Codec) -> None:
    kept = codecs.Kept()
    with packed(tmp_path / "p", codecs.compress(SMALL, codec), codec) as source:
        first = kept.first(source)
        assert first.upto(100) == SMALL[:100]
        assert kept.again() is None  # not yet whole
        assert first.upto(1 << 20) == SMALL[100:]
        first.read(1)
    again = kept.again()
    assert again
    assert again.upto(1 << 20) == SMALL
    kept.release()
    assert kept.again() is None


def test_a_first_look_that_ends_early_keeps_nothing_and_no_thread(tmp_path: Path) -> None:
    kept, before = codecs.Kept(), threading.active_count()
    data = codecs.compress(DATA, codecs.XZ, 0)
    with packed(tmp_path / "p", data, codecs.XZ) as source:
        first = kept.first(source)
        assert first.upto(100) == DATA[:100]
        first.close()
    assert kept.again() is None
    assert threading.active_count() == before


def test_what_is_large_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_KEPT", len(SMALL) - 1)
    kept = codecs.Kept()
    with packed(tmp_path / "p", codecs.compress(SMALL, codecs.GZIP), codecs.GZIP) as source:
        assert kept.first(source).upto(1 << 20) == SMALL
    assert kept.again() is None
    assert not kept._chunks


def test_blocks_of_any_size_are_decoded_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [1, 30_000, 500, 500, 500, 500, 60_000, 20_000, 1, 1, 37_997]
    made, at = [], 0
    for size in sizes:
        made.append(xzblocks.xz_block(SMALL[at : at + size], 0, 4))
        at += size
    tail = xzformat.xz_tail(4, [(unpadded, count) for _, unpadded, count in made])
    data = xzformat.xz_head(4) + b"".join(m[0] for m in made) + tail
    for ahead in (0, 1000, 40_000, 1 << 20):
        monkeypatch.setattr(reading, "_AHEAD", ahead)
        with packed(tmp_path / "p", data, codecs.XZ) as source:
            assert codecs.reader(source, 2).upto(1 << 20) == SMALL


def test_splice_of_other_filters_compresses(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 1}]
    data = lzma.compress(SMALL, lzma.FORMAT_XZ, lzma.CHECK_CRC64, filters=filters)
    with packed(tmp_path / "p", data, codecs.XZ) as source, open_out(tmp_path / "out") as out:
        codecs.splice(source, [Range(0, len(SMALL) - 1), b"x"], out, codecs.XZ)
    assert lzma.decompress((tmp_path / "out").read_bytes()) == SMALL[:-1] + b"x"


@pytest.mark.parametrize("codec", [codecs.NONE, codecs.GZIP, codecs.XZ], ids=lambda c: c.name)
def test_splice_past_the_end(tmp_path: Path, codec: codecs.Codec) -> None:
    data = codecs.compress(SMALL, codec)
    pieces = [Range(10, len(SMALL) + 1)]
    with (
        packed(tmp_path / "p", data, codec) as source,
        open_out(tmp_path / "out") as out,
        pytest.raises(CodecError, match="cut short"),
    ):
        codecs.splice(source, pieces, out, codec)


# Copying


def refuse(*_: object, **__: object) -> int:
    raise OSError(errno.EXDEV, "another file system")


@pytest.mark.parametrize("missing", [(), ("copy_file_range",), ("copy_file_range", "sendfile")])
def test_copy_range_falls_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    for name in missing:
        monkeypatch.setattr(os, name, refuse)
    (tmp_path / "a").write_bytes(DATA)
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("wb", buffering=0) as out:
        out.write(b"x")
        codecs.copy_range(source.fileno(), out, 7, len(DATA) - 7)
        out.write(b"y")
        with pytest.raises(CodecError):
            codecs.copy_range(source.fileno(), out, 7, len(DATA))
    assert (tmp_path / "b").read_bytes()[: len(DATA) - 5] == b"x" + DATA[7:] + b"y"


class Slow(io.FileIO):
    """Writes at most 1000 bytes at a time, as a full pipe or a quota may make it do."""

    def write(self, data: Any, /) -> int:
        return super().write(memoryview(data)[:1000])


def test_short_writes_are_repeated(tmp_path: Path) -> None:
    with Slow(tmp_path / "x", "wb") as out:
        writer = codecs.writer(out, codecs.GZIP, 1)
        writer.write(DATA)
        writer.close()
    assert gzip.decompress((tmp_path / "x").read_bytes()) == DATA


def test_a_full_disk_ends_the_threads(tmp_path: Path) -> None:
    class Full(io.FileIO):
        def write(self, data: object, /) -> int:  # noqa: ARG002
            if self.tell() > 100:
                raise OSError(errno.ENOSPC, "full")
            return super().write(b"." * 101)

    with Full(tmp_path / "x", "wb") as out:
        writer = codecs.writer(out, codecs.GZIP, 1, threads=3)
        with pytest.raises(OSError, match="full"):
            writer.write(DATA * 5)
        writer.abort()
        assert writer._pool._shutdown  # type: ignore[attr-defined]


# Names and levels


def test_names_and_levels() -> None:
    assert codecs.by_name("xz") is codecs.XZ
    assert codecs.by_suffix(".zst") is codecs.ZSTD
    assert codecs.by_suffix(".Z") is None
    with pytest.raises(BuildError, match="no compression"):
        codecs.by_name("rar")
    assert codecs.check_level(codecs.GZIP, None) == 9
    bad: list[Callable[[], int]] = [
        lambda: codecs.check_level(codecs.GZIP, 10),
        lambda: codecs.check_level(codecs.XZ, -1),
    ]
    for call in bad:
        with pytest.raises(BuildError, match="no level"):
            call()


@pytest.mark.parametrize("codec", ["none", "gzip", "xz"])
def test_a_slice_is_part_of_a_file(tmp_path: Path, codec: str) -> None:
    whole = tmp_path / "whole"
    whole.write_bytes(mixed(100_000, 5))
    chosen = codecs.by_name(codec)
    pieces: list[Piece] = [b"head", Slice(whole, 1000, 50_000), Slice(whole, 0, 0)]
    with (tmp_path / "out").open("wb", buffering=0) as out:
        codecs.splice(Packed(-1, 0, 0, codecs.NONE), pieces, out, chosen, size=50_004)
    with (tmp_path / "out").open("rb") as file:
        size = (tmp_path / "out").stat().st_size
        read = codecs.reader(Packed(file.fileno(), 0, size, chosen)).upto(60_000)
    assert read == b"head" + whole.read_bytes()[1000:51_000]
    with pytest.raises(CodecError), (tmp_path / "cut").open("wb", buffering=0) as out:
        codecs.splice(Packed(-1, 0, 0, codecs.NONE), [Slice(whole, 99_999, 2)], out, chosen, size=2)
