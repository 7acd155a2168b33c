# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile tar archives: what is said in the headers of members, and how members go together."""

from __future__ import annotations

from tests.fuzz.kinds import case
from tests.fuzz.products import deb, head, member, packed, tree
from tests.unit import debs

_END = bytes(1024)
_ROOT = head("./", kind=b"5", mode=0o755)


def data(*parts: bytes, end: bytes = _END) -> bytes:
    """A package of these blocks of data.tar, after its root."""
    return deb(packed([_ROOT, *parts, end]))


def changed(raw: bytes, **fields: bytes) -> bytes:
    """A header with other bytes in these fields, and the right sum unless that is one of them."""
    block = bytearray(raw)
    for name, content in fields.items():
        start, size = _PLACES[name]
        block[start : start + size] = content.ljust(size, b"\0")[:size]
    if "chksum" not in fields:
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


_PLACES = {
    "name": (0, 100), "mode": (100, 8), "uid": (108, 8), "gid": (116, 8), "size": (124, 12),
    "mtime": (136, 12), "chksum": (148, 8), "type": (156, 1), "link": (157, 100),
    "magic": (257, 8), "uname": (265, 32), "gname": (297, 32), "major": (329, 8),
    "minor": (337, 8), "prefix": (345, 155),
}  # fmt: skip
_FILE = head("./x")


def long(kind: bytes, raw: bytes) -> bytes:
    """A header of GNU's for a long name (L) or link (K), with these bytes."""
    return head("././@LongLink", len(raw), kind) + raw + bytes(-len(raw) % 512)


# Types

for _type in b"gVMNDXA7\xff":
    case("tar", "types-of-others", f"type-{_type:02x}")(
        lambda kind=bytes((_type,)): data(  # type: ignore[misc]
            head("./y", 512, kind), bytes(512), _FILE
        )
    )


@case("tar")
def pax_of_4_gb() -> bytes:
    return data(head("./PaxHeaders/x", 4 << 30, b"x"), b"x" * 1024, _FILE)


@case("tar")
def pax_length_that_lies() -> bytes:
    record = b"99999999999 path=x\n"
    return data(head("./PaxHeaders/x", len(record), b"x"), record.ljust(512, b"\0"), _FILE)


@case("tar")
def sparse_map_without_end() -> bytes:
    """A GNU sparse file whose map goes on in block after block."""
    start = bytearray(head("./x", 512, b"S"))
    start[482] = 1
    block = bytearray(512)
    block[504] = 1
    return data(changed(bytes(start)), *[bytes(block)] * 10_000)


@case("tar")
def sparse_in_pax() -> bytes:
    record = b"22 GNU.sparse.major=1\n"
    return data(head("./PaxHeaders/x", len(record), b"x"), record.ljust(512, b"\0"), _FILE)


# Numbers


@case("tar")
def size_of_nonsense() -> bytes:
    return data(changed(_FILE, size=b"0x10 99"))


@case("tar")
def size_of_sevens() -> bytes:
    return data(changed(_FILE, size=b"777777777777"))


@case("tar")
def size_of_2_to_95() -> bytes:
    return data(changed(_FILE, size=b"\x80" + b"\xff" * 11))


@case("tar")
def size_that_wraps() -> bytes:
    """2 to 64, less a block: with what is added to it nothing is left in 64 bits."""
    return data(changed(_FILE, size=b"\x80\0\0\0" + (2**64 - 512).to_bytes(8, "big")))


@case("tar")
def size_of_a_folder() -> bytes:
    """A folder with content, which dpkg takes for the next header."""
    return data(changed(head("./usr/", kind=b"5"), size=b"00000001000"), head("./usr/x"))


@case("tar")
def size_of_a_link() -> bytes:
    return data(
        changed(head("./x", kind=b"2", link="y"), size=b"00000001000"), bytes(512), head("./y")
    )


@case("tar")
def time_after_all() -> bytes:
    return data(changed(_FILE, mtime=b"\x80\0\0\0\x7f" + b"\xff" * 7))


@case("tar")
def time_before_all() -> bytes:
    return data(changed(_FILE, mtime=b"\xff" * 4 + b"\x80" + bytes(7)))


@case("tar")
def owner_below_zero() -> bytes:
    return data(changed(_FILE, uid=b"\xff" * 8))


@case("tar")
def mode_of_all_bits() -> bytes:
    return data(changed(_FILE, mode=b"7777777\0"))


@case("tar")
def device_of_nonsense() -> bytes:
    return data(changed(head("./dev/x", kind=b"4"), major=b"\xff" * 8, minor=b"zzzzzzzz"))


@case("tar")
def sum_that_is_wrong() -> bytes:
    return data(changed(_FILE, chksum=b"000001\0 "))


@case("tar")
def sum_left_out() -> bytes:
    return data(changed(_FILE, chksum=b" " * 8))


@case("tar")
def sum_of_signed_bytes() -> bytes:
    """As old tars added it up."""
    raw = bytearray(changed(_FILE, name=b"./\xe9\xe9"))
    raw[148:156] = b" " * 8
    total = sum(byte - 256 if byte > 127 else byte for byte in raw)
    return data(changed(bytes(raw), chksum=b"%06o\0 " % total))


@case("tar")
def magic_of_none() -> bytes:
    """Headers of before POSIX: no names of owners, no prefix."""
    return data(changed(_FILE, magic=b"", uname=b"", gname=b""))


@case("tar")
def magic_of_posix_with_a_prefix() -> bytes:
    """The name is in two parts, of which the first leads away."""
    return data(changed(_FILE, magic=b"ustar\x0000", prefix=b"../../../etc"))


@case("tar")
def prefix_that_is_absolute() -> bytes:
    return data(changed(_FILE, magic=b"ustar\x0000", prefix=b"/etc"))


@case("tar")
def owners_without_end() -> bytes:
    """100 000 members, each of a user of its own."""
    return deb(
        packed(
            [
                _ROOT,
                *(
                    changed(head(f"./{n:06d}"), uid=b"%07o" % n, uname=b"u%d" % n)
                    for n in range(100_000)
                ),
                _END,
            ],
            1,
        )
    )


@case("tar")
def owner_with_escapes() -> bytes:
    return data(changed(_FILE, uname=b"\x1b[2J\xc2\x9b2J\xff\n", gname=b"\xe2\x80\xae" * 10))


@case("tar")
def owner_without_end() -> bytes:
    return data(changed(_FILE, uname=b"r" * 32, gname=b"g" * 32))


@case("tar")
def times_of_all_kinds() -> bytes:
    """100 000 members, each of a time of its own in base 256."""
    return deb(
        packed(
            [
                _ROOT,
                *(
                    changed(head(f"./{n:06d}"), mtime=b"\x80" + n.to_bytes(11, "big"))
                    for n in range(100_000)
                ),
                _END,
            ],
            1,
        )
    )


# Names


def _names(*names: str) -> bytes:
    return data(*(member(name, b"x") for name in names))


for _label, _mark in (
    ("cr", "\r"), ("next-line", "\x85"), ("csi", "\x9b2J"), ("escape", "\x1b[2J"),
    ("tab", "\t"), ("delete", "\x7f"), ("bell", "\x07"), ("separator", "\u2028"),
    ("right-to-left", "\u202e"), ("zero-width", "\u200b"), ("form-feed", "\x0c"),
):  # fmt: skip
    case("tar", f"name-with-{_label}", f"name-with-{_label}")(
        lambda mark=_mark: data(  # type: ignore[misc]
            member(f"./etc/a{mark}b", b"x"),
            member(f"./usr/bin/c{mark}d", b"#!/bin/sh\n", mode=0o755),
            head("./usr/lib/e", kind=b"2", link=f"a{mark}b"),
        )
    )


@case("tar")
def name_with_line_break() -> bytes:
    return _names("./etc/a\n/etc/shadow")


@case("tar")
def link_with_line_break() -> bytes:
    return data(head("./x", kind=b"2", link="a\nb"))


@case("tar")
def name_that_is_absolute() -> bytes:
    return _names("/etc/passwd")


@case("tar")
def name_that_goes_up() -> bytes:
    return _names("../../etc/passwd")


@case("tar")
def name_that_goes_up_and_down() -> bytes:
    return _names("./usr/share/../../etc/passwd")


@case("tar")
def name_of_dots() -> bytes:
    return _names("./usr/.../x", "./usr/. ./x", "./usr/..x", "./usr/x..")


@case("tar")
def name_of_slashes() -> bytes:
    return data(changed(_FILE, name=b"/" * 100))


@case("tar")
def name_of_nothing() -> bytes:
    return data(changed(_FILE, name=b""))


@case("tar")
def name_of_a_space() -> bytes:
    return _names("./ ", "./usr/ /x", "./usr/share/ y")


@case("tar")
def name_not_normal() -> bytes:
    """The same file under two names."""
    return _names("./usr//share/./x", "./usr/share/x")


@case("tar")
def name_of_a_file_with_a_slash() -> bytes:
    return data(changed(head("./x"), name=b"./x/"))


@case("tar")
def name_of_4097_bytes() -> bytes:
    return _names("./" + "a/" * 2047 + "b")


@case("tar")
def name_of_65_000_bytes() -> bytes:
    return _names("./" + "abcdefg/" * 8100 + "x")


@case("tar")
def name_of_one_long_part() -> bytes:
    return _names("./usr/share/" + "a" * 300)


@case("tar")
def name_of_4_gb() -> bytes:
    return data(head("././@LongLink", 4 << 30, b"L"), b"x" * 4096, _FILE)


@case("tar")
def name_without_member() -> bytes:
    return data(long(b"L", b"./usr/x\0"))


@case("tar")
def name_with_nul() -> bytes:
    return data(long(b"L", b"./etc/a\0../../b\0"), _FILE)


@case("tar")
def two_long_names() -> bytes:
    return data(long(b"L", b"./a\0"), long(b"L", b"./b\0"), _FILE)


@case("tar")
def long_name_of_nothing() -> bytes:
    return data(long(b"L", b""), _FILE)


@case("tar")
def link_of_60_000_bytes() -> bytes:
    return data(long(b"K", b"../" * 20_000 + b"\0"), head("./usr/x", kind=b"2"))


@case("tar")
def links_of_60_000_bytes() -> bytes:
    """400 links, each as long as a name may be."""
    return deb(
        packed(
            part
            for n in range(400)
            for part in (
                _ROOT if n == 0 else b"",
                long(b"K", (b"%d/" % n) * 12_000 + b"\0"),
                head(f"./usr/{n}", kind=b"2"),
                _END if n == 399 else b"",
            )
        )
    )


@case("tar")
def names_that_differ_in_case() -> bytes:
    return _names("./usr/x", "./usr/X", "./USR/x", "./\u212a", "./K")


@case("tar")
def names_of_all_kinds() -> bytes:
    """Names that a shell or a glob takes for something else."""
    return _names(
        *(
            f"./usr/share/{x}"
            for x in ("*", "?", "[a-", "$(id)", "`id`", "-rf", "'\"", "~", "#", "%s%n")
        )
    )


# Links


@case("tar")
def hard_link_to_itself() -> bytes:
    return data(head("./x", kind=b"1", link="./x"))


@case("tar")
def hard_link_to_a_later_one() -> bytes:
    return data(head("./x", kind=b"1", link="./y"), head("./y"))


@case("tar")
def hard_links_in_a_circle() -> bytes:
    return data(head("./x", kind=b"1", link="./y"), head("./y", kind=b"1", link="./x"))


@case("tar")
def hard_link_to_a_folder() -> bytes:
    return data(head("./usr/", kind=b"5"), head("./x", kind=b"1", link="./usr"))


@case("tar")
def hard_link_to_a_link() -> bytes:
    return data(head("./a", kind=b"2", link="/etc/shadow"), head("./x", kind=b"1", link="./a"))


@case("tar")
def hard_link_outside() -> bytes:
    return data(head("./x", kind=b"1", link="../../etc/shadow"))


@case("tar")
def hard_link_to_an_absolute_name() -> bytes:
    return data(head("./x", kind=b"1", link="/etc/shadow"))


@case("tar")
def hard_links_to_one_file() -> bytes:
    """150 000 names of a file of 1 MiB."""
    return tree(
        [
            member("./usr/lib/0", bytes(1 << 20)),
            *(head(f"./usr/lib/x{n:06d}", kind=b"1", link="./usr/lib/0") for n in range(150_000)),
        ],
        1,
    )


@case("tar")
def hard_links_to_an_elf() -> bytes:
    """150 000 names of a library."""
    return tree(
        [
            member("./usr/lib/libx.so.1", debs.elf(["libc.so.6", "liby.so.2"], soname="libx.so.1")),
            *(
                head(f"./usr/lib/lib{n:06d}.so.1", kind=b"1", link="./usr/lib/libx.so.1")
                for n in range(150_000)
            ),
        ],
        1,
    )


@case("tar")
def link_to_nothing() -> bytes:
    return data(head("./x", kind=b"2", link=""))


@case("tar")
def link_then_file_through_it() -> bytes:
    return data(head("./usr", kind=b"2", link="/etc"), member("./usr/passwd", b"x"))


@case("tar")
def link_and_folder_of_one_name() -> bytes:
    return data(head("./usr", kind=b"2", link="/etc"), head("./usr/", kind=b"5"))


@case("tar")
def links_that_fan_out() -> bytes:
    """Each link leads through the one before it twice: 2 to 200 steps to the end."""
    return tree(
        head(f"./usr/lib/l{n}", kind=b"2", link=f"l{n - 1}/l{n - 1}") for n in range(1, 200)
    )


@case("tar")
def links_into_one_long_chain() -> bytes:
    """95 000 links into a chain of 95 000."""
    return tree(
        [
            *(head(f"./usr/lib/{n:06d}", kind=b"2", link=f"{n + 1:06d}") for n in range(95_000)),
            *(head(f"./usr/x{n:06d}", kind=b"2", link="lib/000000") for n in range(95_000)),
        ],
        1,
    )


# How members go together


@case("tar")
def file_used_as_a_folder() -> bytes:
    return _names("./usr", "./usr/x")


@case("tar")
def file_after_its_folder_s_content() -> bytes:
    return data(head("./a/", kind=b"5"), member("./a/b", b"x"), member("./a", b"x"))


@case("tar")
def folders_left_out() -> bytes:
    return tree((head(f"./usr/lib/f{n}/x") for n in range(60_000)), 1)


@case("tar")
def folders_after_their_content() -> bytes:
    return tree(
        (
            raw
            for n in range(50_000)
            for raw in (head(f"./usr/lib/f{n}/x"), head(f"./usr/lib/f{n}/", kind=b"5"))
        ),
        1,
    )


@case("tar")
def folders_of_one_file_each() -> bytes:
    """In a package that leaves nothing in them."""
    return tree(
        (
            raw
            for n in range(90_000)
            for raw in (
                head(f"./usr/share/doc/f{n}/", kind=b"5"),
                head(f"./usr/share/doc/f{n}/TODO"),
            )
        ),
        1,
    )


@case("tar")
def member_twice() -> bytes:
    return _names("./usr/x", "./usr/x")


@case("tar")
def root_that_is_a_file() -> bytes:
    return deb(packed([changed(_FILE, name=b"./"), _END]))


@case("tar")
def root_that_is_a_link() -> bytes:
    return deb(packed([head("./", kind=b"2", link="/etc"), _END]))


@case("tar")
def archive_of_nothing() -> bytes:
    return deb(packed([_END]))


@case("tar")
def archive_without_end() -> bytes:
    return data(_FILE, end=b"")


@case("tar")
def archive_with_half_an_end() -> bytes:
    return data(_FILE, end=bytes(512))


@case("tar")
def archive_cut_in_a_header() -> bytes:
    return data(_FILE[:300], end=b"")


@case("tar")
def archive_cut_in_a_file() -> bytes:
    return data(head("./x", 10_000), b"x" * 600, end=b"")


@case("tar")
def archive_of_noise() -> bytes:
    return deb(packed([b"\xa5" * (1 << 20)]))


@case("tar")
def archive_after_an_archive() -> bytes:
    return data(_FILE, _END, member("./usr/bin/hidden", b"x"), _END, member("./etc/passwd"))


@case("tar")
def archive_with_noise_at_its_end() -> bytes:
    return data(_FILE, end=_END + b"\xff" * 10_000)


# control.tar


def control(*parts: bytes) -> bytes:
    """A package whose control.tar has these blocks, and behind them the control file."""
    text = "".join(f"{k}: {v}\n" for k, v in debs.CONTROL.items()).encode()
    whole = packed([_ROOT, *parts, member("./control", text), _END])
    plain = packed([_ROOT, _END])
    return debs.ar([("debian-binary", b"2.0\n"), ("control.tar.gz", whole), ("data.tar.gz", plain)])


@case("control")
def control_tar_with_a_folder() -> bytes:
    return control(head("./x/", kind=b"5"), head("./x/y"))


@case("control")
def control_tar_with_a_link() -> bytes:
    return control(head("./postinst", kind=b"2", link="/etc/shadow"))


@case("control")
def control_tar_with_a_hard_link() -> bytes:
    return control(head("./md5sums"), head("./postinst", kind=b"1", link="./md5sums"))


@case("control")
def control_tar_with_a_device() -> bytes:
    return control(head("./postinst", kind=b"3"))


@case("control")
def control_tar_with_control_twice() -> bytes:
    return control(member("./control", b"Package: other\n"))


@case("control")
def control_tar_with_escapes() -> bytes:
    return control(member("./a\x1b[2J\x85b", b"x"), member("./post\xff\u202einst", b"x"))


@case("control")
def control_tar_with_dots() -> bytes:
    return control(member("./../../postinst", b"#!/bin/sh\n"))


@case("control")
def control_tar_with_long_names() -> bytes:
    return control(*(member(f"./{n:04d}" + "a" * 60_000, b"") for n in range(300)))


@case("control")
def control_tar_with_names_of_dpkg() -> bytes:
    """Names that dpkg gives files of its own."""
    return control(*(member(f"./{n}", b"x") for n in ("list", "status", "x.list", "Unincorp")))


@case("control")
def control_tar_without_control() -> bytes:
    empty = packed([_ROOT, _END])
    return debs.ar([("debian-binary", b"2.0\n"), ("control.tar.gz", empty), ("data.tar.gz", empty)])


@case("control")
def control_tar_full_of_files() -> bytes:
    """23 MiB in 14 000 files."""
    return control(*(member(f"./f{n}", b"ab\n" * 340) for n in range(14_000)))


@case("control")
def control_tar_of_scripts() -> bytes:
    """Each script as large as one may be that is looked into."""
    text = b"#!/bin/sh\nset -e\n" + b"if a; then b; fi\n" * 61_000
    names = ("preinst", "postinst", "prerm", "postrm", "config")
    return control(*(member(f"./{name}", text, mode=0o755) for name in names))
