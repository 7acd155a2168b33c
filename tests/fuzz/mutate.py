# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes to a package that get past its outer layers: the archives inside are broken too."""

from __future__ import annotations

import random
import re

from builders.debkit import codecs
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


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A package of that one with a few changes: of its bytes, or of what is packed in it."""
    if rng.random() < 0.25:
        return broken(data, rng)
    members = split(data)
    if not members:
        return broken(data, rng)
    number = rng.randrange(len(members))
    for at, (name, content) in enumerate(members):
        if at != number and rng.random() < 0.8:
            continue
        plain = unpacked(name, content)
        if plain is None:
            members[at] = (name, broken(content, rng))
        else:
            whole = repaired(tarred(plain, rng), rng)
            members[at] = (name.partition(".tar")[0] + ".tar.gz", gzipped([whole]))
    if rng.random() < 0.05:
        rng.shuffle(members)
    return debs.ar([(name[:16], content) for name, content in members])


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
