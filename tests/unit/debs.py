# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages, good ones and bad ones, made byte by byte for the tests."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.debkit import codecs

CONTROL = {
    "Package": "sample",
    "Version": "1.0",
    "Architecture": "amd64",
    "Maintainer": "Some One <some.one@example.org>",
    "Description": "sample package\n It has an extended description.",
}


@dataclass(frozen=True)
class Item:
    """A member of a tar archive: a file, or what `kind` says."""

    name: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    mode: int = 0o644
    mtime: int = 1_000_000_000
    uid: int = 0
    gid: int = 0
    uname: str = ""
    gname: str = ""


def folder(name: str, mode: int = 0o755) -> Item:
    return Item(name, kind=tarfile.DIRTYPE, mode=mode)


def symlink(name: str, target: str) -> Item:
    return Item(name, kind=tarfile.SYMTYPE, link=target, mode=0o777)


def hardlink(name: str, target: str) -> Item:
    return Item(name, kind=tarfile.LNKTYPE, link=target)


def tar(items: Iterable[Item], tar_format: int = tarfile.GNU_FORMAT) -> bytes:
    """An archive of the items, as they are."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as archive:
        for item in items:
            info = tarfile.TarInfo(item.name)
            info.type, info.linkname, info.mode = item.kind, item.link, item.mode
            info.mtime, info.uid, info.gid = item.mtime, item.uid, item.gid
            info.uname = item.uname or ("root" if item.uid == 0 else "builder")
            info.gname = item.gname or ("root" if item.gid == 0 else "builder")
            info.size = len(item.content)
            archive.addfile(info, io.BytesIO(item.content))
    return out.getvalue()


def ar(members: Iterable[tuple[str, bytes]], mtime: int = 1_000_000_000) -> bytes:
    """An ar archive of (name, content)."""
    out = b"!<arch>\n"
    for name, content in members:
        out += f"{name:<16}{mtime:<12}0     0     100644  {len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    return out


def with_folders(items: Iterable[Item]) -> list[Item]:
    """The items, each after the directories that lead to it."""
    done: dict[str, Item] = {"./": folder("./")}
    for item in items:
        parts = item.name.removeprefix("./").rstrip("/").split("/")[:-1]
        for n in range(len(parts)):
            name = "./" + "/".join(parts[: n + 1]) + "/"
            done.setdefault(name, folder(name))
        done[item.name.rstrip("/") + ("/" if item.kind == tarfile.DIRTYPE else "")] = item
    return list(done.values())


def control_tar(
    control: Mapping[str, str] | str, files: Mapping[str, bytes] | None = None
) -> bytes:
    if not isinstance(control, str):
        control = "".join(f"{name}: {value}\n" for name, value in control.items())
    return tar(
        [
            folder("./"),
            Item("./control", control.encode()),
            *(Item(f"./{name}", content) for name, content in (files or {}).items()),
        ]
    )


def make(
    path: Path,
    items: Iterable[Item] = (),
    *,
    control: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
    codec: str = "none",
    control_codec: str = "gzip",
    extra: Sequence[tuple[str, bytes]] = (),
    exact: bool = False,
) -> Path:
    """Write a .deb. `control` is laid over CONTROL, where "" drops a field.

    files: of control.tar. extra: members before control.tar. exact: no directories are added.
    """
    fields = {k: v for k, v in {**CONTROL, **(control or {})}.items() if v}
    first, second = codecs.by_name(control_codec), codecs.by_name(codec)
    data = tar(items if exact else with_folders(items))
    path.write_bytes(
        ar(
            [
                ("debian-binary", b"2.0\n"),
                *extra,
                ("control.tar" + first.suffix, codecs.compress(control_tar(fields, files), first)),
                ("data.tar" + second.suffix, codecs.compress(data, second)),
            ]
        )
    )
    return path


def md5sums(items: Iterable[Item]) -> bytes:
    """The md5sums file for the regular files among the items."""
    return b"".join(
        f"{hashlib.md5(i.content, usedforsecurity=False).hexdigest()}  {i.name[2:]}\n".encode()
        for i in items
        if i.kind == tarfile.REGTYPE
    )


def elf(
    needed: Sequence[str] = (),
    *,
    soname: str = "",
    machine: int = 62,
    fill: int = 0,
    strings_last: bool = False,
    stack: int | None = 6,
    tags: Sequence[tuple[int, int]] = (),
    texts: Sequence[tuple[int, str]] = (),
    symbols: bool = False,
    program: bool = False,
) -> bytes:
    """A 64-bit dynamic object (elf(5)) for x86-64, with no code and no sections.

    stack: the flags of PT_GNU_STACK, None for no such header.
    tags: further ones of the dynamic section; texts: such whose value is a string.
    symbols: it has a section header of a symbol table. program: it has PT_INTERP.
    fill: bytes of filling between its dynamic section and the rest.
    strings_last: the string table lies behind the filling.
    """
    table = b"\0"
    offsets = []
    for text in (*needed, soname, *(text for _, text in texts)):
        offsets.append(len(table))
        table += text.encode() + b"\0"
    count = len(needed)
    tags = [(1, offset) for offset in offsets[:count]] + list(tags)
    if soname:
        tags.append((14, offsets[count]))
    tags += [(tag, at) for (tag, _), at in zip(texts, offsets[count + 1 :], strict=True)]
    size = 16 * (len(tags) + 3)
    segments = 2 + (stack is not None) + program
    dynamic = 64 + segments * 56
    strings = dynamic + size + (fill if strings_last else 0)
    tags += [(5, strings), (10, len(table)), (0, 0)]
    body = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    body += bytes(fill) + table if strings_last else table + bytes(fill)
    total = dynamic + len(body)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    sections = struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, 0, 0, 0, 0, 0, 0) if symbols else b""
    header += struct.pack(
        "<HHIQQQIHHHHHH",
        *(3, machine, 1, 0, 64, total if symbols else 0, 0, 64, 56, segments, 64, symbols, 1),
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, total, total, 4096)
    segment = struct.pack("<IIQQQQQQ", 2, 6, dynamic, dynamic, dynamic, size, size, 8)
    if stack is not None:
        segment += struct.pack("<IIQQQQQQ", 0x6474E551, stack, 0, 0, 0, 0, 0, 16)
    if program:
        segment += struct.pack("<IIQQQQQQ", 3, 4, 0, 0, 0, 0, 0, 1)
    return header + load + segment + body + sections


def mkdeb(path: Path) -> Path:
    """A package as poor as mkdeb of Xen leaves it: no Depends, no md5sums, links in /boot."""
    items = [
        Item("./boot/xen-4.17.5.gz", b"hypervisor" * 4000),
        symlink("./boot/xen.gz", "xen-4.17.5.gz"),
        symlink("./boot/xen-4.gz", "xen-4.17.5.gz"),
        symlink("./boot/xen-4.17.gz", "xen-4.17.5.gz"),
        Item("./boot/xen-syms-4.17.5", elf() + bytes(100_000)),
        Item("./etc/xen/xl.conf", b"autoballoon=0\n"),
        Item("./etc/xen/cpupool", b"name=x\n"),
        Item("./etc/init.d/xencommons", b"#!/bin/bash\n", mode=0o755),
        Item("./usr/bin/pygrub", b"#!/usr/bin/env python3\n", mode=0o755),
        Item(
            "./usr/sbin/xl", elf(["libc.so.6", "libyajl.so.2", "libxenlight.so.4.17"]), mode=0o755
        ),
        Item("./usr/lib/libxenlight.so.4.17.0", elf(["libc.so.6"], soname="libxenlight.so.4.17")),
        symlink("./usr/lib/libxenlight.so.4.17", "libxenlight.so.4.17.0"),
        folder("./var/lib/xen/"),
    ]
    return make(
        path,
        items,
        control={
            "Package": "xen-upstream-4.17.5",
            "Source": "xen-upstream",
            "Version": "4.17.5",
            "Maintainer": "Unmaintained snapshot",
            "Description": "Xen upstream build",
            "Conflicts": "libxenstore3.0, xen-utils-4.17",
        },
        files={"conffiles": b"/etc/xen/xl.conf\n/etc/default/xencommons\n"},
        control_codec="none",
    )
