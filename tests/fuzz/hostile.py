# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages that are made to hurt who reads them. Each is small on the disk."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from builders.debkit import codecs
from tests.fuzz.kinds import CASES, case
from tests.unit import debs
from tests.unit.debs import Item, elf, symlink

_END = bytes(1024)


def gzipped(parts: Iterable[bytes]) -> bytes:
    """A gzip stream of what need not be in memory at once."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*map(packer.compress, parts), packer.flush()])


def deb(
    data: bytes, *, control: bytes | None = None, suffix: str = ".gz", after: bytes = b""
) -> bytes:
    """A package of an archive, and of control.tar.gz where it is not the ordinary one."""
    gzip = codecs.by_name("gzip")
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", control or codecs.compress(debs.control_tar(debs.CONTROL), gzip)),
        ("data.tar" + suffix, data),
    ]
    return debs.ar(members) + after


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """A tar header of its own, whatever it claims."""
    info = tarfile.TarInfo(name[:100])
    info.type, info.size, info.linkname, info.mode = kind, size, link[:100], 0o644
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def control_of(files: dict[str, bytes], fields: str = "") -> bytes:
    text = "".join(f"{k}: {v}\n" for k, v in debs.CONTROL.items()) + fields
    return codecs.compress(debs.control_tar(text, files), codecs.by_name("gzip"))


# Too much of something


@case("compression")
def declared() -> bytes:
    """A file of 8 TB, of which nothing is there."""
    return deb(gzipped([header("./usr/share/x", 8 << 40)]))


@case("compression")
def zeros() -> bytes:
    """6 GiB of zeros in one file: a bomb by its ratio."""
    block = bytes(16 << 20)

    def parts() -> Iterator[bytes]:
        yield header("./usr/share/x", 6 << 30)
        for _ in range(16):
            yield block

    return deb(gzipped(parts()))


@case("compression")
def tail() -> bytes:
    """Zeros without end after the archive."""
    return deb(gzipped([header("./x"), *[bytes(16 << 20)] * 20]))


@case("compression")
def xz_tail() -> bytes:
    """The same in xz, where a megabyte of it costs 150 bytes."""
    packer = lzma.LZMACompressor(preset=0)
    parts = [packer.compress(header("./x"))]
    parts += [packer.compress(bytes(16 << 20)) for _ in range(20)]
    return deb(b"".join([*parts, packer.flush()]), suffix=".xz")


@case("tar")
def names() -> bytes:
    """More members than are read: 250 000."""
    head = header("./usr/share/x/0000000")

    def parts() -> Iterator[bytes]:
        for number in range(250_000):
            raw = bytearray(head)
            raw[14:21] = b"%07d" % number
            raw[148:156] = b"%06o\0 " % (sum(raw[:148]) + sum(raw[156:512]) + 8 * 32)
            yield bytes(raw)

    packer = zlib.compressobj(1, wbits=31)
    return deb(b"".join([*map(packer.compress, parts()), packer.flush()]))


@case("tar")
def long_names() -> bytes:
    """Names of 60 KB each."""

    def parts() -> Iterator[bytes]:
        for number in range(4000):
            name = f"./{number:06d}/" + "é" * (29 << 10)
            raw = name.encode() + b"\0"
            yield header("././@LongLink", len(raw), tarfile.GNUTYPE_LONGNAME)
            yield raw + bytes(-len(raw) % 512)
            yield header(name[:40])
        yield _END

    return deb(gzipped(parts()))


@case("tar")
def names_of_nothing() -> bytes:
    """Long names without end, and no member that has them."""
    raw = header("././@LongLink", 40_000, tarfile.GNUTYPE_LONGNAME) + b"x" * 40_448
    return deb(gzipped([raw] * 10_000))


@case("files")
def findings() -> bytes:
    """Fifty thousand files, each of them in the wrong place."""

    def parts() -> Iterator[bytes]:
        for number in range(50_000):
            raw = header(f"./usr/local/{number:06d}", 1)
            yield raw + b"x" + bytes(511)
        yield _END

    return deb(gzipped(parts()))


@case("control")
def md5sums() -> bytes:
    """As long a list of sums as control.tar may hold."""
    line = b"d41d8cd98f00b204e9800998ecf8427e  usr/%07d\n"
    text = b"".join(line % n for n in range((23 << 20) // 46))
    return deb(gzipped([header("./x"), _END]), control=control_of({"md5sums": text}))


@case("control")
def conffiles() -> bytes:
    text = b"".join(b"/etc/%07d\n" % n for n in range((1 << 20) // 13))
    return deb(gzipped([header("./x"), _END]), control=control_of({"conffiles": text}))


@case("control")
def fields() -> bytes:
    """As many fields as a control file may have."""
    text = "".join(f"X-{number}: y\n" for number in range(70_000))
    return deb(gzipped([header("./x"), _END]), control=control_of({}, text))


@case("control")
def relations() -> bytes:
    text = "Depends: " + ", ".join(f"p{n} | q{n} (>= {n})" for n in range(150_000)) + "\n"
    return deb(gzipped([header("./x"), _END]), control=control_of({}, text))


@case("scripts")
def script() -> bytes:
    """A maintainer script of 20 MB, with NULs and escapes."""
    text = b"#!/bin/sh\nset -e\n" + b"\0\033[2J if then (( ; \n" * (1 << 20)
    return deb(gzipped([header("./x"), _END]), control=control_of({"postinst": text}))


@case("control")
def control_size() -> bytes:
    """A control file of 4 GB, by its header."""
    return deb(gzipped([_END]), control=gzipped([header("./control", 4 << 30), bytes(1 << 20)]))


@case("control")
def control_zeros() -> bytes:
    """And one where they are there."""
    parts = [header("./control", 4 << 30), *[bytes(16 << 20)] * 16]
    return deb(gzipped([_END]), control=gzipped(parts))


# Lies


@case("tar")
def after_the_end() -> bytes:
    """A member after the end of the archive, which tar(1) with -i would unpack."""
    return deb(gzipped([header("./x"), _END, header("./usr/bin/hidden", 1), b"x", bytes(511)]))


@case("ar")
def ar_after() -> bytes:
    more = debs.ar([("data.tar.gz", b"other")])[8:]
    return deb(gzipped([header("./x"), _END]), after=more)


@case("tar")
def pax() -> bytes:
    record = b"30 path=../../../../etc/shadow\n"
    head = header("./PaxHeaders/x", len(record), tarfile.XHDTYPE)
    return deb(gzipped([head, record + bytes(-len(record) % 512), header("./x"), _END]))


@case("tar")
def sparse() -> bytes:
    return deb(gzipped([header("./x", 512, b"S"), bytes(512), _END]))


def _numbered(field: slice, number: bytes) -> bytes:
    raw = bytearray(header("./x"))
    raw[field] = number
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return deb(gzipped([bytes(raw), _END]))


@case("tar")
def negative() -> bytes:
    return _numbered(slice(124, 136), b"\xff" * 12)  # a size, in base 256


@case("tar")
def negative_mode() -> bytes:
    return _numbered(slice(100, 108), b"\xff" * 8)


@case("tar")
def wide_mode() -> bytes:
    return _numbered(slice(100, 108), b"\x80\0\1\0\0\0\0\0")


@case("tar")
def wide_owner() -> bytes:
    return _numbered(slice(108, 116), b"\x80\0\1\0\0\0\0\0")


@case("tar")
def outside() -> bytes:
    return deb(gzipped([header("./a/../../../etc/passwd", 1), b"x", bytes(511), _END]))


@case("tar")
def links() -> bytes:
    """Links that lead to each other, out of the package, and to nowhere."""
    items = [
        symlink("./usr/lib/a", "b"),
        symlink("./usr/lib/b", "a"),
        symlink("./usr/lib/c", "c"),
        symlink("./usr/lib/d", "../../../../../../etc/shadow"),
        symlink("./usr/lib/e/f", "../e"),
        symlink("./usr/lib/libx.so.1", "libx.so.1"),
        symlink("./boot/xen.gz", ""),
    ]
    return deb(gzipped([debs.tar(items)]))


@case("control")
def not_utf8() -> bytes:
    raw = debs.control_tar(dict(debs.CONTROL, Description="x@y"))
    return deb(gzipped([_END]), control=gzipped([raw.replace(b"x@y", b"x\xffy")]))


@case("control")
def line_breaks() -> bytes:
    """A field with what only Unicode takes for line breaks."""
    text = "Comment: x\n a\x1cb\u2028c\x85d\n e\rf\n"
    return deb(gzipped([_END]), control=control_of({}, text))


@case("tar")
def names_not_utf8() -> bytes:
    items = [Item("./usr/share/\udcff\udc80"), Item("./etc/\udcfe", b"x"), symlink("./l", "\udcff")]
    return deb(gzipped([debs.tar(items)]))


@case("files")
def escapes() -> bytes:
    """Terminal escapes in all that is shown."""
    bad = "\033]0;x\007\033[2J\u202e\x9b2J"
    items = [Item(f"./etc/{bad}", b"x"), symlink(f"./boot/xen{bad}", bad)]
    items += [Item(f"./usr/bin/{bad}", b"#!/usr/bin/python9" + bad.encode() + b"\n", mode=0o4777)]
    items += [Item(f"./usr/lib/{bad}.so.1", elf([f"lib{bad}.so.2"], soname=f"{bad}.so.1"))]
    items += [Item("./boot/config-1", f"CONFIG_XEN_DOM0=y\nCONFIG_X={bad}\n".encode())]
    control = control_of(
        {"postinst": bad.encode(), "conffiles": f"/etc/{bad}x\n".encode(), "md5sums": b"\033 \033"},
        f"Section: {bad}\nDepends: {bad}, a (>= {bad})\nX-{ascii('x').strip(chr(39))}: {bad}\n",
    )
    return deb(gzipped([debs.tar(debs.with_folders(items))]), control=control)


@case("elf")
def elves() -> bytes:
    """ELF files whose headers lie about each offset, size and count."""
    whole = elf(["libc.so.6", "libx.so.1"], soname="liby.so.1")
    items = []
    for at in range(16, 64 + 2 * 56, 2):
        for number, value in enumerate((0, 1, 0xFFFF)):
            raw = bytearray(whole)
            struct.pack_into("<H", raw, at, value)
            items.append(Item(f"./usr/lib/l{at}-{number}.so", bytes(raw)))
    for size in range(0, len(whole), 7):
        items.append(Item(f"./usr/lib/cut{size}.so", whole[:size]))
    return deb(gzipped([debs.tar(debs.with_folders(items))]))


@case("elf")
def elf_without_end() -> bytes:
    """A dynamic section of 60 MB that asks for a library in each of its entries."""
    entry = struct.pack("<QQ", 1, 1)
    count = (60 << 20) // 16
    size = count * 16
    head = elf(["x" * 200])
    raw = bytearray(head[: 64 + 112])
    struct.pack_into("<QQQQ", raw, 64 + 56 + 8, 176, 176, 176, size)
    struct.pack_into("<QQ", raw, 64 + 32, size + 176, size + 176)
    body = [bytes(raw), *[entry * 65536] * (count // 65536)]
    total = sum(map(len, body))
    return deb(gzipped([header("./usr/bin/x", total), *body, bytes(-total % 512), _END]))


def write(folder: Path, *names: str) -> dict[str, Path]:
    """Make these packages of the register; name to path."""
    made = {}
    for name in names:
        made[name] = folder / f"{name}.deb"
        content = CASES[name].make()
        assert isinstance(content, bytes), name
        made[name].write_bytes(content)
    return made
