# SPDX-License-Identifier: GPL-2.0-or-later
"""What an ELF file says of itself (elf(5)), read from as little of it as that takes.

A file goes by once, as a stream: its beginning and its end are kept, and what its program
headers point to between them. Nothing that the file states is believed: every table has a limit.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEAD = 24 << 20  # kept of the beginning; few files are larger
_TAIL = 8 << 20  # kept of the end: section headers, often the dynamic section
_PARTS = 4 << 20  # of the dynamic section and the notes, where they lie between the two
_HEADERS = 70_000  # of program or section headers: their numbers have 16 bits
_TAGS = 20_000  # of the dynamic section; the largest in Debian have some hundred
_STRING = 4096
_NAMES = 1 << 20  # bytes of the names of sections
_LOADS = 512  # segments that are looked through for an address; real files have some ten
_PATHS = 1000  # folders of a search path
_UNITS = 1_000_000  # of work for one package: headers, tags and sixteenths of strings

MAGIC = b"\x7fELF"
_EXEC, _DYN = 2, 3
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_NOTE, _PT_STACK = 1, 2, 3, 4, 0x6474E551
_NEEDED, _STRTAB, _SONAME, _RPATH, _TEXTREL, _RUNPATH, _FLAGS = 1, 5, 14, 15, 22, 29, 30
_VERNEED, _VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
_SHT_SYMTAB, _SHT_NOTE, _SHT_NOBITS = 2, 7, 8
_DEBUG = (b".debug_info", b".zdebug_info")
_DF_TEXTREL = 4
_VER_FLG_WEAK = 2


class ElfError(Exception):
    """A damaged ELF file; the text says what is wrong."""


@dataclass(frozen=True)
class Elf:
    """An executable or shared object.

    machine: e_machine. dynamic: it has a dynamic section. program: it names an interpreter.
    needed, soname, runpath: of the dynamic section; runpath is that of DT_RPATH too.
    versions: the symbol versions that it needs, by library.
    symbols: it has a symbol table for debuggers. debug: it has debugging information.
    stack: None where no header says whether the stack is executable.
    build_id: in hexadecimal, or "".
    """

    machine: int
    dynamic: bool = False
    program: bool = False
    needed: tuple[str, ...] = ()
    soname: str = ""
    runpath: tuple[str, ...] = ()
    versions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    symbols: bool = False
    debug: bool = False
    stack: bool | None = None
    textrel: bool = False
    build_id: str = ""


@dataclass(frozen=True)
class Section:
    """A section: its name, and where its content is in the file. size: 0 where it has none."""

    name: str
    offset: int
    size: int


class Budget:
    """How much of the ELF files of one package is looked into, all together.

    Each table of a file has its limit, and so has the number of files: their product has this one.
    """

    def __init__(self, units: int = _UNITS) -> None:
        self._left = units

    @property
    def spent(self) -> bool:
        return self._left < 0

    def spend(self, units: int) -> None:
        """ElfError where no more is left."""
        self._left -= units
        if self._left < 0:
            raise ElfError(TOO_MUCH)


TOO_MUCH = "the ELF files of the package have more tables than are looked into"


def is_object(head: bytes) -> bool:
    """Whether `head` begins an executable or shared object: kernel modules are neither."""
    if len(head) < 20 or head[:4] != MAGIC or head[4] not in (1, 2) or head[5] not in (1, 2):
        return False
    (kind,) = struct.unpack("<H" if head[5] == 1 else ">H", head[16:18])
    return kind in (_EXEC, _DYN)


class Window:
    """The parts of a file that are worth keeping while it goes by."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._parts: list[tuple[int, int, bytearray]] | None = None  # start, end, bytes
        self.size = 0

    def feed(self, part: bytes | memoryview) -> None:
        """The next bytes of the file."""
        start = self.size
        self.size += len(part)
        room = HEAD - len(self._head)
        if room > 0:
            self._head += part[:room]
            if room >= len(part):
                return
            start, part = start + room, part[room:]
        if self._parts is None:
            self._parts = [(a, b, bytearray()) for a, b in _wanted(self)]
        for first, last, kept in self._parts:
            at = first + len(kept)
            if start <= at < start + len(part) and at < last:
                kept += part[at - start : last - start]
        self._tail += part
        if len(self._tail) > 2 * _TAIL:
            del self._tail[:-_TAIL]

    def at(self, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`; ElfError where they are not there or were not kept."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise ElfError("a table of it lies past its end")
        if offset + size <= len(self._head):
            return bytes(self._head[offset : offset + size])
        first = self.size - len(self._tail)
        if offset >= first:
            return bytes(self._tail[offset - first : offset - first + size])
        for start, _, kept in self._parts or ():
            if start <= offset and offset + size <= start + len(kept):
                return bytes(kept[offset - start : offset - start + size])
        raise ElfError("a table of it lies where it is not looked for, in a file of this size")

    def text(self, offset: int) -> str:
        """The string at `offset`, cut at a limit."""
        size = min(_STRING, self.size - offset)
        return self.at(offset, size).partition(b"\0")[0].decode("utf-8", "replace")


@dataclass(frozen=True)
class _Form:
    """The layout of one file: byte order and width of a word."""

    order: str
    wide: bool

    @classmethod
    def of(cls, window: Window) -> _Form:
        ident = window.at(0, 20)
        return cls("<" if ident[5] == 1 else ">", ident[4] == 2)

    def unpack(self, layout: str, data: bytes) -> tuple[int, ...]:
        """As struct.unpack; "N" is a word of this file's width."""
        return struct.unpack(self.order + layout.replace("N", "Q" if self.wide else "I"), data)

    def size(self, layout: str) -> int:
        return struct.calcsize("=" + layout.replace("N", "Q" if self.wide else "I"))

    def header(self, window: Window) -> tuple[int, ...]:
        """e_machine, then the place, entry size and count of both tables, and e_shstrndx."""
        layout = "HHINNNIHHHHHH"
        h = self.unpack(layout, window.at(16, self.size(layout)))
        return h[1], h[4], h[5], h[8], h[9], h[10], h[11], h[12]

    def segments(self, window: Window) -> list[tuple[int, int, int, int, int]]:
        """p_type, p_flags, p_offset, p_vaddr and p_filesz of each program header."""
        _, offset, _, step, count, *_ = self.header(window)
        least = 56 if self.wide else 32
        if not count:
            return []
        if step < least:
            raise ElfError("its program headers are too small")
        table = window.at(offset, step * count)
        found = []
        for n in range(min(count, _HEADERS)):
            data = table[n * step : n * step + least]
            if self.wide:
                kind, flags, where, address, _, size, _, _ = self.unpack("IIQQQQQQ", data)
            else:
                kind, where, address, _, size, _, flags, _ = self.unpack("IIIIIIII", data)
            found.append((kind, flags, where, address, size))
        return found


def _wanted(window: Window) -> list[tuple[int, int]]:
    """The ranges behind the head that will be asked for."""
    try:
        segments = _Form.of(window).segments(window)
    except ElfError:
        return []
    kinds = (_PT_DYNAMIC, _PT_NOTE)
    room = _PARTS
    found = []
    for kind, _, start, _, size in segments[:64]:
        if kind in kinds and start + size > HEAD and size <= room:
            room -= size
            found.append((max(start, HEAD), start + size))
    return found


def read(window: Window, budget: Budget) -> Elf:
    """What the file in `window` says; ElfError where it is damaged, or the budget is spent."""
    try:
        return _read(window, budget)
    except struct.error as error:
        raise ElfError(f"a table of it is cut short ({error})") from None


def _read(window: Window, budget: Budget) -> Elf:
    form = _Form.of(window)
    machine, _, _, _, headers, _, count, _ = form.header(window)
    budget.spend(8 + headers + count)
    segments = form.segments(window)
    stack: bool | None = None
    build_id = ""
    dynamic: tuple[int, int] | None = None
    for kind, flags, offset, _, size in segments:
        if kind == _PT_STACK:
            stack = bool(flags & 1)
        elif kind == _PT_DYNAMIC and dynamic is None:
            dynamic = offset, size
        elif kind == _PT_NOTE and not build_id:
            build_id = _build_id(form, window, offset, size)
    symbols, debug = _for_debuggers(form, window)
    program = any(kind == _PT_INTERP for kind, *_ in segments)
    if dynamic is None:
        return Elf(
            machine,
            program=program,
            symbols=symbols,
            debug=debug,
            stack=stack,
            build_id=build_id,
        )
    tags = _tags(form, window, *dynamic)
    budget.spend(len(tags))
    strings = next((value for tag, value in tags if tag == _STRTAB), None)
    loads = [segment for segment in segments if segment[0] == _PT_LOAD]
    if len(loads) > _LOADS:
        raise ElfError(f"it has more than {_LOADS} segments to load")
    texts: dict[int, str] = {}  # what was read already, by its offset

    def text(offset: int) -> str:
        if strings is None:
            raise ElfError("its dynamic section has no strings")
        if offset not in texts:
            budget.spend(1 + len(loads) // 8)
            texts[offset] = window.text(_placed(loads, strings + offset))
            budget.spend(len(texts[offset]) // 16)
        return texts[offset]

    values: dict[int, list[str]] = {}
    textrel = False
    verneed = [0, 0]
    for tag, value in tags:
        if tag in (_NEEDED, _SONAME, _RPATH, _RUNPATH):
            values.setdefault(tag, []).append(text(value))
        elif tag == _TEXTREL or (tag == _FLAGS and value & _DF_TEXTREL):
            textrel = True
        elif tag in (_VERNEED, _VERNEEDNUM):
            verneed[tag - _VERNEED] = value
    paths = [*values.get(_RPATH, ()), *values.get(_RUNPATH, ())]
    versions: list[tuple[str, tuple[str, ...]]] = []
    if verneed[0]:
        at = _placed(loads, verneed[0])
        for _ in range(min(verneed[1], 1000)):
            _, auxes, file, aux, following = form.unpack("HHIII", window.at(at, 16))
            where, needs = at + aux, []
            budget.spend(1 + min(auxes, 1000))
            for _ in range(min(auxes, 1000)):
                _, weak, _, name, forward = form.unpack("IHHII", window.at(where, 16))
                if not weak & _VER_FLG_WEAK:
                    needs.append(text(name))
                where += forward
                if not forward:
                    break
            versions.append((text(file), tuple(needs)))
            at += following
            if not following:
                break
    return Elf(
        machine,
        dynamic=True,
        program=program,
        needed=tuple(values.get(_NEEDED, ())),
        soname=next(iter(values.get(_SONAME, ())), ""),
        runpath=_folders(paths),
        versions=tuple(versions),
        symbols=symbols,
        debug=debug,
        stack=stack,
        textrel=textrel,
        build_id=build_id,
    )


def _folders(paths: list[str]) -> tuple[str, ...]:
    """The folders of these search paths, each once, up to a limit."""
    folders: dict[str, None] = {}
    for path in dict.fromkeys(paths):
        for folder in path.split(":"):
            folders[folder] = None
            if len(folders) >= _PATHS:
                return tuple(folders)
    return tuple(folders)


def _tags(form: _Form, window: Window, offset: int, size: int) -> list[tuple[int, int]]:
    step = form.size("NN")
    found = []
    for n in range(size // step):
        if n >= _TAGS:
            raise ElfError("its tables have no end")
        tag, value = form.unpack("NN", window.at(offset + n * step, step))
        if not tag:
            break
        found.append((tag, value))
    return found


def _placed(loads: list[tuple[int, int, int, int, int]], address: int) -> int:
    """The offset in the file of an address in memory."""
    for _, _, offset, start, size in loads:
        if start <= address < start + size:
            return offset + address - start
    raise ElfError("a table of it lies in no segment")


def _build_id(form: _Form, window: Window, offset: int, size: int) -> str:
    notes = window.at(offset, min(size, 1 << 16))
    at = 0
    for _ in range(100):
        if at + 12 > len(notes):
            break
        name, content, kind = form.unpack("III", notes[at : at + 12])
        start = at + 12 + (-(-name // 4) * 4)
        if kind == 3 and notes[at + 12 : at + 16] == b"GNU\0":
            return notes[start : start + min(content, 64)].hex()
        at = start + (-(-content // 4) * 4)
    return ""


def build_id(window: Window) -> str:
    """The build id of an ELF file of any kind, in hexadecimal; "" where it has none.

    An object that is not linked, as a kernel's module, has it in a section and in no segment.
    ElfError if damaged.
    """
    try:
        form = _Form.of(window)
        headers, _ = _section_headers(form, window)
        for header in headers:
            if header[1] == _SHT_NOTE and (found := _build_id(form, window, header[4], header[5])):
                return found
    except struct.error as error:
        raise ElfError(f"a table of it is cut short ({error})") from None
    return ""


def sections(window: Window) -> list[Section]:
    """The sections of an ELF file of any kind, which `window` has seen; ElfError if damaged."""
    try:
        form = _Form.of(window)
        headers, strings = _section_headers(form, window)
    except struct.error as error:
        raise ElfError(f"a table of it is cut short ({error})") from None
    return [
        Section(
            strings[name : name + _STRING].partition(b"\0")[0].decode("utf-8", "replace"),
            offset,
            0 if kind == _SHT_NOBITS else size,
        )
        for name, kind, _, _, offset, size, *_ in headers
    ]


def _section_headers(form: _Form, window: Window) -> tuple[list[tuple[int, ...]], bytes]:
    """The section headers, as elf(5) has them, and their names, none where they are too long."""
    _, _, offset, _, _, step, count, names = form.header(window)
    layout = "IINNNNIINN"
    least = form.size(layout)
    if not offset or not count:
        return [], b""
    if step < least:
        raise ElfError("its section headers are too small")
    table = window.at(offset, step * count)
    headers = [
        form.unpack(layout, table[n * step : n * step + least]) for n in range(min(count, _HEADERS))
    ]
    if names >= len(headers) or headers[names][5] > _NAMES:
        return headers, b""
    return headers, window.at(headers[names][4], headers[names][5])


def _for_debuggers(form: _Form, window: Window) -> tuple[bool, bool]:
    """Whether there is a symbol table, and debugging information."""
    headers, strings = _section_headers(form, window)
    symbols = any(header[1] == _SHT_SYMTAB for header in headers)
    return symbols, any(strings.startswith(_DEBUG, header[0]) for header in headers)
