# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile files in a package: ELF, kernels, units, documents; and pairs of packages."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterable, Iterator

from tests.fuzz.containers import noise
from tests.fuzz.kinds import Pair, case
from tests.fuzz.products import deb, elf, head, member, packed, tree
from tests.unit import debs

_MIB = 1 << 20
_DOC = "./usr/share/doc/sample"
_UNITS = "./usr/lib/systemd/system"


def one(
    kind: str, path: str, make: Callable[[], bytes], area: str = "files", mode: int = 0o644
) -> None:
    """A kind of package with one file."""
    case(area, kind, kind)(lambda: tree([member(path, make(), mode=mode)]))


def many(kind: str, make: Callable[[], Iterable[bytes]], area: str = "files") -> None:
    """A kind of package of these members."""
    case(area, kind, kind)(lambda: tree(make(), 1))


def numbered(form: bytes, size: int) -> bytes:
    return b"".join(form % n for n in range(size // (len(form) + 4)))


# ELF


def patched(raw: bytes, **fields: int) -> bytes:
    """An ELF file of 64 bits with other numbers in its header."""
    data = bytearray(raw)
    for name, value in fields.items():
        at, form = _ELF[name]
        struct.pack_into(form, data, at, value)
    return bytes(data)


_ELF = {
    "machine": (18, "<H"), "phoff": (32, "<Q"), "shoff": (40, "<Q"), "phentsize": (54, "<H"),
    "phnum": (56, "<H"), "shentsize": (58, "<H"), "shnum": (60, "<H"), "shstrndx": (62, "<H"),
}  # fmt: skip
_SOUND = debs.elf(["libc.so.6"], soname="libx.so.1")
_LIB = "./usr/lib/libx.so.1"

one("elf-of-20-bytes", _LIB, lambda: _SOUND[:20], "elf")
one("elf-headers-of-no-size", _LIB, lambda: patched(_SOUND, phentsize=0), "elf")
one(
    "elf-headers-of-65535-bytes",
    _LIB,
    lambda: patched(_SOUND, phentsize=0xFFFF, phnum=0xFFFF) + bytes(20 * _MIB),
    "elf",
)
one("elf-headers-far-away", _LIB, lambda: patched(_SOUND, phoff=(1 << 64) - 1), "elf")
one(
    "elf-headers-in-themselves",
    _LIB,
    lambda: patched(_SOUND, phoff=0, phnum=0xFFFF) + bytes(4 * _MIB),
    "elf",
)
one(
    "elf-sections-of-no-size",
    _LIB,
    lambda: patched(_SOUND, shoff=64, shnum=0xFFFF, shentsize=0),
    "elf",
)
one(
    "elf-sections-of-65535-bytes",
    _LIB,
    lambda: patched(_SOUND, shoff=64, shnum=300, shentsize=0xFFFF) + bytes(20 * _MIB),
    "elf",
)
one("elf-sections-far-away", _LIB, lambda: patched(_SOUND, shoff=(1 << 63), shnum=1), "elf")
one(
    "elf-names-in-no-section",
    _LIB,
    lambda: patched(_SOUND + bytes(640), shoff=len(_SOUND), shnum=10, shentsize=64, shstrndx=9),
    "elf",
)
one("elf-of-32-bits", _LIB, lambda: b"\x7fELF\x01\x01\x01" + _SOUND[7:], "elf")
one(
    "elf-of-the-other-order",
    _LIB,
    lambda: b"\x7fELF\x02\x02\x01" + bytes(9) + b"\0\3" + _SOUND[18:],
    "elf",
)
one("elf-of-no-class", _LIB, lambda: b"\x7fELF\x03\x03\xff" + _SOUND[7:], "elf")
one(
    "elf-with-escapes",
    _LIB,
    lambda: debs.elf(
        ["\x1b[2J\x85", "a\nb", "../../x"], soname="\x9b2J/../x", texts=[(29, "$ORIGIN/\x1b[2J:\n")]
    ),
    "elf",
)
one("elf-in-the-place-of-a-kernel", "./boot/vmlinuz-1", lambda: _SOUND + bytes(30 * _MIB), "elf")
one(
    "elf-larger-than-its-window",
    _LIB,
    lambda: debs.elf(["libc.so.6"], soname="libx.so.1", fill=200 * _MIB),
    "elf",
)
one(
    "elf-strings-behind-its-window",
    _LIB,
    lambda: debs.elf(["libc.so.6"], soname="libx.so.1", fill=100 * _MIB, strings_last=True),
    "elf",
)
one(
    "elf-notes-behind-its-window",
    _LIB,
    lambda: elf(1, [(1, 1)], b"\0x\0" + bytes(60 * _MIB), notes=60),
    "elf",
)
one(
    "elf-of-tags-that-repeat",
    _LIB,
    lambda: debs.elf(["libc.so.6"], soname="libx.so.1", tags=[(5, 0), (22, 0), (30, 4)] * 6000),
    "elf",
)
many(
    "elf-of-needs-without-end",
    lambda: (
        member(
            f"./usr/lib/lib{n}.so.1",
            debs.elf([f"lib{n}x{k}.so.1" for k in range(60)], soname=f"lib{n}.so.1"),
        )
        for n in range(3000)
    ),
    "elf",
)
many(
    "elf-of-other-machines",
    lambda: (
        member(f"./usr/bin/x{n}", patched(_SOUND, machine=n), mode=0o755) for n in range(30_000)
    ),
    "elf",
)
many(
    "elf-modules",
    lambda: (
        member(
            f"./lib/modules/1/x{n}.ko",
            b"\x7fELF\x02\x01\x01" + bytes(9) + b"\1\0\x3e\0" + bytes(100),
        )
        for n in range(60_000)
    ),
    "elf",
)
many(
    "elf-for-debuggers",
    lambda: (
        member(f"./usr/lib/debug/.build-id/{n % 256:02x}/{n:08x}.debug", _SOUND)
        for n in range(30_000)
    ),
    "elf",
)
many(
    "elf-with-paths-of-its-own",
    lambda: (
        member(
            f"./usr/lib/lib{n}.so.1",
            debs.elf(texts=[(29, ":".join(f"/a{n}/{k}" for k in range(150)))]),
        )
        for n in range(4000)
    ),
    "elf",
)


@case("elf")
def elf_and_relations() -> bytes:
    """20 000 libraries are needed, and 30 000 packages named that may have them."""
    names = (f"libq{n}" for n in range(30_000))
    data = packed(
        [
            *(head(f"./{folder}/", kind=b"5") for folder in (".", "usr", "usr/lib")),
            *(
                member(
                    f"./usr/lib/l{n}.so", debs.elf([f"libneed{n}x{k}.so.{n}" for k in range(20)])
                )
                for n in range(1000)
            ),
            bytes(1024),
        ]
    )
    return deb(data, fields={"Depends": ", ".join(names)})


@case("elf")
def elf_and_shlibs() -> bytes:
    """3000 libraries, each looked for in 20 MiB of shlibs."""
    data = packed(
        [
            *(head(f"./{folder}/", kind=b"5") for folder in (".", "usr", "usr/lib")),
            *(
                member(f"./usr/lib/libx{n}.so.1", debs.elf(soname=f"libx{n}.so.1"))
                for n in range(20_000)
            ),
            bytes(1024),
        ],
        1,
    )
    return deb(data, files={"shlibs": b"liba 1 b\n" * (20 * _MIB // 9)})


# Kernels and what boots


def bzimage(version: bytes, at: int = 0x3000) -> bytes:
    """The head of an x86 kernel; `at` is where its version is, less 0x200."""
    raw = bytearray(32_768)
    raw[0:2] = b"MZ"
    raw[0x3C:0x40] = struct.pack("<I", 0x40)
    raw[0x40:0x44] = b"PE\0\0"
    raw[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", raw, 0x20E, at)
    raw[0x200 + at : 0x200 + at + len(version)] = version
    return bytes(raw[:32_768])


one(
    "kernel-version-without-end",
    "./boot/vmlinuz-1",
    lambda: bzimage(b"1.0 (" + b"a" * 20_000 + b"@b)"),
)
one("kernel-version-past-its-end", "./boot/vmlinuz-1", lambda: bzimage(b"x", 0xFFFF)[:600])
one("kernel-version-of-regex-traps", "./boot/vmlinuz-1", lambda: bzimage(b"(a@" * 85))
one(
    "kernel-version-with-escapes",
    "./boot/vmlinuz-1",
    lambda: bzimage(b"1 (\x1b[2J@\x85\xff) \x9b2J"),
)
one(
    "pe-header-that-lies",
    "./boot/efi.exe",
    lambda: b"MZ" + b"\xff" * 62 + b"PE\0\0" + b"\xff" * 4000,
)
one(
    "pe-with-a-table-of-65535-sections",
    "./usr/lib/systemd/boot/efi/x.efi",
    lambda: bzimage(b"1")[:0x44] + b"\x64\x86\xff\xff" + bytes(3 * _MIB),
)
one("config-of-one-option", "./boot/config-1", lambda: b"CONFIG_" + b"A" * (4 * _MIB) + b"=y\n")
one("config-of-options", "./boot/config-1", lambda: numbered(b"CONFIG_X%d=y\n", 4 * _MIB))
one("config-of-one-value", "./boot/config-1", lambda: b"CONFIG_X=" + b"y" * (40 * _MIB))
one(
    "config-not-ascii",
    "./boot/config-1",
    lambda: "CONFIG_\u0661\U0001f600=\U0001f600\n".encode() * 200_000,
)
one("config-of-line-breaks", "./boot/config-1", lambda: b"\n" * (40 * _MIB))
many(
    "configs-of-4-mib",
    lambda: (member(f"./boot/config-{n}", b"CONFIG_X=y\n" * (4 * _MIB // 11)) for n in range(40)),
)
many(
    "configs-of-wide-letters",
    lambda: (
        member(f"./boot/config-{n}", b"\xf0\x9f\x98\x80" + b"CONFIG_X=y\n" * (4 * _MIB // 11))
        for n in range(40)
    ),
)
many(
    "kernels-and-modules",
    lambda: (
        raw
        for n in range(20_000)
        for raw in (
            member(f"./boot/vmlinuz-{n}", b"x"),
            member(f"./lib/modules/{n}/x.ko", b"x"),
            member(f"./boot/config-{n}", b"CONFIG_A=y\n"),
        )
    ),
)
many(
    "kernel-links",
    lambda: (head(f"./boot/xen-{n}.gz", kind=b"2", link=f"xen-{n + 1}.gz") for n in range(100_000)),
)

# Units and init scripts

one("unit-of-installs", f"{_UNITS}/x.service", lambda: b"[Install]\n" * 400_000)
one("unit-of-line-breaks", f"{_UNITS}/x.service", lambda: b"[Install]\n" + b"\n" * (4 * _MIB - 20))
one(
    "unit-of-installs-and-breaks",
    f"{_UNITS}/x.service",
    lambda: (b"[Install]\n" + b"\n" * 2000) * 2000,
)
one(
    "unit-of-spaces",
    f"{_UNITS}/x.service",
    lambda: b"[Install]\n" + b"WantedBy" + b" " * (4 * _MIB) + b"x",
)
one("unit-not-utf-8", f"{_UNITS}/x.service", lambda: b"\xff" * (4 * _MIB))
many(
    "units-of-wide-letters",
    lambda: (
        member(f"{_UNITS}/x{n}.service", b"\xf0\x9f\x98\x80" + b"[Service]\n" * 400_000)
        for n in range(40)
    ),
)
many(
    "units-to-be-installed",
    lambda: (member(f"{_UNITS}/x{n}.service", b"[Install]\nWantedBy=a\n") for n in range(90_000)),
)
many(
    "units-and-links",
    lambda: (
        raw
        for n in range(60_000)
        for raw in (
            member(f"{_UNITS}/x{n}.service", b"[Install]\nWantedBy=a\n"),
            head(f"./etc/y{n}.wants/x", kind=b"2", link="x"),
        )
    ),
)
many(
    "units-of-50-mib",
    lambda: (
        member(f"{_UNITS}/x{n}.service", b"[Service]\nExecStart=/x\n" * (50 * _MIB // 24))
        for n in range(8)
    ),
)
many(
    "units-with-odd-names",
    lambda: (
        member(f"{_UNITS}/{name}.service", b"[Install]\nWantedBy=a\n")
        for name in ("a@", "$(id)", "'x", "a b", "-rf", "\x1b[2J", "x\\x2dy", "é")
    ),
)
one(
    "init-script-of-comments",
    "./etc/init.d/x",
    lambda: b"#!/bin/sh\n### BEGIN INIT INFO\n" + b"#\n" * (2 * _MIB),
    mode=0o755,
)
one(
    "init-script-of-a-comment-and-breaks",
    "./etc/init.d/x",
    lambda: b"#!/bin/sh\n### BEGIN INIT INFO\n" + (b"#" + b"\n" * 2000) * 2000,
    mode=0o755,
)
one(
    "init-script-of-bars",
    "./etc/init.d/x",
    lambda: b"#!/bin/sh\n### BEGIN INIT INFO\n" + b"|" * (4 * _MIB),
    mode=0o755,
)
one(
    "init-script-of-guards",
    "./etc/init.d/x",
    lambda: b"#!/bin/sh\n" + b"test -x " * (6 * _MIB),
    mode=0o755,
)
many(
    "init-scripts",
    lambda: (
        member(f"./etc/init.d/x{n}", b"#!/bin/sh\n### BEGIN INIT INFO\n", mode=0o755)
        for n in range(60_000)
    ),
)

# Documents

many(
    "documents-of-8-mib",
    lambda: (member(f"{_DOC}/x{n}.txt", b"text\n" * (8 * _MIB // 5)) for n in range(30)),
)
many(
    "documents-compressed-with-a-time",
    lambda: (
        member(f"{_DOC}/x{n}.gz", b"\x1f\x8b\x08\0\1\1\1\1" + bytes(15 * _MIB)) for n in range(20)
    ),
)
many(
    "documents-that-are-slow-to-compress",
    lambda: (member(f"{_DOC}/x{n}.txt", (b"a" * 257 + b"b") * (8 * _MIB // 258)) for n in range(8)),
)
many(
    "documents-and-links",
    lambda: (
        raw
        for n in range(60_000)
        for raw in (
            member(f"./usr/share/man/man1/x{n}.1", b"x"),
            head(f"./usr/share/man/man1/y{n}.1", kind=b"2", link=f"x{n}.1"),
        )
    ),
)
many(
    "documents-and-hard-links",
    lambda: (
        raw
        for n in range(60_000)
        for raw in (
            member(f"./usr/share/man/man1/x{n}.1", b"x"),
            head(f"./usr/share/man/man1/y{n}.1", kind=b"1", link=f"./usr/share/man/man1/x{n}.1"),
        )
    ),
)
many(
    "documents-that-are-there-compressed",
    lambda: (
        raw for name in ("x.1", "x.1.gz") for raw in (member(f"./usr/share/man/man1/{name}", b"x"),)
    ),
)
one(
    "document-in-gzip-in-gzip",
    f"{_DOC}/changelog.Debian.gz",
    lambda: gzip.compress(packed([packed([bytes(_MIB)] * 200)]), mtime=0),
)
one(
    "changelog-of-one-line",
    f"{_DOC}/changelog.gz",
    lambda: packed([b"sample (1) x; urgency=low\n\n -- a <a@b>  " + b"x" * (15 * _MIB)]),
)
one(
    "changelog-of-digits",
    f"{_DOC}/changelog.gz",
    lambda: packed(
        [
            b"sample (1) x; urgency=low\n\n -- a <a@b.c>  Mon, "
            + b"1" * 5000
            + b" Jan 2024 00:00:00 +"
            + b"9" * 5000
            + b"\n"
        ]
    ),
)
one(
    "changelog-of-the-year-99999",
    f"{_DOC}/changelog.gz",
    lambda: packed(
        [b"sample (1) x; urgency=low\n\n -- a <a@b.c>  Mon, 01 Jan 99999 00:00:00 +0000\n"]
    ),
)
one(
    "changelog-of-trailers",
    f"{_DOC}/changelog.gz",
    lambda: packed([b"sample (1) x\n" + b" -- " * (4 * _MIB - 10)]),
)
one(
    "changelog-cut",
    f"{_DOC}/changelog.Debian.gz",
    lambda: gzip.compress(b"sample (1) x\n" * 1000, mtime=0)[:-20],
)
one(
    "changelog-not-utf-8",
    f"{_DOC}/changelog.Debian.gz",
    lambda: packed([b"sample (1) \xff\x85\x9b; \xfe\n\n -- \xff <\xff@\xff>  \xff\n"]),
)
one(
    "changelog-with-a-name-without-end",
    f"{_DOC}/changelog.gz",
    lambda: b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * (20 * _MIB),
)
one(
    "copyright-of-40-mib",
    f"{_DOC}/copyright",
    lambda: b"GNU GENERAL PUBLIC LICENSE Version 2, June 1991 " * 900_000,
)
one(
    "override-of-60-mib", "./usr/share/lintian/overrides/sample", lambda: b"sample: x\n" * 6_000_000
)
one("tmpfiles-of-60-mib", "./usr/lib/tmpfiles.d/sample.conf", lambda: b"d /run/x\n" * 6_000_000)
case("files", "documents-elsewhere", "documents-elsewhere")(
    lambda: deb(packed([debs.tar(debs.with_folders([debs.symlink(f"{_DOC}", "../../../../etc")]))]))
)

# Other files that are looked into

many(
    "python-extension-of-5000-digits",
    lambda: [member("./usr/lib/python3/dist-packages/x.cpython-3" + "1" * 4500 + "-x.so", _SOUND)],
)
many(
    "python-of-arabic-digits",
    lambda: [
        member("./usr/lib/python3.\u0661/dist-packages/x.cpython-3\u0661\u0661-x.so", _SOUND),
        member("./usr/lib/python3.\u0661/dist-packages/y.py", b""),
    ],
)
many(
    "python-versions",
    lambda: (
        member(f"./usr/lib/python3.{n}/site-packages/x.cpython-3{n}-x.so", b"x")
        for n in range(60_000)
    ),
)
many(
    "python-caches",
    lambda: (
        member(f"./usr/lib/python3/dist-packages/f{n}/__pycache__/x.pyc", b"x")
        for n in range(60_000)
    ),
)
many(
    "python-to-one-place",
    lambda: (member(f"./usr/lib/python3.{n}/dist-packages/x.py", b"x") for n in range(2, 400)),
)
one("paths-of-a-builder", "./usr/lib/x.la", lambda: numbered(b"/home/a/b%d/c\n", 30 * _MIB))
one("paths-that-nearly-match", "./usr/lib/x.pc", lambda: b"/home/" * (8 * _MIB))
one("paths-without-end", "./usr/lib/x.pc", lambda: b"/home/a/b" + b"/" + b"c" * (40 * _MIB))
one(
    "paths-of-many-parts",
    "./usr/lib/x.cmake",
    lambda: (b"/build/ab" + b"/cd" * 2000 + b"\n") * 5000,
)
one("archive-of-objects", "./usr/lib/libx.a", lambda: b"!<arch>\n" + b"/home/a/b/c " * (4 * _MIB))
many(
    "programs-of-scripts",
    lambda: (
        member(f"./usr/bin/x{n}", b"#!/usr/bin/python3." + b"1" * 400 + b"\n", mode=0o755)
        for n in range(60_000)
    ),
)
many(
    "programs-of-odd-interpreters",
    lambda: (
        member(f"./usr/bin/x{n}", b"#!" + noise(12) + b"\xff\x85\x1b[2J /%d -S\r\n" % n, mode=0o755)
        for n in range(30_000)
    ),
)
many("folders-in-run", lambda: (head(f"./run/x{n}/", kind=b"5") for n in range(90_000)))
many(
    "names-in-run-with-escapes",
    lambda: (
        head(name, kind=kind)
        for name, kind in (
            ("./run/a\x1b[2J/", b"5"),
            ("./run/b c/", b"5"),
            ("./run/%n/", b"5"),
            ("./var/run/x\x85", b"0"),
        )
    ),
)
many(
    "files-of-base",
    lambda: (
        member(f"./{folder}", b"x")
        for folder in ("bin", "lib", "etc", "boot", "var", "usr/bin", "usr/lib64")
    ),
)
many(
    "setuid-scripts",
    lambda: (member(f"./usr/bin/x{n}", b"#!/bin/sh\n", mode=0o6777) for n in range(60_000)),
)
many("devices", lambda: (head(f"./dev/x{n}", kind=b"34"[n % 2 : n % 2 + 1]) for n in range(60_000)))
many(
    "files-that-were-left",
    lambda: (member(f"./usr/share/f{n}/.git/x~", b"x") for n in range(60_000)),
)
one("file-of-600-mib", "./usr/share/x", lambda: bytes(600 * _MIB))


@case("files")
def conffiles_that_are_links() -> bytes:
    """45 000 conffiles, and each is a hard link to the one before."""
    members = [
        *(head(f"./{folder}/", kind=b"5") for folder in (".", "etc")),
        member("./etc/0", b"x"),
        *(head(f"./etc/{n}", kind=b"1", link=f"./etc/{n - 1}") for n in range(1, 45_000)),
        bytes(1024),
    ]
    return deb(
        packed(members, 1), files={"conffiles": b"".join(b"/etc/%d\n" % n for n in range(45_000))}
    )


@case("files")
def sums_that_are_wrong() -> bytes:
    """150 000 files, and as many sums of others."""
    members = [
        *(head(f"./{folder}/", kind=b"5") for folder in (".", "usr")),
        *(head(f"./usr/{n:06d}") for n in range(150_000)),
        bytes(1024),
    ]
    return deb(
        packed(members, 1),
        files={"md5sums": b"".join(b"%032x  usr/%06d\n" % (n, n) for n in range(150_000))},
    )


# Pairs: what an upgrade from the one to the other changes


def pair(kind: str, make: Callable[[str], bytes]) -> None:
    """A kind of two packages; `make` is told which: "a" or "b"."""

    def both() -> Pair:
        return make("a"), make("b")

    case("pairs", kind, kind)(both)


def _members(which: str, form: str, count: int, kinds: str = "00", **odd: int) -> Iterator[bytes]:
    kind = kinds["ab".index(which)].encode()
    return (head(form.format(n=n, which=which), kind=kind, link="x", **odd) for n in range(count))


def _files(**files: bytes) -> bytes:
    return deb(files=files)


def _tree(members: Iterable[bytes], **files: bytes) -> bytes:
    start = [head(f"./{f}/", kind=b"5") for f in (".", "usr", "usr/lib", "usr/share", "usr/bin")]
    return deb(packed([*start, *members, bytes(1024)], 1), files=files)


_HELPED = b"#!/bin/sh\n" + b"dpkg-maintscript-helper symlink_to_dir /a\n" * 400_000
pair("pair-of-other-files", lambda it: _tree(_members(it, "./usr/{which}{n:06d}", 180_000)))
pair(
    "pair-of-other-modes",
    lambda it: _tree(_members(it, "./usr/{n:06d}", 180_000, mode=0o644 + "ab".index(it))),
)
pair(
    "pair-of-links-that-become-folders",
    lambda it: _tree(_members(it, "./usr/{n:06d}", 60_000, "25"), postinst=_HELPED),
)
pair(
    "pair-of-files-that-moved",
    lambda it: _tree(member(f"./usr/{it}{n}", b"%d" % n) for n in range(60_000)),
)
pair(
    "pair-of-conffiles",
    lambda it: _files(
        conffiles=b"".join(b"/etc/%s%d\n" % (it.encode(), n) for n in range(80_000)),
        postinst=b"#!/bin/sh\n" + b"rm_conffile /a\n" * 1_000_000,
    ),
)
pair(
    "pair-of-libraries",
    lambda it: _tree(
        (
            member(f"./usr/lib/lib{it}{n}.so.1", debs.elf(soname=f"lib{it}{n}.so.1"))
            for n in range(12_000)
        ),
        symbols=b"liba.so.1 a\n" * 1_600_000,
    ),
)
pair(
    "pair-of-needs",
    lambda it: _tree(
        member(f"./usr/lib/x{n}", debs.elf([f"lib{it}{n}x{k}.so.1" for k in range(20)]))
        for n in range(2500)
    ),
)
pair(
    "pair-of-relations",
    lambda it: deb(fields={"Depends": ", ".join(f"{it}{n}" for n in range(90_000))}),
)
pair(
    "pair-of-relations-of-one-name",
    lambda it: deb(fields={"Depends": ", ".join(f"a (>= {n}{it})" for n in range(60_000))}),
)
pair(
    "pair-of-relations-and-needs",
    lambda it: deb(
        packed(
            [
                head("./", kind=b"5"),
                *(
                    member(f"./usr/x{n}", debs.elf([f"libneed{n}x{k}.so.{k}" for k in range(20)]))
                    for n in range(500)
                ),
                bytes(1024),
            ]
        ),
        fields={"Depends": ", ".join(f"libq{it}{n}" for n in range(20_000))},
    ),
)
pair(
    "pair-of-libraries-that-nothing-brings",
    lambda it: deb(
        packed(
            [
                head("./", kind=b"5"),
                *(
                    member(
                        f"./usr/x{n}",
                        debs.elf([f"libneeded{n}x{k}.so.1" for k in range(20)]),
                    )
                    for n in range(300)
                ),
                bytes(1024),
            ]
        ),
        fields={
            "Depends": ", ".join(
                [
                    *(f"libneeded{n}" for n in range(20_000) if it == "a"),
                    *(f"q{it}{n}" for n in range(60_000)),
                ]
            )
        },
    ),
)
pair("pair-of-fields", lambda it: deb(fields={f"X-{it}{n}": it for n in range(60_000)}))
pair(
    "pair-of-versions",
    lambda it: deb(fields={"Version": "1" * 4200 + "." * (it == "b") + "1" * 100_000}),
)
pair("pair-of-epochs", lambda it: deb(fields={"Version": "9" * (5000 + (it == "b")) + ":1"}))
pair(
    "pair-of-texts",
    lambda it: deb(
        fields={"Description": "x\n" + "".join(f" {it}{n % 97}\n" for n in range(150_000)) + " x"}
    ),
)
pair(
    "pair-of-scripts",
    lambda it: _files(
        postinst=b"#!/bin/sh\n"
        + b"".join(b"%d\n" % (n * n % 97 + (it == "b") * (n % 2)) for n in range(3900)),
    ),
)
pair(
    "pair-of-many-files-of-control",
    lambda it: _files(
        **{
            f"f{k}": b"".join(b"%d\n" % (n * n % 97 + (it == "b") * (n % 2)) for n in range(3900))
            for k in range(1500)
        },
    ),
)
pair(
    "pair-of-kernel-options",
    lambda it: _tree(
        [
            member(
                "./boot/config-1",
                b"".join(b"CONFIG_X%d=%s\n" % (n, it.encode()) for n in range(200_000)),
            )
        ]
    ),
)
pair(
    "pair-of-kernels",
    lambda it: _tree(
        member(
            f"./boot/config-{n}",
            b"".join(b"CONFIG_X%d=%s\n" % (k, it.encode()) for k in range(60_000)),
        )
        for n in range(30)
    ),
)
pair(
    "pair-of-owners",
    lambda it: _tree(
        head(f"./usr/{n:06d}").replace(b"root", b"roo" + it.encode()) for n in range(3)
    ),
)
pair(
    "pair-of-links",
    lambda it: _tree(head(f"./usr/{n:06d}", kind=b"2", link=it * 90) for n in range(150_000)),
)
pair(
    "pair-of-kinds",
    lambda it: _tree(
        head(f"./usr/{n:06d}", kind=(b"0" if it == "a" else b"3456"[n % 4 : n % 4 + 1]))
        for n in range(100_000)
    ),
)
pair("pair-of-commands", lambda it: _tree(_members(it, "./usr/bin/{which}{n:06d}", 100_000)))
pair(
    "pair-without-the-folders", lambda it: _tree(head(f"./usr/{it}{n}/x/y") for n in range(60_000))
)


@case("pairs")
def pair_of_a_sound_one_and_noise() -> Pair:
    return deb(), noise(4_900_000)


@case("pairs")
def pair_of_two_bombs() -> Pair:
    """2 GiB of zeros on each side."""
    start = head("./", kind=b"5") + head("./usr/x", 900 * _MIB)
    whole = deb(packed([start, *[bytes(_MIB)] * 900, bytes(1024)]))
    return whole, whole
