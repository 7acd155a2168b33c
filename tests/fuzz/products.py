# SPDX-License-Identifier: GPL-2.0-or-later
# ruff: noqa: E501  # tables of kinds
"""Packages of which each table is within its limit, and the product of two is not.

Each is below 5 MB.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator

from builders.debkit import codecs
from tests.fuzz.kinds import case
from tests.unit import debs

_END = bytes(1024)
_GZIP = codecs.by_name("gzip")


def packed(parts: Iterable[bytes], level: int = 9) -> bytes:
    packer = zlib.compressobj(level, wbits=31)
    return b"".join([*map(packer.compress, parts), packer.flush()])


def head(name: str, size: int = 0, kind: bytes = b"0", link: str = "", mode: int = 0o644) -> bytes:
    info = tarfile.TarInfo(name[:100])
    info.type, info.size, info.linkname, info.mode = kind, size, link[:100], mode
    info.uname = info.gname = "root"
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def member(name: str, content: bytes = b"", **odd: object) -> bytes:
    raw = name.encode("utf-8", "surrogateescape")
    long = b""
    if len(raw) > 100:
        long = head("././@LongLink", len(raw) + 1, b"L") + raw + bytes(-len(raw) % 512 or 512)
    return long + head(name, len(content), **odd) + content + bytes(-len(content) % 512)  # type: ignore[arg-type]


def deb(
    data: bytes | None = None,
    suffix: str = ".gz",
    *,
    fields: dict[str, str] | None = None,
    files: dict[str, bytes] | None = None,
) -> bytes:
    """A package of this data, fields over the ordinary ones, and files of control.tar."""
    text = "".join(f"{k}: {v}\n" for k, v in {**debs.CONTROL, **(fields or {})}.items())
    control = codecs.compress(debs.control_tar(text, files), _GZIP)
    if data is None:
        data, suffix = packed([head("./", kind=b"5"), _END]), ".gz"
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", control),
        ("data.tar" + suffix, data),
    ]
    return debs.ar(members)


def tree(members: Iterable[bytes], level: int = 9) -> bytes:
    """A package of these members of data.tar."""

    def parts() -> Iterator[bytes]:
        yield head("./", kind=b"5", mode=0o755)
        for folder in ("usr", "usr/lib", "usr/share", "usr/share/doc", "usr/share/doc/sample"):
            yield head(f"./{folder}", kind=b"5", mode=0o755)
        yield from members
        yield _END

    return deb(packed(parts(), level))


# Tables of ELF files


def elf(
    loads: int,
    tags: list[tuple[int, int]],
    strings: bytes,
    *,
    sections: int = 0,
    notes: int = 0,
) -> bytes:
    """A shared object with so many segments, sections and notes; STRTAB is put in front of tags."""
    count = loads + 1 + notes
    start = 64 + 56 * count
    tags = [(5, 0), *tags, (0, 0)]
    at = start + 16 * len(tags)
    tags[0] = (5, at)
    body = b"".join(struct.pack("<QQ", *tag) for tag in tags) + strings
    end = start + len(body)
    far = struct.pack("<IIQQQQQQ", 1, 5, 0, 1 << 50, 0, 8, 8, 8) * (loads - 1)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 1 << 40, 1 << 40, 4096)
    note = struct.pack("<IIQQQQQQ", 4, 4, start, 0, 0, len(body), len(body), 4) * notes
    dynamic = struct.pack("<IIQQQQQQ", 2, 6, start, start, start, 16 * len(tags), 0, 8)
    where = end if sections else 0
    header = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, where, 0, 64, 56, count, 64, sections, 0)
    )
    return header + far + load + dynamic + note + body + bytes(64 * sections)


_NAME = b"\0libx.so.1\0" + bytes(5000)
for _loads in (1, 500, 60_000):
    for _tag, _what in ((1, "needed"), (14, "soname"), (29, "runpath"), (15, "rpath")):
        case("elf", "elf-tags", f"elf-{_loads}-loads-{_what}")(
            lambda loads=_loads, tag=_tag: tree(  # type: ignore[misc]
                [member("./usr/lib/libx.so.1", elf(loads, [(tag, 1)] * 19_900, _NAME))]
            )
        )
for _label, _text in (
    ("astral", "\U0001f600" + "a" * 4080),
    ("latin", "\u00e9" * 2040),
    ("bytes", "a" * 4090),
    ("invalid", "\udcff" * 4090),
    ("colons", ":" * 4090),
    ("folders", "/a:" * 1360),
):
    for _tag, _step in ((1, 0), (1, 1), (29, 0), (29, 1), (14, 1)):
        case("elf", "elf-strings", f"elf-strings-{_label}-{_tag}-{_step}")(
            lambda text=_text, tag=_tag, step=_step: tree(  # type: ignore[misc]
                member(
                    f"./usr/lib/lib{n}.so",
                    elf(
                        1,
                        [(tag, 1 + k * step % 3000) for k in range(19_000)],
                        b"\0" + text.encode("utf-8", "surrogateescape") + bytes(5000),
                    ),
                )
                for n in range(10)
            )
        )
for _count, _folder in ((120_000, "usr/lib"), (120_000, "usr/bin"), (60_000, "usr/lib/x/y")):
    case("elf", "elf-files", f"elf-{_count}-files-{_folder.replace('/', '-')}")(
        lambda count=_count, folder=_folder: tree(  # type: ignore[misc]
            (member(f"./{folder}/{n}.so", elf(1, [(1, 1)] * 3, _NAME[:120])) for n in range(count)),
            1,
        )
    )
for _sections, _notes in ((65_000, 0), (0, 60_000), (20_000, 20_000)):
    case("elf", "elf-sections", f"elf-{_sections}-sections-{_notes}-notes")(
        lambda sections=_sections, notes=_notes: tree(  # type: ignore[misc]
            member(f"./usr/lib/lib{n}.so", elf(1, [(1, 1)], _NAME, sections=sections, notes=notes))
            for n in range(300)
        )
    )


def _needs(libraries: int, versions: int, loop: bool) -> bytes:
    """Version needs: libraries by versions, all at one place where it is a loop."""
    one = struct.pack("<HHIII", 1, versions, 1, 16, 0 if loop else 16 + 16 * min(versions, 100))
    aux = struct.pack("<IHHII", 0, 0, 0, 1, 0 if loop else 16)
    table = (one + aux * min(versions, 100)) * (1 if loop else min(libraries, 300))
    tags = [(0x6FFFFFFE, 0), (0x6FFFFFFF, libraries)]
    start = 64 + 56 * 2 + 16 * 4
    tags[0] = (0x6FFFFFFE, start + len(_NAME))
    return elf(1, tags, _NAME + table)


for _loop in (False, True):
    case("elf", "elf-versions", f"elf-versions-{_loop}")(
        lambda loop=_loop: tree(  # type: ignore[misc]
            member(f"./usr/lib/lib{n}.so", _needs(60_000, 60_000, loop)) for n in range(200)
        )
    )


# Members, and the folders above them

case("tar", "deep-path-30k", "deep-path-30k")(
    lambda: tree([member("./" + "a/" * 30_000 + "f", b"x")])
)
case("tar", "deep-paths-2k", "deep-paths-2k")(
    lambda: tree(member("./" + "a/" * 2000 + f"{n}", b"x") for n in range(4000))
)
case("tar", "deep-folders", "deep-folders")(
    lambda: tree(member("./" + "/".join("a" * n) + "/", kind=b"5") for n in range(1, 2000))
)
case("tar", "paths-4k", "paths-4k")(
    lambda: tree(member("./" + ("b" * 200 + "/") * 19 + f"{n}", b"x") for n in range(10_000))
)
case("tar", "links-in-a-chain", "links-in-a-chain")(
    lambda: tree(member(f"./usr/lib/{n}", kind=b"2", link=f"{n + 1}") for n in range(100_000))
)
case("tar", "links-in-a-circle", "links-in-a-circle")(
    lambda: tree(
        member(f"./usr/lib/{n}", kind=b"2", link=f"{(n + 1) % 100_000}") for n in range(100_000)
    )
)
case("tar", "links-up", "links-up")(
    lambda: tree(
        member(f"./usr/lib/{n}", kind=b"2", link="../" * 30 + f"{n}") for n in range(100_000)
    )
)
case("tar", "hard-links-in-a-chain", "hard-links-in-a-chain")(
    lambda: tree(
        [
            member("./usr/lib/0", b"x"),
            *(head(f"./usr/lib/{n + 1}", kind=b"1", link=f"./usr/lib/{n}") for n in range(100_000)),
        ]
    )
)
case("tar", "folders-through-links", "folders-through-links")(
    lambda: tree(
        [
            *(member(f"./usr/lib/{n}", kind=b"2", link=f"{n + 1}") for n in range(5000)),
            *(member(f"./usr/lib/0/{n}", b"x") for n in range(20_000)),
        ]
    )
)
for _kind, _what in ((b"5", "folders"), (b"0", "files"), (b"6", "pipes"), (b"2", "links")):
    case("tar", "members", f"{_what}-190k")(
        lambda kind=_kind: tree(  # type: ignore[misc]
            (head(f"./usr/lib/{n:06d}", kind=kind, link="x") for n in range(190_000)), 1
        )
    )
    case("tar", "members-twice", f"{_what}-twice")(
        lambda kind=_kind: tree(  # type: ignore[misc]
            (head(f"./usr/lib/{n % 5:06d}", kind=kind, link="x") for n in range(150_000)), 1
        )
    )
for _path in (
    "usr/share/doc/sample/{}.txt", "usr/share/man/man1/{}.1", "etc/{}", "etc/init.d/{}",
    "usr/lib/systemd/system/{}.service", "usr/lib/python3/dist-packages/{}.py",
    "usr/lib/python3/dist-packages/{}.cpython-311-x86_64-linux-gnu.so", "usr/bin/{}", "boot/vmlinuz-{}",
    "boot/config-{}", "lib/modules/{}/x.ko", "usr/share/doc/sample/changelog.{}", "usr/local/{}",
    "usr/share/info/{}.info", "lib/{}", "usr/src/linux-headers-{}/Makefile", "run/{}", "home/{}",
    "usr/lib/debug/{}", "boot/xen-{}.gz", "{}", "usr/{}", "opt/{}", "usr/lib/lib{}.so.1",
):  # fmt: skip
    case("files", "many-files", "many-" + _path.format("x").replace("/", "-"))(
        lambda name=_path: tree(  # type: ignore[misc]
            (member("./" + name.format(n), b"#!/bin/sh\nx\n") for n in range(40_000)), 1
        )
    )
for _piece, _what in (
    (b"/home/" + b"a" * 31 + b"/", "homes"), (b"/builds/", "builds"), (b"#!/bin/sh\n[[ ", "scripts"),
    (b"\x7fELF" + bytes(12), "elves"), (b"CONFIG_XEN=y\n", "options"), (b"[Service]\nExecStart=/x\n", "units"),
    (b"a" * 64, "letters"), (b"\0", "zeros"),
):  # fmt: skip
    for _path in ("usr/lib/x.la", "boot/config-1", "usr/lib/systemd/system/x.service", "etc/init.d/x", "usr/share/doc/sample/README", "usr/share/man/man1/x.1"):  # fmt: skip
        case("files", "large-file", f"large-{_what}-{_path.replace('/', '-')}")(
            lambda text=_piece, path=_path: tree(  # type: ignore[misc]
                [member("./" + path, text * ((48 << 20) // len(text)))]
            )
        )


# Bytes that unpack to many more


def zeros(gib: float, count: int = 1) -> Iterator[bytes]:
    """Files of zeros, so much of it all together."""
    block = bytes(1 << 20)
    each = int(gib * 1024 / count)
    for n in range(count):
        yield head(f"./usr/lib/{n}.txt", each << 20)
        for _ in range(each):
            yield block


case("compression", "zeros-gzip", "zeros-900-mib-gzip")(lambda: tree(zeros(0.9)))
case("compression", "zeros-gzip", "zeros-2-gib-gzip")(lambda: tree(zeros(2)))
case("compression", "zeros-in-documents", "zeros-900-mib-in-documents")(
    lambda: tree(
        part.replace(b"./usr/lib/0.txt", b"./usr/share/doc", 1) if n == 0 else part
        for n, part in enumerate(zeros(0.9))
    )
)


def _xz(parts: Iterable[bytes], preset: int = 0) -> bytes:
    packer = lzma.LZMACompressor(preset=preset)
    return b"".join([*map(packer.compress, parts), packer.flush()])


def _zstd(parts: Iterable[bytes]) -> bytes:
    import zstandard

    packer = zstandard.ZstdCompressor().compressobj()
    return b"".join([*map(packer.compress, parts), packer.flush()])


def _bzip2(parts: Iterable[bytes]) -> bytes:
    packer = bz2.BZ2Compressor()
    return b"".join([*map(packer.compress, parts), packer.flush()])


case("compression", "zeros-xz", "zeros-900-mib-xz")(lambda: deb(_xz([*zeros(0.9), _END]), ".xz"))
case("compression", "zeros-zstd", "zeros-900-mib-zstd")(
    lambda: deb(_zstd([*zeros(0.9), _END]), ".zst")
)
case("compression", "zeros-bzip2", "zeros-500-mib-bzip2")(
    lambda: deb(_bzip2([*zeros(0.5), _END]), ".bz2")
)


def _xz_blocks(count: int) -> bytes:
    from builders.debkit.codecs.xzformat import xz_head, xz_tail

    return (
        xz_head(lzma.CHECK_CRC32) + bytes(4 * count) + xz_tail(lzma.CHECK_CRC32, [(4, 1)] * count)
    )


case("compression", "xz-blocks", "xz-500k-blocks")(lambda: deb(_xz_blocks(500_000), ".xz"))
case("compression", "xz-blocks", "xz-4k-blocks")(lambda: deb(_xz_blocks(4000), ".xz"))
case("compression", "xz-streams", "xz-streams")(lambda: deb(lzma.compress(b"") * 100_000, ".xz"))
case("compression", "gzip-members", "gzip-members")(
    lambda: deb(gzip.compress(b"", mtime=0) * 200_000)
)
case("compression", "gzip-members-of-a-block", "gzip-members-of-a-block")(
    lambda: deb(
        b"".join(gzip.compress(head(f"./usr/{n}"), 1, mtime=0) for n in range(30_000))
        + gzip.compress(_END)
    )
)
case("compression", "bzip2-streams", "bzip2-streams")(
    lambda: deb(bz2.compress(b"") * 200_000, ".bz2")
)
case("compression", "zstd-frames", "zstd-frames")(lambda: deb(_zstd([]) * 400_000, ".zst"))
case("compression", "zstd-skippable", "zstd-skippable")(
    lambda: deb(b"\x50\x2a\x4d\x18\0\0\0\0" * 500_000, ".zst")
)
case("compression", "zstd-blocks", "zstd-blocks")(
    lambda: deb(b"\x28\xb5\x2f\xfd\x00\x58" + b"\0\0\0" * 1_000_000 + b"\1\0\0", ".zst")
)
case("compression", "zstd-runs", "zstd-runs")(
    lambda: deb(b"\x28\xb5\x2f\xfd\x00\x70" + b"\x02\0\x10\0" * 1_000_000 + b"\x03\0\0\0", ".zst")
)


# Control files


def field(name: str, value: str) -> Callable[[], bytes]:
    return lambda: deb(fields={name: value})


_LONG = 900_000  # characters; the control file may have 1 MiB
_GROUPS = {"at": "field-address", "angle": "field-address", "name": "field-words", "lines": "field-lines", "arabic": "field-not-ascii"}  # fmt: skip
for _field in ("Maintainer", "Version", "Package", "Architecture", "Section", "Homepage", "Description", "Source", "Multi-Arch", "Priority", "Installed-Size", "X-Unknown", "Essential", "Uploaders"):  # fmt: skip
    for _what, _value in (
        ("a", "a" * _LONG), ("at", "a <" + "a@" * (_LONG // 2)), ("angle", "<" * _LONG), ("name", "a " * (_LONG // 2)),
        ("digits", "1" * _LONG), ("dots", "1." * (_LONG // 2)), ("mixed", "1.a" * (_LONG // 3)), ("dashes", "1-" * (_LONG // 2)),
        ("tildes", "1~" * (_LONG // 2)), ("colons", "1:" * (_LONG // 2)), ("lines", "x\n " * (_LONG // 3)), ("arabic", "\u0663" * (_LONG // 2)),
    ):  # fmt: skip
        case("control", _GROUPS.get(_what, "field-long"), f"field-{_field}-{_what}".lower())(
            field(_field, _value)
        )
for _field in (
    "Depends",
    "Pre-Depends",
    "Recommends",
    "Conflicts",
    "Provides",
    "Breaks",
    "Replaces",
):
    for _what, _value in (
        ("many", ", ".join(f"p{n}" for n in range(90_000))),
        ("one", ", ".join(f"a (>= {n})" for n in range(60_000))),
        ("or", " | ".join(f"p{n}" for n in range(90_000))),
        ("commas", "," * _LONG),
        ("open", "a (" * (_LONG // 3)),
        ("spaces", "a" + " " * _LONG + "b"),
        ("brackets", "a [" * (_LONG // 3)),
        ("long", "a (>= " + "1." * (_LONG // 2) + ")"),
    ):
        case("control", f"relations-{_what}", f"relations-{_field}-{_what}".lower())(
            field(_field, _value)
        )


_AREAS = dict.fromkeys(("md5sums", "triggers", "shlibs", "symbols", "templates"), "control")


def _lines(form: str, size: int = 20 << 20) -> bytes:
    one = form.format(0).encode()
    return b"".join(form.format(n).encode() for n in range(size // (len(one) + 5)))


for _file, _what, _form in (
    ("md5sums", "many", "d41d8cd98f00b204e9800998ecf8427e  usr/{}\n"),
    ("md5sums", "malformed", "x{}\n"),
    ("md5sums", "long", "d41d8cd98f00b204e9800998ecf8427e  " + "a/" * 5000 + "{}\n"),
    ("triggers", "many", "interest /a{}\n"),
    ("triggers", "malformed", "x{}\n"),
    ("shlibs", "many", "libx {} x\n"),
    ("symbols", "many", "libx.so.1 x #MINVER#\n a{} 1.0\n"),
    ("templates", "many", "Template: a/{}\nType: string\nDescription: x\n\n"),
    ("templates", "fields", "Field-{}: x\n"),
    ("postinst", "commands", "x{} [[ a == b ]]\n"),
    ("postinst", "here", "cat <<E{}\n"),
    ("postinst", "quotes", "'\"{}"),
    ("prerm", "braces", "${{a{}"),
    ("config", "many", "db_input high a/{}\n"),
    ("preinst", "bashisms", "#!/bin/sh\nfunction f{} {{ a+=(b) <<<c; }}\n"),
):
    for _size in (1, 14):
        case(_AREAS.get(_file, "scripts"), f"{_file}-{_what}", f"{_file}-{_what}-{_size}")(
            lambda name=_file, form=_form, size=_size: deb(  # type: ignore[misc]
                files={name: _lines(form, size << 20)}
            )
        )
case("control", "conffiles-many", "conffiles-many")(
    lambda: deb(files={"conffiles": _lines("/etc/{}\n", 900 << 10)})
)
case("control", "conffiles-and-files", "conffiles-and-files")(
    lambda: deb(
        packed([*(member(f"./etc/{n}", b"x") for n in range(40_000)), _END], 1),
        files={"conffiles": b"".join(b"/etc/%d\n" % n for n in range(40_000))},
    )
)
case("control", "control-files", "control-files")(
    lambda: deb(files={f"f{n}": b"" for n in range(20_000)})
)
case("control", "fields-many", "fields-many")(
    lambda: deb(fields={f"X-{n}": "y" for n in range(70_000)})
)
case("files", "changelog-bomb", "changelog-bomb")(
    lambda: tree(
        [
            member(
                "./usr/share/doc/sample/changelog.Debian.gz",
                packed([bytes(1 << 20)] * 900),
            )
        ]
    )
)
case("files", "changelog-entries", "changelog-entries")(
    lambda: tree(
        [
            member(
                "./usr/share/doc/sample/changelog.gz",
                packed([b"sample (1) x; urgency=low\n\n  * a\n\n -- a <a@b>  x\n"] * 200_000),
            )
        ]
    )
)
