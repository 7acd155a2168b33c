# SPDX-License-Identifier: GPL-2.0-or-later
"""What one pass over a package gathers for the rules."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from builders.debkit import elf
from builders.debkit.audit import traces
from builders.debkit.audit.expectations import Expectations
from builders.debkit.deb import Content, Control, Deb, Entry, Oddity
from builders.debkit.deb.fields import is_udeb
from builders.debkit.deb.metadata import read_conffiles
from builders.debkit.deb.relations import related
from builders.debkit.elf import Elf, ElfError

_ODDITIES = 10_000  # that are remembered
_ELF_LIMIT = 1 << 30  # a larger ELF file is not looked into
_TEXT_LIMIT = 4 << 20  # of a kernel configuration; Debian's have 270 KB
_TEXTS = 32 << 20  # of all texts together
_HEAD = 24 << 10  # enough for a "#!" line, magic numbers and the version in a kernel's header
# Whole files that rules read: kernel configurations, units and init scripts.
_TEXT = re.compile(
    r"/boot/config-[^/]+|(/usr)?/lib/systemd/system/[^/]+\.(service|socket|timer|path)"
    r"|/etc/init\.d/[^/]+"
)
_PUBLIC = re.compile(r"(/usr)?/lib(/[a-z0-9_]+-linux-gnu[a-z0-9_]*)?")


@dataclass
class Facts:
    """What one pass over a package gathered.

    members: the names of the members of the ar archive.
    files, modes: content and mode of the files of control.tar.
    conffiles: the paths that conffiles lists, in its order; removed: those that an upgrade is
        to remove (deb-conffiles(5)).
    elves: path to what an ELF executable or shared object says.
    modules: path of a kernel module to its e_machine.
    scripts: path to the "#!" line of a file, without "#!".
    compressed: paths of files that begin as gzip, xz, bzip2 or zstd do.
    texts: path to the content of the text files that rules read; text_size: bytes of all that
        were read.
    traces: path to what of the build's folders a file names.
    kernels: path of a kernel image to the version line in its header.
    unread: paths of ELF objects that could not be looked into, and why.
    oddities: what no sound archive has; of two members of one name, all else here is about
        the later one.
    """

    control: Control
    files: Mapping[str, bytes]
    modes: Mapping[str, int] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    conffiles: tuple[str, ...] = ()
    removed: frozenset[str] = frozenset()
    entries: list[Entry] = field(default_factory=list)
    elves: dict[str, Elf] = field(default_factory=dict)
    modules: dict[str, int] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    compressed: set[str] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)
    text_size: int = 0
    traces: dict[str, list[str]] = field(default_factory=dict)
    kernels: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    oddities: list[Oddity] = field(default_factory=list)
    expectations: Expectations = field(default_factory=Expectations)
    budget: elf.Budget = field(default_factory=elf.Budget)

    @classmethod
    def of(cls, package: Deb, expectations: Expectations) -> Facts:
        """The facts that control.tar has."""
        listed = read_conffiles(package.control_files.get("conffiles", b""))[0]
        return cls(
            package.control,
            package.control_files,
            package.control_modes,
            tuple(member.name for member in package.members),
            tuple(conffile.path for conffile in listed),
            frozenset(conffile.path for conffile in listed if conffile.removed),
            expectations=expectations,
            oddities=list(package.oddities[:_ODDITIES]),
        )

    @property
    def name(self) -> str:
        return str(self.control.get("Package", "")).strip()

    @property
    def udeb(self) -> bool:
        """Whether it is the installer's, for which Policy does not hold."""
        return is_udeb(self.control)

    @cached_property
    def paths(self) -> dict[str, Entry]:
        """Every member of data.tar by its path."""
        return {entry.path: entry for entry in self.entries}

    def script(self, name: str) -> str:
        """The text of a maintainer script, "" where there is none."""
        return self.files.get(name, b"").decode("utf-8", "replace")

    def libraries(self) -> Iterator[tuple[str, Elf]]:
        """The shared libraries in the linker's folders."""
        for path, found in self.elves.items():
            if linked_with(path):
                yield path, found

    def relations(self, *fields: str) -> dict[str, set[str]]:
        """Package name to the version restrictions ("" for none) in these fields."""
        return related(self.control, *fields)


def linked_with(path: str) -> bool:
    """Whether it is the name of a library in a folder where the linker looks."""
    folder, _, name = path.rpartition("/")
    return name.startswith(("lib", "ld-")) and ".so" in name and is_linker_folder(folder)


def is_linker_folder(folder: str) -> bool:
    """Whether the linker looks there without being told (ld.so(8))."""
    return _PUBLIC.fullmatch(folder) is not None


def gather(package: Deb, facts: Facts, *, contents: bool = True) -> None:
    """One pass over the data; contents are held only as long and as far as they are needed.

    contents: whether files are read at all; without, only what their headers say is known.
    """
    digests: dict[str, str] = {}
    twice: set[str] = set()

    def tell(oddity: Oddity) -> None:
        if len(facts.oddities) < _ODDITIES:
            facts.oddities.append(oddity)
        if oddity.kind == "duplicate":
            twice.add(oddity.path)
            _forget(facts, oddity.path)

    for entry, content in package.entries(tell):
        if contents and entry.info.isreg():
            digests[entry.path] = _look(entry, content, facts)
        elif contents and entry.info.islnk():
            digests[entry.path] = digests.get(entry.target, "")
            if entry.target in facts.elves:
                facts.elves[entry.path] = facts.elves[entry.target]
        md5 = digests.get(entry.path, "")
        facts.entries.append(dataclasses.replace(entry, md5=md5) if md5 else entry)
    if twice:
        facts.entries = _last(facts.entries, twice)


def _forget(facts: Facts, path: str) -> None:
    """What was gathered of a member that another one of its name takes the place of."""
    tables: tuple[MutableMapping[str, Any], ...] = (
        facts.elves,
        facts.modules,
        facts.scripts,
        facts.texts,
        facts.traces,
        facts.kernels,
        facts.unread,
    )
    for table in tables:
        table.pop(path, None)
    facts.compressed.discard(path)


def _last(entries: list[Entry], twice: set[str]) -> list[Entry]:
    """Each member once, as dpkg leaves it, in the place where it came first as what it is.

    It makes links last of all, yet none in the place of a folder; else the later one stays.
    """
    chosen: dict[str, Entry] = {}
    for entry in entries:
        if entry.path in twice:
            before = chosen.get(entry.path)
            if before is None or _rank(entry) >= _rank(before):
                chosen[entry.path] = entry
    done: set[str] = set()
    kept = []
    for entry in entries:
        best = chosen.get(entry.path, entry)
        if entry is best or (entry.path not in done and entry.info.isdir() and best.info.isdir()):
            if entry.path not in done:
                kept.append(best)
            if entry.path in twice:
                done.add(entry.path)
    return kept


def _rank(entry: Entry) -> int:
    return 2 if entry.info.isdir() else 1 if entry.info.issym() else 0


def _look(entry: Entry, content: Content, facts: Facts) -> str:
    """Read one file; its MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    part: bytes | memoryview = content.chunk()
    least = min(entry.info.size, _HEAD)
    while len(part) < least:  # the codec may have handed on the end of a block
        part = bytes(part) + content.chunk()
    digest.update(part)
    head = bytes(part[:_HEAD])
    window = text = search = None
    if head.startswith(b"#!"):
        line = head[2:512].partition(b"\n")[0]
        facts.scripts[entry.path] = line.decode("utf-8", "replace").strip(" \t")
    elif head.startswith((b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd")):
        facts.compressed.add(entry.path)
    elif elf.is_object(head) and not entry.path.startswith("/usr/lib/debug/"):
        if entry.info.size > _ELF_LIMIT:
            facts.unread[entry.path] = f"it is larger than {_ELF_LIMIT >> 30} GiB"
        elif facts.budget.spent:
            facts.unread[entry.path] = elf.TOO_MUCH
        else:
            window = elf.Window()
    elif entry.path.endswith(".ko") and head.startswith(b"\x7fELF"):
        order: Literal["little", "big"] = "big" if head[5:6] == b"\x02" else "little"
        facts.modules[entry.path] = int.from_bytes(head[18:20], order)
    elif entry.path.startswith("/boot/vmlinu"):
        facts.kernels[entry.path] = _kernel(head)
    if traces.worth(entry.path, head):
        search = traces.Search()
    if _TEXT.fullmatch(entry.path) and facts.text_size < _TEXTS:
        text = io.BytesIO()
    while part:
        if search is not None:
            search.feed(part)
        if text is not None and text.tell() < _TEXT_LIMIT:
            text.write(part)
        if window is not None:
            window.feed(part)
        part = content.chunk()
        digest.update(part)
    if text is not None:
        facts.texts[entry.path] = text.getvalue().decode("utf-8", "replace")
        facts.text_size += text.tell()
    if search is not None and search.found:
        facts.traces[entry.path] = sorted(search.found)
    if window is not None:
        try:
            facts.elves[entry.path] = elf.read(window, facts.budget)
        except ElfError as error:
            spent = facts.budget.spent
            facts.unread[entry.path] = elf.TOO_MUCH if spent else f"it is damaged ({error})"
    return digest.hexdigest()


def _kernel(head: bytes) -> str:
    """The version line in the header of an x86 kernel (the kernel's boot protocol, 2.00)."""
    if head[0x202:0x206] != b"HdrS":
        return ""
    start = int.from_bytes(head[0x20E:0x210], "little") + 0x200
    return head[start : start + 256].partition(b"\0")[0].decode("utf-8", "replace")
