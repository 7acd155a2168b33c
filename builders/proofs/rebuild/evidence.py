# SPDX-License-Identifier: GPL-2.0-or-later
"""Where two contents part that should be the same, what stands there, and what it looks like.

Archives and compressed data are looked into, and ELF files by section: the first byte that
differs in such a file is a size or a digest, which only follows from what is the cause.
"""

from __future__ import annotations

import gzip
import io
import lzma
import re
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import zstandard

from builders.debkit import elf
from builders.text import moment, printable

_SPOOL = 8 << 20
_CHUNK = 1 << 20
_CONTEXT = 24  # bytes that are shown on each side
_NEAR = 256  # bytes on each side that are looked at for a cause
_INSIDE = 1 << 30  # bytes of what a compressed member decompresses to
_SECTION = 256 << 20  # bytes of a section that is compared by itself
_TEXT = 16 << 20  # bytes of a file whose lines are compared
_LONG = 5  # letters that are not in a file by chance
_DEPTH = 4  # a member of an archive in compressed data in an image
_DAY = 24 * 3600
_FOLLOWS = (".note.gnu.build-id", ".gnu_debuglink")  # digests of the rest


@dataclass(frozen=True)
class Known:
    """What is another on the second box, and how it reads there; "" where that is not known."""

    thing: str
    first: str
    second: str


def why(one: IO[bytes], other: IO[bytes], known: Sequence[Known] = ()) -> str:
    """From where on two contents differ, what stands there, and of what kind it is if that shows.

    known: what differs between the boxes. Both are read from their start, and left anywhere.
    """
    return _why(one, other, known, _DEPTH)


def _why(one: IO[bytes], other: IO[bytes], known: Sequence[Known], depth: int) -> str:
    at = _first(one, other)
    if at is None:
        return "the contents are the same"
    if depth:
        for look in (_compressed, _kernel, _archive, _elf):
            if told := look(one, other, known, depth - 1):
                return told
    return _at(one, other, at, at, known, "")


def _at(
    one: IO[bytes], other: IO[bytes], at: int, its: int, known: Sequence[Known], where: str
) -> str:
    near = [_near(file, offset, _NEAR) for file, offset in ((one, at), (other, its))]
    within = min(at, _NEAR), min(its, _NEAR)
    cause = _cause(near[0], near[1], *within, known)
    cause = cause or _order(one, other)
    if not cause and (further := _further(one, other, known)):
        cause, at, its = further
    if not cause and (stamps := _stamps(near[0], near[1], *within)):
        cause = f"a time stamp, {stamps}"
    shown = " and ".join(_around(file, offset) for file, offset in ((one, at), (other, its)))
    return f"{cause}{': ' if cause else ''}from byte {at}{where} on: {shown}"


# What it looks like

_DATES = re.compile(
    rb"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\w*,? +)?"
    rb"(?:\d{1,2} )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\w*[ ,]+"
    rb"(?:\d{1,2}[ ,]+)?(?:\d\d:\d\d(?::\d\d)? ?)?(?:[A-Z]{3,4} )?\d{4}(?: \d\d:\d\d:\d\d)?"
    rb"|\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?|\d\d/\d\d/\d{4}"
    rb"|\d\d:\d\d:\d\d|(?<!\d)20\d{6}(?:\d{4}(?:\d\d)?)?(?!\d)"
)
_SECONDS = re.compile(rb"(?<!\d)1[5-9]\d{8}(?!\d)")
_LETTERS = bytes([*b"\0\t\n\r", *range(32, 127)])
_NUMBER = re.compile(rb"(?<![\w.])\d{1,4}(?!\w|\.\d)")


def _cause(a: bytes, b: bytes, at: int, its: int, known: Sequence[Known]) -> str:
    """What differs at byte `at` of `a` and `its` of `b`, in words; "" where nothing tells."""
    for each in known:
        mine, theirs = (
            _covers(x, n, w) for x, n, w in ((a, at, each.first), (b, its, each.second))
        )
        if (mine or not each.first) and (theirs or not each.second) and (mine or theirs):
            return f"the {each.thing}"
    for pattern, word in ((_DATES, "a date or a time"), (_SECONDS, "seconds since 1970")):
        if _both(pattern, a, b, at, its):
            return word
    if _both(_NUMBER, a, b, at, its):
        return "a number, as of jobs or processors"
    return ""


def _covers(text: bytes, at: int, word: str) -> bool:
    """Whether byte `at` of `text` is in `word`, or right behind it."""
    it = word.encode()
    found = text.find(it, max(0, at - len(it))) if it else -1
    return 0 <= found <= at


def _both(pattern: re.Pattern[bytes], a: bytes, b: bytes, at: int, its: int) -> bool:
    return all(
        any(m.start() <= n <= m.end() for m in pattern.finditer(text))
        for text, n in ((a, at), (b, its))
    )


def _stamps(a: bytes, b: bytes, at: int, its: int) -> str:
    """Four bytes that are a time in both, as in a header: seconds since 1970, within a year."""
    now = time.time()
    for order in ("<I", ">I"):
        for back in range(4):
            if at < back or its < back:
                continue
            parts = a[at - back :][:4], b[its - back :][:4]
            # Four letters of text are such a number too.
            if any(len(part) < 4 or not part.translate(None, _LETTERS) for part in parts):
                continue
            times = [struct.unpack(order, part)[0] for part in parts]
            if all(now - 6 * 365 * _DAY < t < now + 40 * _DAY for t in times) and (
                abs(times[0] - times[1]) < 365 * _DAY
            ):
                return " and ".join(moment(t) for t in times)
    return ""


def _whole(*files: IO[bytes]) -> list[bytes]:
    """All of each file; nothing of any where one is large."""
    texts = []
    for file in files:
        file.seek(0)
        texts.append(file.read(_TEXT + 1))
    return texts if all(len(text) <= _TEXT for text in texts) else [b"" for _ in texts]


def _further(
    one: IO[bytes], other: IO[bytes], known: Sequence[Known]
) -> tuple[str, int, int] | None:
    """What of `known` only one has, and only the other has its counterpart, and where.

    A table of strings is in an order of its own, so that the first difference tells nothing.
    """
    a, b = _whole(one, other)
    for each in known:
        mine, its = each.first.encode(), each.second.encode()
        if min(len(mine), len(its)) < _LONG or mine in b or its in a:
            continue
        if mine in a and its in b:
            return f"the {each.thing}", a.index(mine), b.index(its)
    return None


def _order(one: IO[bytes], other: IO[bytes]) -> str:
    """Whether both have the same lines, or the same words of one, in another order."""
    texts = _whole(one, other)
    if len(texts[0]) != len(texts[1]) or b"\0" in texts[0][:_CHUNK]:
        return ""
    for split, what in ((bytes.splitlines, "lines"), (bytes.split, "words")):
        a, b = (sorted(split(text)) for text in texts)
        if a == b:
            return f"the same {what} in another order"
    return ""


# What is inside


def _compressed(one: IO[bytes], other: IO[bytes], known: Sequence[Known], depth: int) -> str:
    inner = [_decompressed(file) for file in (one, other)]
    if not inner[0] or not inner[1]:
        return ""
    with inner[0], inner[1]:
        if _first(inner[0], inner[1]) is not None:
            return f"inside its compressed data, {_why(inner[0], inner[1], known, depth)}"
    heads = [_near(file, 5, 5) for file in (one, other)]
    if heads[0][:2] == b"\x1f\x8b" and heads[0][4:8] != heads[1][4:8]:  # RFC 1952, MTIME
        times = (moment(struct.unpack("<I", head[4:8])[0]) for head in heads)
        return f"only the time in its gzip header differs: {' and '.join(times)}"
    return "only its compression differs"


def _decompressed(file: IO[bytes]) -> IO[bytes] | None:
    """What a gzip, xz or zstd file decompresses to; None where it is none, or not whole."""
    file.seek(0)
    head = file.read(6)
    file.seek(0)
    out = tempfile.SpooledTemporaryFile(_SPOOL)  # noqa: SIM115 - it has no name and goes with us
    try:
        source: Any
        if head[:2] == b"\x1f\x8b":
            source = gzip.GzipFile(fileobj=file, mode="rb")
        elif head == b"\xfd7zXZ\0":
            source = lzma.LZMAFile(file)  # noqa: SIM115
        elif head[:4] == b"\x28\xb5\x2f\xfd":
            source = zstandard.ZstdDecompressor().stream_reader(file, closefd=False)
        else:
            return None
        while (part := source.read(_CHUNK)) and out.tell() < _INSIDE:
            out.write(part)
    except (OSError, EOFError, lzma.LZMAError, zlib.error, zstandard.ZstdError):
        return None
    return out


def _kernel(one: IO[bytes], other: IO[bytes], known: Sequence[Known], depth: int) -> str:
    """The kernel in a bzImage, where its own header is the same."""
    inner = [_payload(file) for file in (one, other)]
    if inner[0] and inner[1] and _first(inner[0], inner[1]) is not None:
        return f"in the kernel that it carries, {_why(inner[0], inner[1], known, depth)}"
    return ""


def _payload(file: IO[bytes]) -> IO[bytes] | None:
    """Documentation/arch/x86/boot.rst of Linux: setup_sects, payload_offset, payload_length."""
    head = _near(file, 0, 0x250)
    if head[0x202:0x206] != b"HdrS":
        return None
    offset, length = struct.unpack("<II", head[0x248:0x250])
    file.seek(((head[0x1F1] or 4) + 1) * 512 + offset)
    return io.BytesIO(file.read(min(length, _INSIDE)))


def _archive(one: IO[bytes], other: IO[bytes], known: Sequence[Known], depth: int) -> str:
    """The first member of a library (ar(5)) that differs."""
    members = [list(_ar(file)) for file in (one, other)]
    for (head, content), (its_head, its) in zip(*members, strict=False):
        name = printable(head[:16].decode("latin-1")).strip()
        if content != its and name not in ("/", "//"):  # the index follows the members
            told = _why(io.BytesIO(content), io.BytesIO(its), known, depth)
            return f"in its member {name.rstrip('/')}, {told}"
        fields = ("name", 0, 16), ("date", 16, 28), ("owner", 28, 40), ("mode", 40, 48)
        for field, begin, end in fields:
            mine, theirs = (h[begin:end].decode("latin-1").strip() for h in (head, its_head))
            if mine != theirs:
                return printable(f"in its member {name}, the {field} is {mine} and {theirs}")
    return ""


def _ar(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    file.seek(0)
    if file.read(8) != b"!<arch>\n":
        return
    while len(head := file.read(60)) == 60 and head[48:58].strip().isdigit():
        size = int(head[48:58])
        yield head, file.read(min(size, _INSIDE))
        file.read(size % 2)


def _elf(one: IO[bytes], other: IO[bytes], known: Sequence[Known], _depth: int) -> str:
    """The section (elf(5)) that shows the cause, or else the first that differs."""
    mine, its = (_sections(file) for file in (one, other))
    if mine is None or its is None:
        return ""
    found: dict[str, str] = {}
    for name in dict.fromkeys((*mine, *its)):
        if name not in mine or name not in its:
            found[name] = f"section {name} only in the {'second' if name in its else 'first'}"
            continue
        a, b = (_part(file, each[name]) for file, each in ((one, mine), (other, its)))
        at = _first(a, b)
        if at is not None:
            found[name] = _at(a, b, at, at, known, f" of {printable(name)}")
    if not found:
        return ""
    if all(name in _FOLLOWS for name in found):
        return "only its build id differs, a digest of what its debugging symbols had too"
    telling = [text for text in found.values() if not text.startswith("from byte")]
    causes = [text for name, text in found.items() if name not in _FOLLOWS]
    told = [*telling, *causes, *found.values()][0]
    more = printable(", ".join(found))
    return told if len(found) == 1 else f"{told} (sections that differ: {more})"


def _sections(file: IO[bytes]) -> dict[str, elf.Section] | None:
    """The sections by name; None where it is no ELF file, or a damaged one."""
    if _near(file, 0, 4) != b"\x7fELF":
        return None
    window = elf.Window()
    file.seek(0)
    while part := file.read(_CHUNK):
        window.feed(part)
    try:
        return {each.name: each for each in elf.sections(window) if 0 < each.size <= _SECTION}
    except elf.ElfError:
        return None


def _part(file: IO[bytes], section: elf.Section) -> IO[bytes]:
    file.seek(section.offset)
    return io.BytesIO(file.read(section.size))


# Bytes


def _first(one: IO[bytes], other: IO[bytes]) -> int | None:
    """The offset of the first byte that differs."""
    one.seek(0)
    other.seek(0)
    at = 0
    while True:
        a, b = one.read(_CHUNK), other.read(_CHUNK)
        if a != b:
            near = zip(a, b, strict=False)
            return at + next((n for n, (x, y) in enumerate(near) if x != y), min(len(a), len(b)))
        if not a:
            return None
        at += len(a)


def _near(file: IO[bytes], at: int, size: int) -> bytes:
    file.seek(max(0, at - size))
    return file.read(min(at, size) + size)


def _around(file: IO[bytes], at: int) -> str:
    return repr(printable(_near(file, at, _CONTEXT).decode("latin-1")))
