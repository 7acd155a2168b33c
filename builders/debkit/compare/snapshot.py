# SPDX-License-Identifier: GPL-2.0-or-later
"""One package as it is compared: what its members are, by digest, and what they say of themselves.

It is read once, as a stream. What is kept of a file is its digest, and of a few the content, each
up to a limit.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import stat
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from builders.debkit import deb, kconfig
from builders.debkit import elf as elves
from builders.debkit.deb import Content, Deb, Entry, pass_over
from builders.debkit.deb.metadata import lines_of, stated_sonames
from builders.debkit.elf import Elf, ElfError
from builders.text import printable

_CONFIG = re.compile(r"/boot/config-[^/]+")
_CONFIG_LIMIT = 4 << 20  # of all configurations of kernels; Debian's have 270 KB each
_FIELD = 256  # characters of a name or version that is shown
_ELF_LIMIT = 1 << 30  # a larger ELF file is not looked into
_KINDS = {
    tarfile.LNKTYPE: "file",
    tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
    tarfile.DIRTYPE: "directory",
    tarfile.FIFOTYPE: "fifo",
}


@dataclass(frozen=True, slots=True)
class File:
    """One member of data.tar.

    kind: "file" under each of its names, "directory", "symlink" and so on.
    mode: permission bits, setuid, setgid and sticky among them.
    owner: user:group, as numbers where there is no name.
    size: bytes of content; digest: BLAKE2b of it, b"" for what is no file.
    link: what a symbolic link says, or the numbers of a device.
    """

    kind: str
    mode: int
    owner: str
    size: int
    digest: bytes
    link: str


_COMMANDS = ("rm_conffile", "mv_conffile", "symlink_to_dir", "dir_to_symlink")


@dataclass(frozen=True)
class Snapshot:
    """A package as it is compared.

    size: bytes of the .deb. installed: KiB, as dpkg-gencontrol counts.
    fields: of the control file. scripts: the other files of control.tar.
    configs: path to options of a kernel's configuration, without those that are not set.
    needs: soname to the paths of ELF files that need it. sonames: soname to the path that has it.
    """

    path: Path
    size: int
    installed: int
    fields: Mapping[str, str]
    scripts: Mapping[str, bytes]
    conffiles: frozenset[str]
    files: Mapping[str, File]
    configs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sonames: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """A field of the control file, "" where there is none."""
        return self.fields.get(name, "").strip()

    @cached_property
    def names(self) -> set[str]:
        """The last parts of the paths of all members."""
        return {path.rpartition("/")[2] for path in self.files}

    @cached_property
    def stated(self) -> set[str]:
        """The libraries that other packages were told of."""
        return stated_sonames(self.scripts)

    @cached_property
    def helped(self) -> dict[str, set[str]]:
        """Each command of dpkg-maintscript-helper(1) to the words of lines that call it."""
        words: dict[str, set[str]] = {command: set() for command in _COMMANDS}
        for name in ("preinst", "postinst", "postrm"):
            for line in lines_of(self.scripts.get(name, b"")):
                for command in _COMMANDS:
                    if command.encode() in line:
                        text = line.decode("utf-8", "surrogateescape")
                        parts = re.split(r"[\s'\";|&()]+", text)
                        words[command].update(part.rstrip("/") for part in parts)
        return words

    def short(self, name: str) -> str:
        """A field of one line as it is shown."""
        return printable(self.get(name)[:_FIELD])

    @property
    def title(self) -> str:
        return " ".join(filter(None, map(self.short, ("Package", "Version", "Architecture"))))


def take(path: Path) -> Snapshot:
    """Read the package `path`; raises BuildError where it is none or goes past a limit."""
    package = Deb.open(path)
    files: dict[str, File] = {}
    gathered = _Gathered()

    def look() -> Iterator[Entry]:
        for entry, content in package.entries(pass_over):
            if entry.info.islnk():
                files[entry.path] = files[entry.target]
            else:
                digest = _read(entry, content, gathered) if entry.info.isreg() else b""
                files[entry.path] = _file(entry, digest)
            yield entry

    installed = deb.installed_size(look())
    needs: dict[str, list[str]] = {}
    for name, elf in gathered.objects.items():
        for soname in elf.needed:
            needs.setdefault(soname, []).append(name)
    return Snapshot(
        path,
        path.stat().st_size,
        installed,
        {name: package.control[name] for name in package.control},
        {name: data for name, data in package.control_files.items() if name != "control"},
        frozenset(package.conffiles),
        files,
        gathered.configs,
        {soname: tuple(paths) for soname, paths in needs.items()},
        {elf.soname: name for name, elf in gathered.objects.items() if elf.soname},
    )


def _file(entry: Entry, digest: bytes) -> File:
    info = entry.info
    user, group = info.uname or str(info.uid), info.gname or str(info.gid)
    link = sys.intern(info.linkname) if info.issym() else ""
    if info.isdev() and not info.isfifo():
        link = f"{info.devmajor}:{info.devminor}"
    return File(
        _KINDS.get(info.type, "file"),
        stat.S_IMODE(info.mode),
        sys.intern(f"{user}:{group}"),
        info.size,
        digest,
        link,
    )


@dataclass
class _Gathered:
    """What reading files of one package gathers. config_size: bytes of all configurations."""

    configs: dict[str, Mapping[str, str]] = field(default_factory=dict)
    config_size: int = 0
    objects: dict[str, Elf] = field(default_factory=dict)
    budget: elves.Budget = field(default_factory=elves.Budget)


def _read(entry: Entry, content: Content, gathered: _Gathered) -> bytes:
    """Read one file; its digest."""
    digest = hashlib.blake2b(digest_size=16)
    left = _CONFIG_LIMIT - gathered.config_size
    config = bytearray() if _CONFIG.fullmatch(entry.path) and left > 0 else None
    window: elves.Window | None = None
    first = True
    while part := content.chunk():
        digest.update(part)
        if config is not None and len(config) < left:
            config += part
        wanted = not entry.path.startswith("/usr/lib/debug/") and entry.info.size <= _ELF_LIMIT
        wanted = wanted and not gathered.budget.spent
        if first and wanted and elves.is_object(bytes(part[:64])):
            window = elves.Window()
        first = False
        if window is not None:
            window.feed(part)
    if window is not None:
        with contextlib.suppress(ElfError):
            gathered.objects[entry.path] = elves.read(window, gathered.budget)
    if config is not None:
        gathered.configs[entry.path] = kconfig.assigned(config.decode("utf-8", "replace"))
        gathered.config_size += len(config)
    return digest.digest()
