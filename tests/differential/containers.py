# SPDX-License-Identifier: GPL-2.0-or-later
# ruff: noqa: E501  # tables of values
"""Odd containers: ar, compression and tar in every form, around a package that is sound.

`containers(start, count)` is the same list on every box: an enumeration, one fault each, and then
two of them at once, drawn from the number of the package alone.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import random
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import zstandard

from tests.differential.odd import sound

_WHEN = 1_700_000_000
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)


Pack = Callable[[bytes], bytes]


def header(
    name: bytes,
    kind: bytes = b"0",
    size: int | bytes = 0,
    link: bytes = b"",
    *,
    mode: bytes = b"0000644\0",
    uid: bytes = b"0000000\0",
    gid: bytes = b"0000000\0",
    mtime: bytes = b"14524760400\0",
    magic: bytes = b"ustar  \0",
    owner: bytes = b"root",
    group: bytes = b"root",
    device: bytes = bytes(16),
    prefix: bytes = b"",
    total: bytes | None = None,
) -> bytes:
    """One block of a tar archive; total is its check sum as it stands there."""
    length = size if isinstance(size, bytes) else b"%011o\0" % size
    block = name[:100].ljust(100, b"\0") + mode + uid + gid + length + mtime
    block += b" " * 8 + kind + link[:100].ljust(100, b"\0") + magic
    block += owner.ljust(32, b"\0") + group.ljust(32, b"\0") + device + prefix.ljust(155, b"\0")
    block = block.ljust(_BLOCK, b"\0")
    checked = b"%06o\0 " % sum(block) if total is None else total
    return block[:148] + checked + block[156:]


def member(name: bytes, content: bytes = b"", kind: bytes = b"0", **words: bytes) -> bytes:
    """A header with content behind it."""
    block = header(name, kind, len(content), **words)
    return block + content + bytes(-len(content) % _BLOCK)


def folder(name: bytes, **words: bytes) -> bytes:
    """A folder; its mode is 0755 unless the words say another."""
    return member(name, b"", b"5", **{"mode": b"0000755\0", **words})


def link(name: bytes, target: bytes, kind: bytes = b"2", **words: bytes) -> bytes:
    """A symbolic link, or of kind 1 a hard one."""
    return member(name, b"", kind, **{"mode": b"0000777\0", "link": target, **words})


def long(name: bytes, kind: bytes = b"L", end: bytes = b"\0") -> bytes:
    """The name (L) or the link (K) of what follows, in the way of GNU tar."""
    return member(b"././@LongLink", name + end, kind)


@dataclass(frozen=True, eq=False)
class Container:
    """A package whose parts are put together byte by byte.

    version: the content of debian-binary. control, data: members of the two tar archives.
    pack_control, pack_data: how these are compressed, and under which suffix.
    ar: changes the whole file. late: goes after the end of data.tar.
    """

    name: str
    label: str = "sound"
    version: bytes = b"2.0\n"
    control: tuple[bytes, ...] = ()
    data: tuple[bytes, ...] = ()
    end_control: bytes = _END
    end_data: bytes = _END
    pack_control: tuple[str, Pack] = ("", bytes)
    pack_data: tuple[str, Pack] = ("", bytes)
    members: Callable[[list[bytes]], list[bytes]] = list
    whole: Callable[[bytes], bytes] = bytes
    files: dict[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """The package as a file of that folder."""
        suffix, pack = self.pack_control
        control = ar_member(f"control.tar{suffix}", pack(b"".join(self.control) + self.end_control))
        suffix, pack = self.pack_data
        data = ar_member(f"data.tar{suffix}", pack(b"".join(self.data) + self.end_data))
        parts = self.members([ar_member("debian-binary", self.version), control, data])
        path = folder / f"{self.name}.deb"
        path.write_bytes(self.whole(b"!<arch>\n" + b"".join(parts)))
        return path


def ar_member(
    name: str, content: bytes, size: bytes | None = None, *, end: bytes = b"`\n", pad: bytes = b"\n"
) -> bytes:
    """A member of the ar archive."""
    length = b"%-10d" % len(content) if size is None else size
    head = f"{name:<16}{_WHEN:<12}{0:<6}{0:<6}{100644:<8}".encode() + length + end
    return head + content + (pad if len(content) % 2 else b"")


def plain(name: str, label: str = "sound") -> Container:
    """A package that all take."""
    fields = "".join(f"{key}: {value}\n" for key, value in sound(name).items())
    own = f"usr/share/{name}".encode()
    doc = f"usr/share/doc/{name}".encode()
    texts = {
        own + b"/data.txt": b"hello\n",
        doc + b"/copyright": b"Copyright 2024 Some One. Public domain.\n",
        doc + b"/changelog.gz": gzip.compress(b"x\n", 9, mtime=0),
    }
    sums = b"".join(
        hashlib.md5(text, usedforsecurity=False).hexdigest().encode() + b"  " + path + b"\n"
        for path, text in texts.items()
    )
    folders = (b"./", b"./usr/", b"./usr/share/", b"./%s/" % own, b"./usr/share/doc/", b"./%s/" % doc)  # fmt: skip
    return Container(
        name,
        label,
        control=(folder(b"./"), member(b"./control", fields.encode()), member(b"./md5sums", sums)),
        data=(
            *map(folder, folders),
            *(member(b"./" + path, text) for path, text in texts.items()),
        ),
    )


Fault = Callable[[Container], Container]


def _with(**changes: Any) -> Fault:
    return lambda one: replace(one, **changes)


def _data(*parts: bytes, first: bool = False) -> Fault:
    """More members of data.tar; @ in them is the package's own folder, of as many bytes."""

    def change(one: Container) -> Container:
        own = tuple(_own(one, part) for part in parts)
        return replace(one, data=own + one.data if first else one.data + own)

    return change


def _own(one: Container, part: bytes) -> bytes:
    """The headers with @ replaced, and their check sums made anew."""
    changed, at = [], 0
    while at < len(part):
        block = part[at : at + _BLOCK]
        size_text = block[124:136].strip(b"\0 ")
        plain_size = bool(size_text) and not size_text.strip(b"01234567")
        size = int(size_text, 8) if plain_size else 0
        content = part[at + _BLOCK : at + _BLOCK + size + -size % _BLOCK]
        name = block[:100].rstrip(b"\0").replace(b"@", b"usr/share/" + one.name.encode())
        target = block[157:257].rstrip(b"\0").replace(b"@", b"usr/share/" + one.name.encode())
        good = block[148:156] == b"%06o\0 " % sum(block[:148] + b" " * 8 + block[156:])
        new = name[:100].ljust(100, b"\0") + block[100:157] + target[:100].ljust(100, b"\0")
        new += block[257:]
        if good:
            new = new[:148] + b"%06o\0 " % sum(new[:148] + b" " * 8 + new[156:]) + new[156:]
        if block[156:157] in (b"L", b"K"):
            text = content[:size].replace(b"@", b"usr/share/" + one.name.encode())
            size = len(text)
            new = new[:124] + b"%011o\0" % size + new[136:]
            new = new[:148] + b"%06o\0 " % sum(new[:148] + b" " * 8 + new[156:]) + new[156:]
            changed.append(new + text + bytes(-size % _BLOCK))
        else:
            changed.append(new + content)
        at += _BLOCK + len(content)
    return b"".join(changed)


def _control(*parts: bytes, first: bool = False) -> Fault:
    def change(one: Container) -> Container:
        return replace(one, control=parts + one.control if first else one.control + parts)

    return change


def _without(*names: bytes) -> Fault:
    """Without these members of data.tar."""

    def change(one: Container) -> Container:
        gone = {name.replace(b"@", b"usr/share/" + one.name.encode()) for name in names}
        return replace(one, data=tuple(m for m in one.data if m[:100].rstrip(b"\0") not in gone))

    return change


def _named(change: Callable[[bytes], bytes]) -> Fault:
    """Every member of data.tar under another name."""

    def all_of(one: Container) -> Container:
        renamed = []
        for part in one.data:
            block = change(part[:100].rstrip(b"\0"))[:100].ljust(100, b"\0") + part[100:_BLOCK]
            total = b"%06o\0 " % sum(block[:148] + b" " * 8 + block[156:])
            renamed.append(block[:148] + total + block[156:] + part[_BLOCK:])
        return replace(one, data=tuple(renamed))

    return all_of


def _both(*faults: Fault) -> Fault:
    def change(one: Container) -> Container:
        for fault in faults:
            one = fault(one)
        return one

    return change


def _ar() -> Iterator[tuple[str, Fault]]:
    for version in (
        b"2.0\n", b"2.1\n", b"2.99\n", b"2.0", b"2\n", b"2.\n", b"3.0\n", b"1.0\n", b"2.0\nmore\n", b"2.0 \n", b" 2.0\n", b"02.0\n", b"2.00\n", b"2.0.1\n", b"2.0a\n", b"2.a\n",
        b"\n", b"", b"2.0\r\n", b"+2.0\n", b"2.+1\n", b"2.-1\n", b"-2.0\n", b"2.0\0\n", b"2,0\n", b"x\n", b"2.999999999999\n", b"2.0\n\n", b"2.0" + b"x" * 300 + b"\n",
    ):  # fmt: skip
        yield f"version {version[:30]!r}", _with(version=version)
    for magic in (
        b"!<arch>\n",
        b"!<arch>",
        b"!<thin>\n",
        b"",
        b"!<arch>\r",
        b"<arch>\n",
        b"\n!<arch>\n",
    ):
        yield f"magic {magic!r}", _with(whole=lambda b, m=magic: m + b[8:])
    for cut in (
        0,
        1,
        4,
        8,
        20,
        67,
        68,
        72,
        73,
        100,
        132,
        133,
        -1,
        -2,
        -512,
        -1024,
        -1025,
        -1536,
        -2048,
    ):
        yield f"cut at {cut}", _with(whole=lambda b, c=cut: b[:c])
    for tail in (b"\n", b"x", b"\n\n", b"\0", b" " * 59, b" " * 60, b"x" * 61, ar_member("foo", b"x"), ar_member("_foo", b"x"), ar_member("data.tar", b"x"), ar_member("foo", b"xx", b"-2        "), ar_member("foo", b"xx", b"99        "), ar_member("foo", b"", end=b"xx"), ar_member("", b"x"), ar_member("foo", b"x", pad=b"")):  # fmt: skip
        yield f"tail {tail[:20]!r} of {len(tail)}", _with(whole=lambda b, t=tail: b + t)  # fmt: skip
    for at in (0, 1, 2, 3):
        for name in ("foo", "_foo", "_gpgorigin", "debian-binary", "control.tar", "control.tar.gz", "data.tar", "data.tar.xz", "_control.tar", "/", "//", "", "a b", "foo/", "-", "~"):  # fmt: skip

            def insert(parts: list[bytes], at: int = at, name: str = name) -> list[bytes]:
                return [*parts[:at], ar_member(name, b"xy"), *parts[at:]]

            yield f"member {name!r} at {at}", _with(members=insert)
    for suffix, pack in (("", bytes), *((each, PACKS[each]) for each in (".gz", ".xz", ".zst"))):  # fmt: skip
        for late in ("", ".zst", ".lz4", ".gz", ".xz", ".bz2", ".lzma"):

            def add(parts: list[bytes], late: str = late) -> list[bytes]:
                return [*parts, ar_member(f"control.tar{late}", b"junk")]

            yield f"control{suffix} and a late control.tar{late}", _with(pack_control=(suffix, pack), members=add)  # fmt: skip
    for which, name in ((0, "debian-binary"), (1, "control.tar"), (2, "data.tar")):
        for new in (f"{name}/", f"{name} ", f" {name}", name.upper(), f"{name}x", f"/{name}", f"_{name}", name[:-1], f"{name}//", f"{name}/x", f"./{name}"):  # fmt: skip

            def rename(parts: list[bytes], which: int = which, new: str = new) -> list[bytes]:
                parts = list(parts)
                parts[which] = new.encode().ljust(16)[:16] + parts[which][16:]
                return parts

            yield f"{name} called {new!r}", _with(members=rename)
        for at, text in ((16, b"x" * 12), (16, b" " * 12), (16, b"-1          "), (28, b"xxxxxx"), (34, b"      "), (40, b"zzzzzzzz"), (58, b"`\r"), (58, b"\n\n"), (58, b" \n"), (0, b"\0" * 16)):  # fmt: skip

            def change(parts: list[bytes], which: int = which, at: int = at, text: bytes = text) -> list[bytes]:  # fmt: skip
                parts = list(parts)
                parts[which] = parts[which][:at] + text + parts[which][at + len(text) :]
                return parts

            yield f"{name}: {text!r} at {at} of its header", _with(members=change)  # fmt: skip
        for form in ("{:<10}", "{:>10}", "+{:<9}", "-{:<9}", "0x{:<8x}", "{}\0\0\0\0\0\0\0\0\0\0", "{}x         ", "{} x        ", "{}\t        ", "\t{:<9}", "          ", "{:<9}\0", "99999999999"):  # fmt: skip

            def size(parts: list[bytes], which: int = which, form: str = form) -> list[bytes]:
                parts = list(parts)
                have = int(parts[which][48:58])
                text = form.format(have).encode()[:10].ljust(10)
                parts[which] = parts[which][:48] + text + parts[which][58:]
                return parts

            yield f"{name}: size as {form!r}", _with(members=size)
    yield "odd version padded by x", _with(version=b"2.10\n", members=lambda p: [p[0][:-1] + b"x", *p[1:]])  # fmt: skip
    yield "odd version", _with(version=b"2.10\n")
    yield "odd version without padding", _with(version=b"2.10\n", members=lambda p: [p[0][:-1], *p[1:]])  # fmt: skip
    for order in ((0, 2, 1), (1, 0, 2), (2, 1, 0), (0, 1), (0, 2), (1, 2), (0,), (), (0, 0, 1, 2), (0, 1, 1, 2), (0, 1, 2, 2), (0, 1, 2, 1), (0, 1, 2, 0), (0, 2, 1, 2)):  # fmt: skip
        yield f"order {order}", _with(members=lambda p, o=order: [p[i] for i in o])  # fmt: skip


def _lzma_alone(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_ALONE)


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACKS: dict[str, Pack] = {
    ".gz": lambda data: gzip.compress(data, 9, mtime=0),
    ".bz2": bz2.compress,
    ".lzma": _lzma_alone,
    ".xz": lzma.compress,
    ".zst": _zstd,
}


_SKIPPED = b"\x50\x2a\x4d\x18" + (8).to_bytes(4, "little") + b"x" * 8  # a frame of no data


def _forms(pack: Pack) -> dict[str, Pack]:
    """Ways to write a compressed archive, and wrong ones."""
    return {
        "whole": pack,
        "of another name": pack,
        "twice the same": lambda b: pack(b) + pack(b),
        "in two streams": lambda b: pack(b[:700]) + pack(b[700:]),
        "in two streams at a block": lambda b: pack(b[:1024]) + pack(b[1024:]),
        "in three streams": lambda b: pack(b[:100]) + pack(b[100:2000]) + pack(b[2000:]),
        "an empty stream before": lambda b: pack(b"") + pack(b),
        "an empty stream behind": lambda b: pack(b) + pack(b""),
        "the end mark in a stream of its own": lambda b: pack(b[:-1024]) + pack(b[-1024:]),
        "junk in a second stream": lambda b: pack(b) + pack(b"junk" * 300),
        "zeros behind": lambda b: pack(b) + bytes(512),
        "three zeros behind": lambda b: pack(b) + bytes(3),
        "a line break behind": lambda b: pack(b) + b"\n",
        "junk behind": lambda b: pack(b) + b"junk" * 30,
        "zeros before": lambda b: bytes(4) + pack(b),
        "cut by a byte": lambda b: pack(b)[:-1],
        "cut by eight bytes": lambda b: pack(b)[:-8],
        "cut by thirty bytes": lambda b: pack(b)[:-30],
        "cut in half": lambda b: pack(b)[: len(pack(b)) // 2],
        "head only": lambda b: pack(b)[:6],
        "of nothing": lambda _: pack(b""),
        "nothing": lambda _: b"",
        "damaged in the middle": lambda b: _flipped(pack(b), 0.5),
        "damaged at the end": lambda b: _flipped(pack(b), 0.99),
        "damaged at the head": lambda b: _flipped(pack(b), 0.0),
        "not compressed": bytes,
    }  # fmt: skip


def _compressions() -> Iterator[tuple[str, Fault]]:
    for where in ("control", "data"):
        for suffix, pack in PACKS.items():
            for label, form in _forms(pack).items():
                if suffix == ".zst" and label in ("head only", "nothing"):
                    continue  # dpkg-deb 1.21 waits for ever
                name = ".xz" if label == "of another name" and suffix != ".xz" else suffix
                yield f"{where}{suffix} {label}", _packed(where, name, form)
        for suffix in (".Z", ".lz", ".lz4", ".gzip", ".GZ", ".x", ".", ".zstd", ".xz.gz"):
            yield f"{where}{suffix} as it is", _packed(where, suffix, bytes)
        for check in (lzma.CHECK_NONE, lzma.CHECK_CRC32, lzma.CHECK_CRC64, lzma.CHECK_SHA256):
            yield f"{where}.xz with check {check}", _packed(where, ".xz", partial(lzma.compress, check=check))  # fmt: skip
        for filters in ([{"id": lzma.FILTER_DELTA, "dist": 4}, {"id": lzma.FILTER_LZMA2, "preset": 1}], [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 1}], [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 27}]):  # fmt: skip
            yield f"{where}.xz with {filters}", _packed(where, ".xz", partial(lzma.compress, filters=filters))  # fmt: skip
        yield f"{where}.zst a skippable frame before", _packed(where, ".zst", lambda b: _SKIPPED + _zstd(b))  # fmt: skip
        yield f"{where}.zst a skippable frame behind", _packed(where, ".zst", lambda b: _zstd(b) + _SKIPPED)  # fmt: skip
        yield f"{where}.zst a skippable frame between", _packed(where, ".zst", lambda b: _zstd(b[:999]) + _SKIPPED + _zstd(b[999:]))  # fmt: skip
        yield f"{where}.zst without a size", _packed(where, ".zst", lambda b: zstandard.ZstdCompressor(write_content_size=False).compress(b))  # fmt: skip
        for window in (20, 27, 28, 30):
            params = zstandard.ZstdCompressionParameters(window_log=window, enable_ldm=True, write_content_size=False)  # fmt: skip
            yield f"{where}.zst with a window of 2**{window}", _packed(where, ".zst", partial(_stream, params=params))  # fmt: skip
        yield f"{where}.gz with a name", _packed(where, ".gz", lambda b: _gzip_flags(b, 8, b"name\0"))  # fmt: skip
        yield f"{where}.gz with extras", _packed(where, ".gz", lambda b: _gzip_flags(b, 4, b"\4\0abcd"))  # fmt: skip
        yield f"{where}.gz with a comment", _packed(where, ".gz", lambda b: _gzip_flags(b, 16, b"hi\0"))  # fmt: skip
        yield f"{where}.gz with a check of its head", _packed(where, ".gz", lambda b: _gzip_flags(b, 2, b"\0\0"))  # fmt: skip
        yield f"{where}.gz with unknown flags", _packed(where, ".gz", lambda b: _gzip_flags(b, 32, b""))  # fmt: skip
        yield f"{where}.gz of method 7", _packed(where, ".gz", lambda b: b"\x1f\x8b\7" + PACKS[".gz"](b)[3:])  # fmt: skip
        yield f"{where}.gz as zlib", _packed(where, ".gz", zlib.compress)
        yield f"{where}.lzma with its size", _packed(where, ".lzma", _lzma_sized)


def _lzma_sized(data: bytes) -> bytes:
    packed = _lzma_alone(data)
    return packed[:5] + len(data).to_bytes(8, "little") + packed[13:]


def _stream(data: bytes, params: zstandard.ZstdCompressionParameters) -> bytes:
    work = zstandard.ZstdCompressor(compression_params=params).compressobj()
    return work.compress(data) + work.flush()


def _gzip_flags(data: bytes, flags: int, extra: bytes) -> bytes:
    packed = PACKS[".gz"](data)
    return packed[:3] + bytes([flags]) + packed[4:10] + extra + packed[10:]


def _flipped(data: bytes, where: float) -> bytes:
    at = min(len(data) - 1, int(len(data) * where))
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


def _packed(where: str, suffix: str, pack: Pack) -> Fault:
    def change(one: Container) -> Container:
        if where == "control":
            return replace(one, pack_control=(suffix, pack))
        return replace(one, pack_data=(suffix, pack))

    return change


def _names() -> Iterator[tuple[str, Fault]]:
    for label, change in (
        ("without ./", lambda n: n[2:] or b"."),
        ("absolute", lambda n: n[1:]),
        ("absolute twice", lambda n: b"/" + n[1:]),
        ("././", lambda n: b"./" + n),
        (".//", lambda n: b"./" + n[1:]),
        ("doubled slashes", lambda n: n.replace(b"/", b"//")),
        ("/./", lambda n: n.replace(b"/", b"/./")),
        ("folders without slash", lambda n: n.rstrip(b"/")),
        ("../", lambda n: b"." + n),
        ("backslashes", lambda n: n.replace(b"/", b"\\")),
        ("a folder before", lambda n: b"x/" + n),
    ):
        yield f"names {label}", _named(change)
    for name in (
        b"./@/a//b", b"./@/./b", b"./@/../b", b"./@/b/", b"./@/b//", b"@/b", b"/@/b", b"//@/b", b"././@/b", b".//@/b", b"../@/b", b"./../@/b", b"./@/..", b"./@/.", b"./@/...", b"./@/..b",
        b"./@/a b", b"./@/a\tb", b"./@/a\nb", b"./@/a\rb", b"./@/\x01", b"./@/\xff", b"./@/\xc3\xa4", b"./@/\xc2\x85", b"./@/\x7f", b"./@/'", b'./@/"', b"./@/\\", b"./@/*", b"./@/-x", b"./@/ ", b"./@/b ", b"./@/~",
        b".", b"./", b"", b"/", b"..", b"./..", b"./.", b"./@/b\0c", b"./@", b"./usr", b"./usr/share", b"./@/data.txt/x", b"./@/b.dpkg-new", b"./@/b.dpkg-tmp", b"./@/data.txt.dpkg-new", b"./@/data.txt.dpkg-tmp",
    ):  # fmt: skip
        if name != b"./":  # a folder by its name, a file by its type: dpkg is at odds with itself
            yield f"file {name!r}", _data(member(name, b"x"))
        yield f"folder {name!r}", _data(folder(name))
        yield f"link {name!r}", _data(link(name, b"data.txt"))
    for count in (90, 99, 100, 101, 200, 255, 256, 300):
        yield f"a name of {count}", _data(long(b"./@/" + b"x" * count), member(b"./@/x", b"x"))
        yield f"a folder's name of {count}", _data(long(b"./@/" + b"x" * count + b"/"), folder(b"./@/x"))  # fmt: skip
        yield f"a link of {count}", _data(long(b"x" * count, b"K"), link(b"./@/l", b"x" * 100))
    for count in (3000, 4000, 4096, 4100, 5000, 20_000, 70_000):  # the judge's root has a name too
        yield f"a path of {count}", _data(long((b"./@" + b"/" * count)[: count - 1] + b"x"), member(b"x", b"x"))  # fmt: skip
        yield f"a link's target of {count}", _data(long(b"x" * count, b"K"), link(b"./@/l", b"x" * 100))  # fmt: skip
    deep = [folder(b"./@" + b"/d" * depth + b"/") for depth in range(1, 30)]
    yield "thirty folders deep", _data(*deep)
    for label, parts in {
        "a long name twice": (long(b"./@/one"), long(b"./@/two"), member(b"x", b"x")),
        "a long link twice": (long(b"one", b"K"), long(b"two", b"K"), link(b"./@/l", b"x")),
        "a long link of a file": (long(b"one", b"K"), member(b"./@/l", b"x")),
        "a long name, a long link": (long(b"./@/one"), long(b"two", b"K"), link(b"x", b"x")),
        "a long link, a long name": (long(b"two", b"K"), long(b"./@/one"), link(b"x", b"x")),
        "a long name of nothing": (long(b""), member(b"./@/x", b"x")),
        "a long name of no byte": (long(b"", end=b""), member(b"./@/x", b"x")),
        "a long link of no byte": (long(b"", b"K", end=b""), link(b"./@/x", b"x")),
        "a long link of no byte for a file": (long(b"", b"K", end=b""), member(b"./@/x", b"x")),
        "a long name with bytes after it": (long(b"./@/one\0two"), member(b"x", b"x")),
        "a long name with a line break": (long(b"./@/one\ntwo"), member(b"x", b"x")),
        "a long name of a file, cut at a slash": (long(b"./@/one"), member(b"./@/", b"x")),
        "a long name of an old file, cut at a slash": (
            long(b"./@/one"),
            member(b"./@/", b"x", b"\0"),
        ),
        "a long name of a folder, cut at no slash": (long(b"./@/one/"), folder(b"./@/o")),
        "a long name at the end": (long(b"./@/one"),),
        "a long link with a line break": (long(b"one\ntwo", b"K"), link(b"./@/l", b"x")),
        "a long link of nothing": (long(b"", b"K"), link(b"./@/l", b"x")),
        "a long name of a hard link": (long(b"./@/one"), link(b"x", b"./@/data.txt", b"1")),
        "a hard link by a long link": (long(b"./@/data.txt", b"K"), link(b"./@/l", b"x", b"1")),
    }.items():
        yield label, _data(*parts)


_NUMBERS = (
    b"       \0", b"\0" * 8, b"0000644\0", b"0000644 ", b"   644 \0", b"  0644\0\0", b"644\0\0\0\0\0", b"00006440", b"0000888\0", b"xxxxxxx\0", b"-000644\0", b"+000644\0", b"0x1a4\0\0\0", b"644 644\0", b"644\0x\0\0\0", b"\x80" + bytes(5) + b"\x01\xa4", b"\xff" * 8, b"\x80" + b"\xff" * 7, b"7777777\0", b"0177777\0", b"0100644\0", b"0004755\0", b"\t644\0\0\0\0", b"644\t\0\0\0\0", b"77777777",
)  # fmt: skip


def _headers() -> Iterator[tuple[str, Fault]]:
    for number in range(256):
        kind = bytes([number])
        if kind in (b"3", b"4"):  # not every box lets one make a device
            continue
        yield f"type {kind!r}", _data(member(b"./@/odd", b"", kind, link=b"./@/data.txt"))
        if kind in b"\0001245678xgXLKSDMNV":
            yield f"type {kind!r} with content", _data(member(b"./@/odd", b"x" * 20, kind, link=b"./@/data.txt"))  # fmt: skip
            if kind != b"L":  # dpkg 1.21 takes an empty name for the file then, and loses it
                yield f"type {kind!r} named as a folder, with a file in it", _data(member(b"./@/odd/", b"", kind, link=b"./@/data.txt"), member(b"./@/odd/x", b"x"))  # fmt: skip
            yield f"type {kind!r} named as a folder", _data(member(b"./@/odd/", b"", kind, link=b"./@/data.txt"))  # fmt: skip
    for place in ("mode", "uid", "gid"):
        for text in _NUMBERS:
            yield f"{place} {text!r}", _data(member(b"./@/odd", b"x", **{place: text}))
            if place == "mode":
                yield f"{place} {text!r} of a folder", _data(folder(b"./@/odd/", mode=text))
    for text in _NUMBERS:
        yield f"device {text!r}", _data(member(b"./@/odd", b"x", device=text * 2))
    for text in (
        b"14524760400\0", b"00000000000\0", b"77777777777\0", b" " * 12, bytes(12), b"xxxxxxxxxxx\0", b"-0000000001\0", b"\x80" + bytes(10) + b"\1", b"\xff" * 12, b"\x80" + b"\0" * 3 + b"\xff" * 8, b"\x80" + b"\x7f" + b"\xff" * 10, b"1452476040 ", b"14524760400 ", b"999999999999", b"777777777777", b"\x80\0\0\0\x7f" + b"\xff" * 7, b"\x80\0\0\0\1" + bytes(7),
    ):  # fmt: skip
        yield f"mtime {text!r}", _data(member(b"./@/odd", b"x", mtime=text.ljust(12)))
    for text in (
        b"00000000024\0", b"24\0" + bytes(9), b"         24\0", b"24          ", b"000000000024", b"00000000024 ", b"\x80" + bytes(10) + b"\x14", b"\xff" * 11 + b"\xec", b"\xff" * 12, b"-0000000024\0", b"+0000000024\0", b" " * 12, bytes(12), b"0x14\0\0\0\0\0\0\0\0", b"xxxxxxxxxxx\0", b"24 24\0\0\0\0\0\0\0", b"77777777777\0", b"\x80" + b"\xff" * 11, b"00000000028\0", b"\x80\0\0\0\x7f" + b"\xff" * 7,
    ):  # fmt: skip
        block = header(b"./@/odd", size=text)
        yield f"size {text!r}", _data(block, b"x" * 20 + bytes(492))
    for total in (b"       \0", bytes(8), b"000000\0 ", b"xxxxxx\0 ", b"0000001 "):
        yield f"check sum {total!r}", _data(member(b"./@/odd", b"x", total=total))
    for form in (b"%06o\0 ", b"%06o  ", b"%07o\0", b"%7o\0", b"%6o\0 ", b"%08o", b"%o\0\0\0\0", b"%o    ", b"\0%06o\0", b"+%06o\0", b"%06o\0x", b"%06o x"):  # fmt: skip

        def summed(one: Container, form: bytes = form) -> Container:
            part = _own(one, member(b"./@/odd", b"x"))
            text = (form % sum(part[:148] + b" " * 8 + part[156:_BLOCK]))[:8].ljust(8, b"\0")
            return replace(one, data=(*one.data, part[:148] + text + part[156:]))

        yield f"check sum as {form!r}", summed
    for magic in (b"ustar  \0", b"ustar\x0000", bytes(8), b"ustar\0  ", b"xxxxxxxx", b"ustar 00", b"USTAR  \0", b"ustar\x0001"):  # fmt: skip
        yield f"magic {magic!r}", _data(member(b"./@/odd", b"x", magic=magic))
        yield f"magic {magic!r} with a prefix", _data(member(b"odd/./@/odd"[4:], b"x", magic=magic, prefix=b"./usr"))  # fmt: skip
        yield f"magic {magic!r} with owners of nobody", _data(member(b"./@/odd", b"x", magic=magic, owner=b"", group=b""))  # fmt: skip
    for owner in (b"root", b"", b"x" * 32, b"\xff", b"a\nb", b"nobody", b"no such user", b"0"):
        yield f"owner {owner!r}", _data(member(b"./@/odd", b"x", owner=owner, group=owner))
    for pax in (
        b"",
        b"30 mtime=1700000000.123456789\n",
        b"13 path=./x\n",
        b"18 comment=hello\n",
        b"x",
    ):
        yield f"pax {pax!r}", _data(member(b"./PaxHeaders/x", pax, b"x"), member(b"./@/odd", b"x"))
        yield f"pax for all {pax!r}", _data(member(b"./PaxHeaders/x", pax, b"g"), first=True)
        yield f"pax {pax!r} in control", _control(member(b"./PaxHeaders/x", pax, b"x"), member(b"./foo", b"x"))  # fmt: skip
        yield f"pax for all {pax!r} in control", _control(member(b"./PaxHeaders/x", pax, b"g"), first=True)  # fmt: skip


def _structure() -> Iterator[tuple[str, Fault]]:
    kinds: dict[str, Callable[[bytes], bytes]] = {
        "file": lambda n: member(n, b"one\n"),
        "other file": lambda n: member(n, b"another\n"),
        "folder": lambda n: folder(n + b"/"),
        "folder of mode 0700": lambda n: folder(n + b"/", mode=b"0000700\0"),
        "link": lambda n: link(n, b"data.txt"),
        "other link": lambda n: link(n, b"."),
        "hard link": lambda n: link(n, b"./@/data.txt", b"1"),
        "fifo": lambda n: member(n, b"", b"6"),
    }  # fmt: skip
    for one, make in kinds.items():
        for other, again in kinds.items():
            yield f"{one}, then {other} of one name", _data(make(b"./@/odd"), again(b"./@/odd"))
            yield f"{one}, then {other} of one name in two forms", _data(make(b"./@/odd"), again(b"@//odd"))  # fmt: skip
            yield f"{one} with a file inside, then {other}", _data(make(b"./@/odd"), member(b"./@/odd/in", b"x"), again(b"./@/odd"))  # fmt: skip
        yield f"{one} where a folder is", _data(make(b"./@"))
        yield f"{one} where usr is", _data(make(b"./usr"))
        yield f"{one} where usr is to be", _both(_without(b"./usr/"), _data(make(b"./usr"), first=True))  # fmt: skip
        yield f"{one} as the root", _data(make(b"."), first=True)
        yield f"{one} behind itself", _data(make(b"./@/odd"), member(b"./@/odd/x", b"x"))
        yield f"{one} in a folder that comes late", _data(make(b"./@/late/odd"), folder(b"./@/late/"))  # fmt: skip
        yield f"{one} in a folder that is not there", _data(make(b"./@/none/odd"))
        yield f"{one} in a linked folder", _data(link(b"./@/to", b"sub"), folder(b"./@/sub/"), make(b"./@/to/odd"))  # fmt: skip
        yield f"{one} in a folder linked to nothing", _data(link(b"./@/to", b"sub"), make(b"./@/to/odd"))  # fmt: skip
        yield f"a hard link to a {one}", _data(make(b"./@/odd"), link(b"./@/hard", b"./@/odd", b"1"))  # fmt: skip
        yield f"a hard link to a {one} that comes later", _data(link(b"./@/hard", b"./@/odd", b"1"), make(b"./@/odd"))  # fmt: skip
        yield f"a hard link to a {one}, then that once more", _data(make(b"./@/odd"), link(b"./@/hard", b"./@/odd", b"1"), make(b"./@/odd"))  # fmt: skip
        if one == "fifo":  # dpkg waits for who writes into it
            continue
        yield f"{one} only in control", _control(make(b"./odd"))
        yield f"{one} twice in control", _control(make(b"./odd"), make(b"./odd"))
        yield f"{one} for md5sums in control", _control(make(b"./md5sums"))
        yield f"{one} for control in control", _control(make(b"./control"))
    for target in (b"./@/data.txt", b"/@/data.txt", b"@/data.txt", b"data.txt", b"../data.txt", b"", b"./@/hard", b"./none", b"/usr/bin/sh", b"./@/../@/data.txt", b"./@//data.txt", b"./@/./data.txt", b"./@/data.txt/"):  # fmt: skip
        yield f"a hard link to {target!r}", _data(link(b"./@/hard", target, b"1"))
        yield f"a link to {target!r}", _data(link(b"./@/soft", target))
    chain = (link(b"./@/one", b"./@/data.txt", b"1"), link(b"./@/two", b"./@/one", b"1"))
    yield "a chain of hard links", _data(*chain)
    yield "a chain of hard links backwards", _data(*reversed(chain))
    yield "a chain of links", _data(link(b"./@/one", b"two"), link(b"./@/two", b"one"))
    for names in ((b"./",), (b"./usr/",), (b"./usr/share/",), (b"./@/",), (b"./usr/share/doc/",), (b"./", b"./usr/", b"./usr/share/"), (b"./", b"./usr/", b"./usr/share/", b"./@/", b"./usr/share/doc/")):  # fmt: skip
        yield f"without {b' '.join(names).decode()}", _without(*names)
        yield f"with {b' '.join(names).decode()} at the end", _both(_without(*names), _data(*map(folder, names)))  # fmt: skip
        yield f"with {b' '.join(names).decode()} twice", _data(*map(folder, names))
    for where in (b"opt", b"srv", b"etc", b"var/lib", b"var/tmp", b"boot", b"usr/lib", b"usr/share/man", b"usr/share/man/man1", b"usr/share/none"):  # fmt: skip

        def below(one: Container, where: bytes = where) -> Container:
            return replace(one, data=(*one.data, member(b"./" + where + b"/" + one.name.encode(), b"x")))  # fmt: skip

        yield f"a file in {where.decode()}, which is not listed", below
    yield "no members in data", lambda one: replace(one, data=(), control=one.control[:2])
    yield "only the root in data", lambda one: replace(one, data=one.data[:1], control=one.control[:2])  # fmt: skip
    ends = {
        "no end mark": b"", "one block of zeros": bytes(512), "three blocks": bytes(1536), "a megabyte of zeros": bytes(1 << 20),
        "half a block": bytes(256), "a block and a half": bytes(768), "junk behind": _END + b"junk" * 128, "junk of half a block": _END + b"junk", "junk in place": b"junk" * 256, "a byte": b"x", "a zero": b"\0",
        "a member behind": _END + member(b"./late", b"x"), "a block of zeros and a member": bytes(512) + member(b"./late", b"x") + _END, "text behind": _END + b"\n", "five hundred junk": _END + b"j" * 500,
        "a header only": header(b"./late", size=600), "a cut header": header(b"./late")[:300], "a cut file": header(b"./late", size=600) + b"x" * 100,
    }  # fmt: skip
    for label, end in ends.items():
        yield f"data ends in {label}", _with(end_data=end)
        if len(end) < 10_240:  # what tar(1) reads at once: past it, it depends on who is faster
            yield f"control ends in {label}", _with(end_control=end)
    for change in (
        ("without ./", lambda n: n[2:] or b"."), ("absolute", lambda n: n[1:]), (".//", lambda n: b"./" + n[1:]), ("../", lambda n: b"." + n), ("x/", lambda n: b"x/" + n), ("upper case", lambda n: n.upper()), ("././", lambda n: b"./" + n),
    ):  # fmt: skip
        yield f"control's names {change[0]}", _control_named(change[1])
    yield "control without its root", lambda one: replace(one, control=one.control[1:])
    yield "control with its root last", lambda one: replace(one, control=(*one.control[1:], one.control[0]))  # fmt: skip
    yield "control with its root of mode 0", lambda one: replace(one, control=(folder(b"./", mode=b"0000000\0"), *one.control[1:]))  # fmt: skip
    yield "no control", lambda one: replace(one, control=(one.control[0], one.control[2]))
    yield "control twice", lambda one: replace(one, control=(*one.control, one.control[1]))
    yield "nothing in control", _with(control=())
    for text in _NUMBERS[:12]:
        yield f"control of mode {text!r}", _control(member(b"./foo", b"x", mode=text))
        yield f"control of owner {text!r}", _control(member(b"./foo", b"x", uid=text, gid=text))
    for name in (b"./a/b", b"./a/", b"./../x", b"/x", b"x", b"./x ", b"./a\nb", b"./\xff", b"././x", b".//x", b"./x/.", b"./-x", b"./.x", b""):  # fmt: skip
        yield f"control has {name!r}", _control(member(name, b"x"))
    yield "a chain of links in control", _control(link(b"./one", b"two"), link(b"./two", b"three"), member(b"./three", b"x"))  # fmt: skip
    yield "links in a circle in control", _control(link(b"./one", b"two"), link(b"./two", b"one"))
    yield "a link to a later file in control", _control(link(b"./one", b"two"), member(b"./two", b"x"))  # fmt: skip
    yield "a hard link to a later file in control", _control(link(b"./one", b"./two", b"1"), member(b"./two", b"x"))  # fmt: skip
    yield "a hard link to a link in control", _control(link(b"./one", b"control"), link(b"./two", b"./one", b"1"))  # fmt: skip
    yield "a folder, then a file of one name in control", _control(folder(b"./one/"), member(b"./one", b"x"))  # fmt: skip
    for number in range(128):
        kind = bytes([number])
        if kind not in (b"3", b"4", b"6"):  # dpkg waits for who writes into a pipe
            yield f"control has type {kind!r}", _control(member(b"./odd", b"", kind, link=b"control"))  # fmt: skip


def _control_named(change: Callable[[bytes], bytes]) -> Fault:
    def all_of(one: Container) -> Container:
        changed = _named(change)(replace(one, data=one.control)).data
        return replace(one, control=changed)

    return all_of


@cache
def enumerated() -> tuple[tuple[str, Fault], ...]:
    """Each fault by itself."""
    kinds = (_ar, _compressions, _names, _headers, _structure)
    return (("sound", lambda one: one), *(pair for kind in kinds for pair in kind()))


def containers(start: int, count: int) -> Iterator[Container]:
    """`count` packages from number `start` on."""
    faults = enumerated()
    for number in range(start, start + count):
        one = plain(f"con{number:06}")
        if number < len(faults):
            label, fault = faults[number]
            yield replace(fault(one), label=label)
            continue
        chance = random.Random(number)  # noqa: S311
        labels = []
        for _ in range(2):
            label, fault = chance.choice(faults)
            labels.append(label)
            one = fault(one)
        yield replace(one, label=" and ".join(labels))
