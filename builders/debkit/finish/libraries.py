# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared libraries: their modes, their shlibs file and the linker's cache (Policy 8, 10.2)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from builders.debkit import elf
from builders.debkit.codecs import NewBytes, Slice, sliced
from builders.debkit.finish.work import Work, is_plain
from builders.text import printable

# Where the run-time linker looks (ld.so(8)), with the folders of other architectures.
_PUBLIC = re.compile(r"/(usr/)?lib(32|64|x32)?(/[a-z0-9_]+-linux-gnu[a-z0-9]*)?")
_LIBRARY = re.compile(r".*\.so(\.[0-9]+)*|.*\.l?a")
_SONAMES = (
    re.compile(r"(?P<name>.+)\.so\.(?P<version>.+)"),
    re.compile(r"(?P<name>.+)-(?P<version>\d.*)\.so"),
)
_NAME_MAX = 255  # bytes of a file's name, limits.h
_TRIGGER = b"activate-noawait ldconfig\n"


def correct(work: Work) -> None:
    """Libraries as Debian has them.

    - Not executable: Policy 10.9, as dh_fixperms(1).
    - A shlibs file from the SONAMEs of those in the linker's folders: Policy 8.6, deb-shlibs(5).
    - The linker's cache is made anew by the trigger of libc-bin: Policy 8.1.1, deb-triggers(5).
    """
    public: list[str] = []
    for entry in work.kept:
        folder, _, name = work.path(entry).rpartition("/")
        if not is_plain(entry) or not re.match(r"/(usr/)?lib", folder):
            continue
        if _LIBRARY.fullmatch(name) and not name.startswith("ld-linux") and entry.info.mode & 0o111:
            work.modes[entry.path] = entry.info.mode & 0o7666
        if _PUBLIC.fullmatch(folder) and re.search(r"\.so(\.|$)", name):
            public.append(entry.path)
    lines = _shlibs(_sonames(work, public), work) if public else []
    if not lines:
        return
    # One that a person wrote knows more.
    if not work.control_file("shlibs"):
        work.control_files["shlibs"] = "".join(lines).encode()
    triggers = work.control_file("triggers")
    if not re.search(rb"(?m)^activate(-await|-noawait)?\s+ldconfig\s*$", triggers):
        work.control_files["triggers"] = triggers + _TRIGGER


def _shlibs(sonames: list[str], work: Work) -> list[str]:
    """Library, version of its interface, dependency; any revision of the package will do."""
    upstream, dash, _ = work.version.rpartition("-")
    at_least = upstream if dash else work.version
    lines = set()
    for name in sonames:
        if len(name) > _NAME_MAX:
            continue  # no file can be called so
        match = next(filter(None, (form.fullmatch(name) for form in _SONAMES)), None)
        if match is None:
            continue  # no interface that another package could rely on
        if re.search(r"\s", name):
            work.notes.append(f"the SONAME {printable(name)!r} has a space")
            continue
        lines.add(f"{match['name']} {match['version']} {work.name} (>= {at_least})\n")
    return sorted(lines)


def _sonames(work: Work, public: list[str]) -> list[str]:
    """The DT_SONAMEs of these files (elf(5)), of those that are sound ELF files and have one."""
    left, budget, found = set(public), elf.Budget(), []
    for entry, content in work.package.settled():
        if entry.path not in left or budget.spent:
            continue
        window = elf.Window()
        new = work.replaced.get(entry.path)
        for part in iter(content.chunk, b"") if new is None else _parts(new):
            window.feed(part)
        with contextlib.suppress(elf.ElfError):
            if elf.is_object(window.at(0, min(20, window.size))):
                found.append(elf.read(window, budget).soname)
    return [name for name in found if name]


def _parts(new: NewBytes) -> Iterator[bytes]:
    """New content in parts."""
    if isinstance(new, bytes):
        return iter((new,))
    return sliced(new if isinstance(new, Slice) else Slice(new, 0, new.stat().st_size))
