# SPDX-License-Identifier: GPL-2.0-or-later
"""What one pass over a package gathers for the rules."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from debian.deb822 import Deb822
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from builders.audit.model import Expectations
from builders.deb import Content, Deb, Entry

_ELF_LIMIT = 1 << 30  # a larger ELF file is not looked into
_ELF_MEMORY = 8 << 20  # of one is held in memory, the rest in a file without a name
_TEXT_LIMIT = 4 << 20  # of a kernel configuration; Debian's have 270 KB


@dataclass(frozen=True)
class Elf:
    """What the dynamic section of an ELF file says (elf(5))."""

    machine: int
    needed: tuple[str, ...]
    soname: str


@dataclass
class Facts:
    """What one pass over a package gathered.

    elves: path to what is known of a dynamic ELF object.
    scripts: path to the "#!" line of an executable file, without "#!".
    texts: path to the content of a kernel configuration.
    unread: paths of ELF objects that could not be looked into, and why.
    """

    control: Deb822
    files: Mapping[str, bytes]
    conffiles: frozenset[str]
    md5sums: Mapping[str, str]
    entries: list[Entry] = field(default_factory=list)
    elves: dict[str, Elf] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    expectations: Expectations = field(default_factory=Expectations)

    def relations(self, *fields: str) -> dict[str, set[str]]:
        """Package name to the version restrictions ("" for none) in these fields."""
        found: dict[str, set[str]] = {}
        for name in fields:
            for part in re.split(r"[,|]", self.control.get(name, "")):
                match = re.match(r"\s*([^\s:(]+)(?::\S+)?\s*(?:\(([^)]*)\))?", part)
                if match:
                    found.setdefault(match[1], set()).add((match[2] or "").strip())
        return found


def gather(package: Deb, facts: Facts) -> None:
    """One pass over the data; contents are held only as long and as far as they are needed."""
    digests: dict[str, str] = {}
    for entry, content in package.entries():
        if entry.info.isreg():
            digests[entry.path] = _look(entry, content, facts)
        elif entry.info.islnk():
            digests[entry.path] = digests.get(entry.target, "")
        facts.entries.append(
            Entry(
                entry.info,
                entry.path,
                entry.offset,
                entry.start,
                entry.end,
                digests.get(entry.path, ""),
            )
        )


def _look(entry: Entry, content: Content, facts: Facts) -> str:
    """Read one file; its MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    text: io.BytesIO | None = None
    spool: IO[bytes] | None = None
    first = True
    try:
        while part := content.chunk():
            digest.update(part)
            if first:
                first = False
                head = bytes(part[:256])
                if head.startswith(b"#!") and entry.info.mode & 0o111:
                    line = head[2:].partition(b"\n")[0]
                    facts.scripts[entry.path] = line.decode("utf-8", "replace").strip()
                if entry.path.startswith("/boot/config-"):
                    text = io.BytesIO()
                if is_dynamic(head) and not entry.path.startswith("/usr/lib/debug/"):
                    if entry.info.size > _ELF_LIMIT:
                        facts.unread[entry.path] = f"it is larger than {_ELF_LIMIT >> 30} GiB"
                    else:
                        spool = tempfile.SpooledTemporaryFile(_ELF_MEMORY)  # noqa: SIM115
            if text is not None and text.tell() < _TEXT_LIMIT:
                text.write(part)
            if spool is not None:
                spool.write(part)
        if text is not None:
            facts.texts[entry.path] = text.getvalue().decode("utf-8", "replace")
        if spool is not None:
            look_into_elf(entry.path, spool, facts)
    finally:
        if spool is not None:
            spool.close()
    return digest.hexdigest()


def is_dynamic(head: bytes) -> bool:
    """Whether it is an ELF executable or shared object: kernel modules are neither."""
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return False
    (kind,) = struct.unpack("<H" if head[5] == 1 else ">H", head[16:18])
    return kind in (2, 3)


class _Patient:
    """A file that a hostile ELF header cannot have read for ever: every loop over it reads."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._reads, self._bytes = 200_000, 64 << 20

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, self._bytes) if size >= 0 else self._bytes)
        self._reads -= 1
        self._bytes -= len(data)
        if self._reads < 0 or self._bytes <= 0:
            raise ELFError("its tables have no end")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return self._file.tell()


def look_into_elf(path: str, file: IO[bytes], facts: Facts) -> None:
    needed: list[str] = []
    soname = ""
    file.seek(0)
    try:
        patient: Any = _Patient(file)
        elf: Any = ELFFile(patient)
        segments = [s for s in elf.iter_segments() if s["p_type"] == "PT_DYNAMIC"]
        if not segments:
            return
        for tag in segments[0].iter_tags():
            if tag.entry.d_tag == "DT_NEEDED":
                needed.append(str(tag.needed))
            elif tag.entry.d_tag == "DT_SONAME":
                soname = str(tag.soname)
        machine = struct.unpack("<H" if elf.little_endian else ">H", _machine(file))[0]
    # A damaged file makes pyelftools raise nearly anything, from ELFError to TypeError.
    except Exception as error:
        facts.unread[path] = f"it is damaged ({type(error).__name__}: {error})"
        return
    facts.elves[path] = Elf(machine, tuple(needed), soname)


def _machine(file: IO[bytes]) -> bytes:
    file.seek(18)
    return file.read(2)
