# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel with modules needs what loads them, and leaves nothing behind (Policy 6.8, 7.2)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from builders.debkit import kconfig
from builders.debkit.deb.kernels import INITRAMFS, modular, to_build
from builders.debkit.deb.relations import related
from builders.debkit.finish.relations import parse_relations
from builders.debkit.finish.work import Work
from builders.text import printable

_FOLDER = re.compile(r"((?:/usr)?/lib/modules/([A-Za-z0-9.+~_-]+))(/.*)?")

_CONFIGS = 32 << 20  # bytes of all configurations; Debian's have 270 KB

# The kernel's own files are gone by then, and dpkg has looked for empty directories.
_GONE = """\
if [ "$1" = "remove" ]; then
    rm -f {folder}/modules.*
    rmdir {folder} {parent} 2>/dev/null || true
fi
"""


def links(work: Work) -> set[str]:
    """The links that lead to the folder which the kernel was compiled in: nobody else has it."""
    there = {entry.path for entry in work.entries}
    gone = {
        entry.path
        for entry in work.entries
        if entry.info.issym() and to_build(entry.path, entry.info.linkname, there)
    }
    for entry in work.entries:
        if entry.path in gone:
            target = printable(entry.info.linkname)
            work.notes.append(f"{printable(entry.path)} led to {target}, and was left out")
    return gone


def correct(work: Work) -> None:
    """Correct a package with a kernel and modules.

    Its modules' directory is cleaned when it is removed: depmod runs when the kernel is
    installed, or when an initramfs is first made for it. It depends on kmod and on what makes an
    initramfs, as Debian's kernels do: with its drivers as modules it finds no root without one.
    """
    paths = work.paths()
    work.depends += _loaders(work, modular(paths))
    folders = {m[1]: m[2] for path in paths if (m := _FOLDER.fullmatch(path))}
    for folder, version in sorted(folders.items()):
        if {f"/boot/vmlinuz-{version}", f"/boot/vmlinux-{version}"} & paths:
            parent = posixpath.dirname(folder)
            work.snippets.append(("postrm", _GONE.format(folder=folder, parent=parent)))


def _loaders(work: Work, versions: Iterable[str]) -> list[str]:
    """What the package has to depend on for these kernels and does not name yet."""
    configs = [f"/boot/config-{version}" for version in versions]
    if not configs:
        return []
    stated = set(related(work.package.control, "Pre-Depends", "Depends", "Recommends"))
    for texts in (work.corrections.depends, work.corrections.recommends):
        groups = parse_relations("depends", texts)
        stated |= {choice.name for group in groups for choice in group.choices}
    needed = [] if "kmod" in stated else ["kmod"]
    if stated.intersection(INITRAMFS):
        return needed
    contents = work.read(configs, total=_CONFIGS)
    if any(_initrd(contents.get(path, b"")) for path in configs):
        needed.append("initramfs-tools | linux-initramfs-tool")
    return needed


def _initrd(config: bytes) -> bool:
    """Whether a kernel can have an initramfs, by its configuration; one without it may."""
    options = kconfig.assigned(config.decode("utf-8", "replace"))
    return not config or options.get("CONFIG_BLK_DEV_INITRD") == "y"
