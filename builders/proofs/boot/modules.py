# SPDX-License-Identifier: GPL-2.0-or-later
"""Drivers of the boot proof that a kernel has as modules, in the order in which they are loaded."""

from __future__ import annotations

import gzip
import lzma
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.debkit.deb import Deb, is_file
from builders.errors import BuildError
from builders.proofs.boot.cpio import File

# Option of the kernel -> its module.
DOM0 = {
    "XEN_PRIVCMD": "xen_privcmd",
    "XENFS": "xenfs",
    "XEN_DEV_EVTCHN": "xen_evtchn",
    "XEN_GNTDEV": "xen_gntdev",
    "E1000": "e1000",
}
GUEST = {
    "XEN_PCIDEV_FRONTEND": "xen_pcifront",
    "E1000": "e1000",
    "VIRTIO_PCI": "virtio_pci",
    "VIRTIO_NET": "virtio_net",
}
_PATH = re.compile(r"(?:/usr)?/lib/modules/[^/]+/.*/([^/]+)\.ko(|\.gz|\.xz|\.zst)")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")  # of .modinfo, as modinfo(8) prints it


@dataclass(frozen=True)
class Module:
    """A module: its name with underscores, its ELF file, and the names of what it needs."""

    name: str
    content: bytes
    depends: tuple[str, ...]


def names(options: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Which of the modules `wanted` a kernel with these options (CONFIG_X -> y, m, n) has."""
    return [name for option, name in wanted.items() if options.get(f"CONFIG_{option}") == "m"]


def read(package: Path, wanted: Iterable[str]) -> dict[str, Module]:
    """These modules of a kernel's package, and all that they depend on; by name.

    Raises BuildError where one is missing or damaged.
    """
    found: dict[str, Module] = {}
    needed = set(wanted)
    while missing := needed - found.keys():
        before = len(found)
        for entry, content in Deb.open(package).entries():
            match = _PATH.fullmatch(entry.path)
            if not match or not is_file(entry):
                continue
            name = _name(match[1])
            if name in missing:
                packed = b"".join(bytes(part) for part in iter(content.chunk, b""))
                found[name] = _module(package, name, packed, match[2])
        if len(found) == before:
            raise BuildError(
                f"{package.name} has no module {', '.join(sorted(missing))}",
                hint="its configuration says that it has: build it again",
            )
        needed.update(need for module in found.values() for need in module.depends)
    return found


def _module(package: Path, name: str, packed: bytes, suffix: str) -> Module:
    try:
        content = _OPENERS[suffix](packed)
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        raise BuildError(f"{package.name}: {name}: {error}", hint="build it again") from None
    depends = _DEPENDS.search(content)
    needs = depends[1].decode("ascii", "replace").split(",") if depends else []
    return Module(name, content, tuple(_name(need) for need in needs if need))


def _zstd(packed: bytes) -> bytes:
    import zstandard

    try:
        return zstandard.ZstdDecompressor().stream_reader(packed).read()
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None


_OPENERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
    ".zst": _zstd,
}


def _name(text: str) -> str:
    return text.replace("-", "_")


def ordered(modules: Mapping[str, Module], wanted: Sequence[str]) -> list[Module]:
    """The modules `wanted` with what they depend on, each behind that."""
    placed: dict[str, Module] = {}
    begun: set[str] = set()

    def place(name: str) -> None:
        if name not in begun:
            begun.add(name)
            for need in modules[name].depends:
                place(need)
            placed[name] = modules[name]

    for name in wanted:
        place(name)
    return list(placed.values())


def files(modules: Sequence[Module], folder: str) -> tuple[File, ...]:
    """The modules as files of an initramfs, in `folder`; their names sort as they are loaded."""
    return tuple(
        File(f"{folder}/{at:02}-{module.name}.ko", module.content, 0o644)
        for at, module in enumerate(modules)
    )
