# SPDX-License-Identifier: GPL-2.0-or-later
"""Headers are read as tarfile reads them, where dpkg does so too.

What dpkg reads in another way is held against dpkg itself, in tests/differential/containers.py.
"""

from __future__ import annotations

import contextlib
import tarfile
from tarfile import TarInfo
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.debkit.deb.headers import BAD_MODE, Headers

FIELDS = ("name", "mode", "uid", "gid", "size", "mtime", "type", "linkname", "uname", "gname")
Form = Literal[0, 1]
FORMATS: tuple[Form, ...] = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT)


def said(info: TarInfo) -> tuple[object, ...]:
    return tuple(getattr(info, field) for field in FIELDS)


def wanted(block: bytes) -> TarInfo:
    """What tarfile reads, put as dpkg has it."""
    info = TarInfo.frombuf(block, "utf-8", "surrogateescape")
    if info.type == tarfile.AREGTYPE:
        info.type = tarfile.REGTYPE
    if info.isdir() and block[:100].partition(b"\0")[0].endswith(b"/"):
        info.name += "/"  # which goes where it is known that no long name takes its place
    if block[156:157] in b"123456":
        info.size = 0
    if info.type in tarfile.GNU_TYPES and block[257:263] == b"ustar\0" and block[345]:
        prefix = block[345:500].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        info.name = f"{prefix}/{info.name}"  # dpkg asks for the format only
    info.mode &= 0o7777
    return info


def same(headers: Headers, block: bytes) -> bool:
    """Whether it is read as tarfile does; False where one of them refuses it."""
    try:
        expected = wanted(block)
        info = headers.read(block)
    except (tarfile.TarError, ValueError, OverflowError):
        return False
    if BAD_MODE in info.pax_headers:  # int() of Python, and so tarfile, takes any space
        return False
    assert said(info) == said(expected)
    return True


def block(info: TarInfo, form: Form = tarfile.GNU_FORMAT) -> bytes:
    return info.tobuf(form, "utf-8", "surrogateescape")[-512:]


Member = tuple[str, str, bytes, tuple[int, ...], tuple[str, str]]
infos: st.SearchStrategy[Member] = st.tuples(
    st.sampled_from(["./a", "./ü\udcff", "./" + "b" * 98, "./c" * 60, ".", "./x y"]),
    st.sampled_from(["", "./a", "../b", "ü" * 50]),
    st.sampled_from([b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"7", b"L", b"K", b"x"]),
    st.tuples(*[st.sampled_from([0, 1, 0o644, 0o7777, 2**21, 2**40])] * 5),
    st.sampled_from([("root", "root"), ("", ""), ("user", "ü")]),
)


@pytest.mark.slow
@given(st.lists(st.tuples(infos, st.sampled_from(FORMATS)), max_size=6))
@settings(max_examples=200, deadline=None)
def test_what_is_well_formed(members: list[tuple[Member, Form]]) -> None:
    headers = Headers()
    for (name, link, kind, numbers, owner), form in members:
        info = TarInfo(name)
        info.linkname, info.type = link, kind
        info.mode, info.uid, info.gid, info.size, info.mtime = numbers
        info.uname, info.gname = owner
        try:
            raw = block(info, form)
        except ValueError:  # too large for that format
            continue
        for _ in ("new", "known"):  # what was read once is read by what is remembered of it
            assert same(headers, raw)


@pytest.mark.slow
@given(st.integers(0, 511), st.integers(0, 255), st.booleans())
@settings(max_examples=250, deadline=None)
def test_what_was_damaged(at: int, value: int, mend: bool) -> None:
    headers = Headers()
    raw = bytearray(block(TarInfo("./usr/bin/x")))
    assert same(headers, bytes(raw))
    raw[at] = value
    if mend:
        raw[148:156] = b" " * 8
        raw[148:156] = b"%06o\0 " % sum(raw)
    if at not in range(257, 265) and at < 345:  # which format it is, tarfile tells in another way
        same(headers, bytes(raw))
    else:
        with contextlib.suppress(ValueError):
            assert headers.read(bytes(raw)).size == 0


def test_what_members_share_is_held_once() -> None:
    headers = Headers()
    one, other = (headers.read(block(TarInfo(name))) for name in ("./a", "./b"))
    assert one.uname is other.uname
    assert one.pax_headers is other.pax_headers
    assert (one.chksum, other.chksum) == (0, 0)


def test_many_owners_are_not_all_remembered() -> None:
    headers = Headers()
    for number in range(1000):
        info = TarInfo("./a")
        info.uid = number
        assert same(headers, block(info))
    assert len(headers._like) == 64
