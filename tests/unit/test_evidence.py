# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import gzip
import io
import lzma
import re
import struct
import subprocess
import time
from pathlib import Path

import pytest
import zstandard

from builders.debkit import elf
from builders.proofs.rebuild.evidence import Known, why
from builders.proofs.rebuild.variation import Variation

KNOWN = Variation(seconds=60).known()


def told(one: bytes, other: bytes) -> str:
    return why(io.BytesIO(one), io.BytesIO(other), KNOWN)


@pytest.mark.parametrize(
    ("one", "other", "cause"),
    [
        ("by builder at once", "by somebody at once", "the user's name"),
        ("at builder, now", "at elsewhere, now", "the host's name"),
        ("/build/tree/x.c", "/srv/somewhere-else/tree/x.c", "the folder of the build"),
        ("cd /home/builder;", "cd /home/somebody;", "the home of the user"),
        ("uid=1000 x", "uid=4321 x", "the user's number"),
        ("for 6.1.0-44-amd64.", "for 6.99.0-elsewhere.", "the release of the kernel"),
        ("umask 0022", "umask 0002", "the umask"),
        ("at 10:00 +0000", "at 10:00 +1400", "the time zone"),
        ("built Nov 25 2026", "built Nov 26 2026", "a date or a time"),
        ("Wed Nov 25 15:38:01 UTC 2026", "Thu Nov 26 18:38:01 UTC 2026", "a date or a time"),
        ("Wed, 25 Nov 2026 15:38:01 +0000", "Wed, 25 Nov 2026 15:39:02", "a date or a time"),
        ("<td>2026-11-25</td>", "<td>2026-11-26</td>", "a date or a time"),
        ("at 15:38:01 it was", "at 15:41:59 it was", "a date or a time"),
        ("v20261125.", "v20261126.", "a date or a time"),
        ("t=1795620000;", "t=1795717200;", "seconds since 1970"),
        ("-j2 and", "-j16 and", ""),
        ("nproc: 2.", "nproc: 1.", "a number, as of jobs or processors"),
        ("one\ntwo\nthree\n", "two\nthree\none\n", "the same lines in another order"),
        ("x: b a c", "x: a b c", "the same words in another order"),
        ("this", "that", ""),
        ("the beginning", "the beginning and more", ""),
    ],
)
def test_what_a_difference_looks_like(one: str, other: str, cause: str) -> None:
    text = told(b"#" * 400 + b"\n" + one.encode(), b"#" * 400 + b"\n" + other.encode())
    begin, found, _ = text.partition("from byte 4")
    assert found
    assert begin == (f"{cause}: " if cause else "")


def test_a_table_of_strings_is_searched() -> None:
    one = b"a\0z.c\0" + b"in /build/tree\0"
    other = b"a\0in /srv/somewhere-else/tree\0z.c\0"
    text = told(one, other)
    assert text.startswith("the folder of the build: from byte 9 on: ")
    assert "in /build/tree '" in text
    assert told(one + b"/srv/somewhere-else", other).startswith("from byte 2 on: ")


def test_what_stands_there_is_shown_without_control_characters() -> None:
    assert told(b"aa\x1b[2Jb", b"aa\x1b[2Jc") == r"from byte 6 on: 'aa [2Jb' and 'aa [2Jc'"
    assert told(b"same", b"same") == "the contents are the same"


def test_a_time_stamp_in_a_header() -> None:
    one, other = (b"\0" * 9 + struct.pack("<I", t) + b"\0" * 9 for t in (1795620001, 1795717205))
    shown = "a time stamp, 2026-11-25 15:20:01 and 2026-11-26 18:20:05: from byte 9 on: "
    if time.time() < 1795620001 - 40 * 24 * 3600:  # it would be in the future
        pytest.skip("the box's clock is long before that")
    assert told(one, other).startswith(shown)
    far = b"\0" * 9 + struct.pack("<I", 0xFFFFFFF0) + b"\0" * 9
    assert told(one, far).startswith("from byte 9 on: ")


def test_inside_of_what_is_compressed() -> None:
    one, other = b"y" * 99 + b" on builder ", b"y" * 99 + b" on elsewhere "
    for pack in (
        lambda data: gzip.compress(data, mtime=0),
        lzma.compress,
        zstandard.ZstdCompressor().compress,
    ):
        text = told(pack(one), pack(other))
        assert text.startswith("inside its compressed data, the host's name: from byte 103 on: ")
    nested = told(lzma.compress(gzip.compress(one)), lzma.compress(gzip.compress(other)))
    assert "inside its compressed data, inside its compressed data, the host" in nested


def test_the_same_in_another_compression() -> None:
    one, other = (gzip.compress(b"x" * 999, mtime=t) for t in (1795620001, 1795717205))
    times = "2026-11-25 15:20:01 and 2026-11-26 18:20:05"
    assert told(one, other) == f"only the time in its gzip header differs: {times}"
    slow, quick = (gzip.compress(bytes(range(256)) * 99, level, mtime=0) for level in (9, 1))
    assert told(slow, quick) == "only its compression differs"


def test_what_is_broken_is_compared_as_it_is() -> None:
    whole = gzip.compress(b"x" * 999, mtime=0)
    assert told(whole, whole[:-9] + b"........!").startswith("from byte ")
    assert told(b"\x7fELF" + bytes(60), b"\x7fELF" + bytes(59) + b"x").startswith("from byte 63")
    assert told(b"!<arch>\n" + b"x" * 60, b"!<arch>\n" + b"y" * 60).startswith("from byte 8")


def image(kernel: bytes) -> bytes:
    """The beginning of a bzImage as its boot protocol has it, and a kernel in it."""
    head = bytearray(0x400)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    head[0x248:0x250] = struct.pack("<II", 16, len(kernel))
    return bytes(head) + bytes(16) + kernel + b"\0CRC "


def test_the_kernel_in_an_image() -> None:
    one, other = (
        image(gzip.compress(b"Linux (somebody@" + name + b") ", mtime=0))
        for name in (b"builder", b"elsewhere")
    )
    assert told(one, other).startswith(
        "in the kernel that it carries, inside its compressed data, the host's name: from byte 16"
    )


def library(date: str, content: bytes) -> bytes:
    head = f"{'x.o/':16}{date:12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n"
    return b"!<arch>\n" + head.encode() + content + b"\n" * (len(content) % 2)


def test_the_member_of_a_library() -> None:
    one = library("0", b"of builder")
    text = told(one, library("0", b"of elsewhere"))
    assert text.startswith("in its member x.o, the host's name: from byte 3 on: ")
    dated = told(one, library("1795620001", b"of builder"))
    assert dated == "in its member x.o/, the date is 0 and 1795620001"


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Two objects that differ in a string of .rodata, each with a build id of its own."""
    folder: Path = tmp_path_factory.mktemp("objects")
    found = []
    for name in ("builder", "elsewhere"):
        source, out = folder / f"{name}.s", folder / f"{name}.o"
        source.write_text(
            '.section .note.gnu.build-id, "a"\n'
            f'.ascii "{name[0] * 20}"\n'
            ".text\n.globl _start\n_start: nop\n"
            f'.section .rodata\n.asciz "made at {name}"\n'
        )
        subprocess.run(["as", "-o", out, source], check=True)
        found.append(out.read_bytes())
    return found[0], found[1]


def test_the_section_that_tells(objects: tuple[bytes, bytes]) -> None:
    text = told(*objects)
    assert text.startswith("the host's name: from byte 8 of .rodata on: 'made at builder ")
    assert text.endswith(" (sections that differ: .note.gnu.build-id, .rodata)")


def test_sections_are_those_of_readelf(objects: tuple[bytes, bytes], tmp_path: Path) -> None:
    (tmp_path / "x.o").write_bytes(objects[0])
    shown = subprocess.run(
        ["readelf", "--wide", "--sections", "x.o"], cwd=tmp_path, capture_output=True, check=True
    ).stdout.decode()
    rows = re.findall(r"\] (\S+) +(\w+) +\w+ (\w+) (\w+) ", shown)
    window = elf.Window()
    window.feed(objects[0])
    assert [(each.name, each.offset, each.size) for each in elf.sections(window)[1:]] == [
        (name, int(at, 16), 0 if kind == "NOBITS" else int(size, 16))
        for name, kind, at, size in rows
    ]
    window = elf.Window()
    window.feed(objects[0][:-9])
    with pytest.raises(elf.ElfError):
        elf.sections(window)


def test_only_a_build_id(objects: tuple[bytes, bytes]) -> None:
    same = objects[0].replace(b"b" * 20, b"c" * 20)
    assert told(objects[0], same).startswith("only its build id differs, ")


def test_nothing_is_known_of_the_boxes() -> None:
    assert why(io.BytesIO(b"builder"), io.BytesIO(b"elsewhere")).startswith("from byte 0 on: ")
    known = [Known("jobs", "", "7 at once")]
    assert why(io.BytesIO(b"2"), io.BytesIO(b"7 at once"), known).startswith("the jobs: ")
