# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes to a package that get past its outer layers: the archives inside are broken too.

Each is drawn by the generator that is handed in and by nothing else.
"""

from __future__ import annotations

import contextlib
import io
import random
import re
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace

from builders.debkit import codecs
from tests.fuzz import values
from tests.fuzz.hostile import gzipped
from tests.unit import debs

_WORDS = (
    b"\0",
    b"\n",
    b"\xff",
    b"\x1b[2J",
    b"\x7fELF",
    b"../",
    b"/",
    b"0" * 8,
    b"7" * 11,
    b"\x80" + b"\xff" * 11,
    b"%s%n",
    b": ",
    b" (>= ",
    b"#!",
    b"Package: x\n",
    "é\u202e".encode(),
)


def mutated(data: bytes, rng: random.Random, layer: str = "") -> bytes:
    """A package of that one with a few changes in one of `LAYERS`, by default a drawn one."""
    return LAYERS[layer or drawn(rng)](data, rng)


def drawn(rng: random.Random) -> str:
    """One of `LAYERS`, the deep ones more often: of the outer ones little is read behind."""
    return rng.choices(tuple(LAYERS), _WEIGHTS)[0]


def headed(data: bytes, rng: random.Random) -> bytes:
    """A header of the ar archive says something else, or a member is gone, or there twice."""
    members = split(data)
    if not members:
        return broken(data, rng)
    kind = rng.randrange(8)
    at = rng.randrange(len(members))
    if kind == 0:
        del members[at]
    elif kind == 1:
        members.insert(rng.randrange(len(members) + 1), members[at])
    elif kind == 2:
        members.insert(rng.randrange(len(members) + 1), ("_x", rng.choice(values.CONTENTS)))
    raw = bytearray(debs.ar((name[:16], content) for name, content in members))
    if kind > 2 and members:
        start = 8 + sum(60 + len(content) + len(content) % 2 for _, content in members[:at])
        offset, size, texts = rng.choice(values.AR_FIELDS)
        raw[start + offset : start + offset + size] = rng.choice(texts).ljust(size)
    return bytes(raw)


def archived(data: bytes, rng: random.Random) -> bytes:
    """The blocks and bytes of what is packed in the package are others."""
    members = split(data)
    if not members:
        return broken(data, rng)
    archives = [at for at, (name, _) in enumerate(members) if ".tar" in name]
    number = rng.choice(archives or [0])
    for at, (name, content) in enumerate(members):
        if at != number and rng.random() < 0.8:
            continue
        plain = unpacked(name, content)
        if plain is None:
            members[at] = (name, broken(content, rng))
        else:
            members[at] = _packed(name, repaired(tarred(plain, rng), rng), rng)
    if rng.random() < 0.05:
        rng.shuffle(members)
    return debs.ar([(name[:16], content) for name, content in members])


def _inside(part: str, change: Callable[[list[debs.Item], random.Random], None]) -> _Change:
    """What changes the members of control.tar or data.tar, whichever `part` names."""

    def changed(data: bytes, rng: random.Random) -> bytes:
        members = split(data)
        for at, (name, content) in enumerate(members):
            plain = unpacked(name, content) if name.startswith(part) else None
            items = read(plain) if plain is not None else []
            if items:
                for _ in range(rng.choice((1, 1, 1, 2, 3))):
                    change(items, rng)
                members[at] = _packed(name, debs.tar(items), rng)
                return debs.ar(members)
        return archived(data, rng)

    return changed


def _controlled(items: list[debs.Item], rng: random.Random) -> None:
    """A field, or a line of another control file, is another one, is gone, or there twice."""
    files = [n for n, item in enumerate(items) if item.kind == tarfile.REGTYPE]
    kind = rng.randrange(10)
    if not files or kind == 0:
        name = rng.choice(tuple(values.CONTROL_FILES))
        content = rng.choice(values.CONTROL_FILES[name])
        items.append(debs.Item(f"./{name}", content, mode=rng.choice((0o644, 0o755))))
        return
    control = [n for n in files if items[n].name.removeprefix("./") == "control"]
    at = control[0] if control and kind < 7 else rng.choice(files)
    item = items[at]
    if item.name.removeprefix("./") == "control":
        items[at] = replace(item, content=_fields(item.content, rng))
    elif kind == 9:
        items[at] = replace(item, mode=rng.choice(values.MODES))
    else:
        items[at] = replace(item, content=_lines(item.content, rng))


def _fields(content: bytes, rng: random.Random) -> bytes:
    fields = re.findall(rb"[^\n]*\n(?:[ \t][^\n]*\n)*", content)
    if not fields:
        return broken(content, rng)
    at, kind = rng.randrange(len(fields)), rng.randrange(12)
    name, _, value = fields[at].partition(b":")
    if kind == 0:
        del fields[at]
    elif kind == 1:
        fields.insert(rng.randrange(len(fields)), fields[at])
    elif kind == 2:
        fields[at] = name + b":" + broken(value, rng)
    elif kind == 3:
        fields[at] = name + b":" + value.rstrip(b"\n") + rng.choice(_WORDS) + b"\n"
    elif kind == 4:
        fields[at] = name.swapcase() + b":" + value
    elif kind == 5:
        rng.shuffle(fields)
    else:
        name = name if kind < 8 and name in values.FIELDS else rng.choice(tuple(values.FIELDS))
        fields = [field for field in fields if not field.startswith(name + b":")]
        fields.insert(at, name + b": " + rng.choice(values.FIELDS[name]) + b"\n")
    return b"".join(fields)


def _lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    kind = rng.randrange(5)
    if not lines or kind == 0:
        return broken(content, rng)
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    if kind == 1:
        del lines[at]
    elif kind == 2:
        lines.insert(other, lines[at])
    elif kind == 3:
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines.insert(at, rng.choice(values.CONTROL_FILES[rng.choice(tuple(values.CONTROL_FILES))]))
    return b"".join(lines)


def _placed(items: list[debs.Item], rng: random.Random) -> None:
    """A member has another name, content, type, mode, owner or target, or is gone, or new."""
    at = rng.randrange(len(items))
    item = items[at]
    kind = rng.randrange(12)
    if kind == 0 and len(items) > 1:
        del items[at]
    elif kind == 1:
        items.insert(rng.randrange(len(items) + 1), item)
    elif kind == 2:
        other = rng.randrange(len(items))
        items[at], items[other] = items[other], item
    elif kind == 3:
        items[at] = replace(item, name=f"./{rng.choice(values.PATHS)}")
    elif kind == 4:
        items[at] = replace(item, mode=rng.choice(values.MODES))
    elif kind == 5:
        kinds = bytes((rng.choice(values.TYPES),))
        items[at] = replace(item, kind=kinds, link=item.link or rng.choice(values.LINKS))
    elif kind == 6:
        owner = rng.choice((0, 1, 8, 1000, 65534, 1 << 21))
        items[at] = replace(
            item, uid=owner, gid=owner, uname=rng.choice(("", "root", "man", "x" * 32))
        )
    elif kind == 7:
        items[at] = replace(item, mtime=rng.choice((0, 1, 1 << 31, 1 << 33, (1 << 63) - 1)))
    elif kind == 8 and item.content:
        items[at] = replace(item, content=broken(item.content, rng))
    elif kind == 9 and item.kind == tarfile.REGTYPE:
        items[at] = replace(item, content=rng.choice(values.CONTENTS))
    elif kind == 10 and item.link:
        items[at] = replace(item, link=rng.choice(values.LINKS))
    else:
        path, content = rng.choice(values.PATHS), rng.choice(values.CONTENTS)
        new = debs.Item(f"./{path}", content, mode=rng.choice((0o644, 0o755)))
        if rng.random() < 0.2:
            new = debs.symlink(f"./{path}", rng.choice(values.LINKS))
        parents = {one.name for one in items}
        items += [one for one in debs.with_folders([new]) if one.name not in parents]


def read(data: bytes) -> list[debs.Item]:
    """The members of a tar archive, without what is after the first that is unsound."""
    items = []
    with (
        contextlib.suppress(tarfile.TarError, ValueError, EOFError),
        tarfile.open(fileobj=io.BytesIO(data), mode="r:", errors="surrogateescape") as archive,
    ):
        for info in archive:
            file = archive.extractfile(info) if info.isreg() else None
            name, content = info.name + "/" * info.isdir(), file.read() if file else b""
            what = (info.type, info.linkname, info.mode, int(info.mtime))
            owner = (info.uid, info.gid, info.uname, info.gname)
            items.append(debs.Item(name, content, *what, *owner))
    return items


def _packed(name: str, data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """The member of that name with this archive in it, mostly in gzip's form."""
    stem = name.partition(".tar")[0] + ".tar"
    if rng.random() < 0.3:
        return stem, data
    return f"{stem}.gz", gzipped([data])


def split(data: bytes) -> list[tuple[str, bytes]]:
    """The members of an ar archive that is still sound."""
    members, at = [], 8
    while at + 60 <= len(data):
        size = data[at + 48 : at + 58].strip()
        if not size.isdigit():
            return []
        name = data[at : at + 16].decode("latin-1").strip()
        members.append((name, data[at + 60 : at + 60 + int(size)]))
        at += 60 + int(size) + int(size) % 2
    return members


def unpacked(name: str, content: bytes) -> bytes | None:
    """The tar archive in a member, or None."""
    import bz2
    import lzma
    import zlib

    import zstandard

    suffix = name.partition(".tar")[2]
    if ".tar" not in name or suffix not in {codec.suffix for codec in codecs.CODECS}:
        return None
    try:
        if suffix == ".gz":
            return zlib.decompressobj(wbits=31).decompress(content, 4 << 20)
        if suffix in (".xz", ".lzma"):
            return lzma.LZMADecompressor().decompress(content, 4 << 20)
        if suffix == ".bz2":
            return bz2.BZ2Decompressor().decompress(content, 4 << 20)
        if suffix == ".zst":
            return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    except (zlib.error, lzma.LZMAError, OSError, ValueError, zstandard.ZstdError):
        return None
    return content


def tarred(data: bytes, rng: random.Random) -> bytes:
    """Blocks taken out, doubled or exchanged, and bytes changed."""
    blocks = [data[n : n + 512] for n in range(0, len(data), 512)]
    for _ in range(rng.randrange(3)):
        if len(blocks) < 2:
            break
        one, other = rng.randrange(len(blocks)), rng.randrange(len(blocks))
        kind = rng.randrange(3)
        if kind == 0:
            blocks[one], blocks[other] = blocks[other], blocks[one]
        elif kind == 1:
            blocks.insert(one, blocks[other])
        else:
            del blocks[one]
    return broken(b"".join(blocks), rng)


def broken(data: bytes, rng: random.Random) -> bytes:
    """A few bytes of it are others."""
    raw = bytearray(data)
    for _ in range(1 + rng.randrange(rng.choice((1, 1, 2, 6)))):
        if not raw:
            break
        at, kind = rng.randrange(len(raw)), rng.randrange(6)
        if kind < 2:
            raw[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            raw[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 3:
            word = rng.choice(_WORDS)
            raw[at : at + len(word)] = word
        elif kind == 4:
            count = rng.randrange(1, 65)
            raw[at : at + count] = raw[at : at + count] * rng.randrange(3)
        elif rng.random() < 0.2:
            del raw[at:]
    return bytes(raw)


def repaired(data: bytes, rng: random.Random) -> bytes:
    """The checksums of the headers are right again, mostly, so that what is behind them is read."""
    if rng.random() < 0.1:
        return data
    raw = bytearray(data)
    for match in re.finditer(rb"ustar", data):
        start = match.start() - 257
        if start >= 0 and start % 512 == 0 and start + 512 <= len(raw):
            raw[start + 148 : start + 156] = b" " * 8
            raw[start + 148 : start + 156] = b"%06o\0 " % sum(raw[start : start + 512])
    return bytes(raw)


_Change = Callable[[bytes, random.Random], bytes]
_control, _members = _inside("control", _controlled), _inside("data", _placed)
LAYERS: Mapping[str, _Change] = {
    "bytes": broken,
    "ar": headed,
    "archives": archived,
    "control": _control,
    "members": _members,
    "both": lambda data, rng: _control(_members(data, rng), rng),
}
_WEIGHTS = (10, 10, 15, 25, 25, 15)
