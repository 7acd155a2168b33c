# SPDX-License-Identifier: GPL-2.0-or-later
"""What a PCI function asks of a machine: memory, interrupts, a way to reset it, its link.

Everything is an attribute of sysfs that the kernel documents (Documentation/ABI/testing/
sysfs-bus-pci and Documentation/PCI/sysfs-pci.rst); what is missing, odd or out of bounds counts
as not known. Root is not needed, but for the capabilities: others may read the first 64 bytes of
the configuration space only, and the list of capabilities lies behind these.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from builders.host import sysfs as fs

BARS = 6  # of an endpoint (PCI 3.0, 6.2.5); the line after them in `resource` is the ROM
SMALLEST = 1 << 2  # bytes of a BAR: one of ports
LARGEST = 1 << 63
METHODS = 8  # of reset, more than the kernel has (PCI_NUM_RESET_METHODS)
VECTORS = 4096  # of one function: MSI-X has at most 2,048

# Flags of a resource, which the kernel keeps as they are for user space (include/linux/ioport.h).
_IO = 0x100
_MEMORY = 0x200
_PREFETCH = 0x2000
_WIDE = 0x100000

_RESOURCE = re.compile(r"0x([0-9a-f]{16}) 0x([0-9a-f]{16}) 0x([0-9a-f]{16})")
_SPEED = re.compile(r"([0-9]{1,3}(?:\.[0-9])?) GT/s(?: PCIe)?")
_METHOD = re.compile(r"[a-z][a-z_]{0,31}")

# Configuration space (PCI 3.0, chapter 6): a status register that says whether there is a list of
# capabilities, where it begins, and what two of them are called.
_STATUS, _POINTER, _LIST = 0x06, 0x34, 0x10
_CONFIG = 256  # bytes
_MSI, _MSIX = 0x05, 0x11


@dataclass(frozen=True)
class Bar:
    """A base address register.

    index: 0 to 5. size: bytes, a power of two. address: on the host, 0 where the firmware gave it
    none. ports: I/O ports and no memory. wide: 64 bits. sizes: those that it can be resized to,
    in bytes.
    """

    index: int
    size: int
    address: int = 0
    ports: bool = False
    wide: bool = False
    prefetchable: bool = False
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Link:
    """Of PCI Express: speed in GT/s and number of lanes, 0 where it is not known."""

    speed: float = 0
    width: int = 0
    most_speed: float = 0
    most_width: int = 0


@dataclass(frozen=True)
class Hardware:
    """What sysfs says of one function.

    rom: bytes of the expansion ROM, 0 without one. reset_methods: in the order in which the
    kernel tries them; None where it does not say (before Linux 5.15). numa: None where it is not
    known. msi, msix: whether it has them, None where only root can tell; vectors: in use now.
    no_msi: the kernel keeps MSI off for it.
    """

    bars: tuple[Bar, ...] = ()
    rom: int = 0
    reset_methods: tuple[str, ...] | None = None
    numa: int | None = None
    msi: bool | None = None
    msix: bool | None = None
    vectors: int = 0
    no_msi: bool = False
    link: Link | None = None


def read(folder: Path) -> Hardware:
    """What the folder of one function says; no errors."""
    lines = fs.attribute(folder, "resource").decode("ascii", "replace").split("\n")
    resources = [_resource(line) for line in lines[: BARS + 1]]
    bars = [_bar(folder, index, *found) for index, found in enumerate(resources[:BARS]) if found]
    rom = resources[BARS] if len(resources) > BARS else None
    msi, msix, vectors = _interrupts(folder)
    return Hardware(
        bars=tuple(bar for bar in bars if bar),
        rom=rom[1] - rom[0] + 1 if rom and rom[0] and _sound(rom[1] - rom[0] + 1) else 0,
        reset_methods=_methods(folder),
        numa=_count(folder, "numa_node", 1 << 16),
        msi=msi,
        msix=msix,
        vectors=vectors,
        no_msi=_text(folder, "msi_bus") == "0",
        link=_link(folder),
    )


def _text(folder: Path, name: str) -> str:
    return fs.attribute(folder, name).decode("ascii", "replace").strip()


def _resource(line: str) -> tuple[int, int, int] | None:
    """First and last address, and flags; None for an empty line of `resource`."""
    found = _RESOURCE.fullmatch(line.strip())
    first, last, flags = (int(group, 16) for group in found.groups()) if found else (0, 0, 0)
    return (first, last, flags) if flags & (_IO | _MEMORY) and last >= first else None


def _sound(size: int) -> bool:
    """Whether a BAR can have that size."""
    return SMALLEST <= size <= LARGEST and not size & (size - 1)


def _bar(folder: Path, index: int, first: int, last: int, flags: int) -> Bar | None:
    size = last - first + 1
    wide = bool(flags & _MEMORY and flags & _WIDE)
    if not _sound(size) or first & (size - 1) or (size > 1 << 31 and not wide):
        return None
    return Bar(
        index=index,
        size=size,
        address=first,
        ports=bool(flags & _IO),
        wide=wide,
        prefetchable=bool(flags & _MEMORY and flags & _PREFETCH),
        sizes=_sizes(folder, index),
    )


def _sizes(folder: Path, index: int) -> tuple[int, ...]:
    """Of a resizable BAR: bit 0 of the mask is 1 MiB, bit 1 is 2 MiB, and so on."""
    mask = _text(folder, f"resource{index}_resize")
    if not re.fullmatch(r"[0-9a-f]{1,16}", mask):
        return ()
    bits = int(mask, 16)
    return tuple(1 << (20 + n) for n in range(44) if bits >> n & 1)


def _methods(folder: Path) -> tuple[str, ...] | None:
    """Empty where the kernel has no way to reset it."""
    if not fs.there(folder / "reset_method"):
        return () if fs.there(folder / "resource") and not fs.there(folder / "reset") else None
    words = _text(folder, "reset_method").split()[:METHODS]
    return tuple(dict.fromkeys(word for word in words if _METHOD.fullmatch(word)))


def _count(folder: Path, name: str, most: int) -> int | None:
    """A number that is not negative; -1 stands for "none" in sysfs."""
    text = _text(folder, name)
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) and int(text) <= most else None


def _link(folder: Path) -> Link | None:
    """None for what has no link: conventional PCI, and what is inside the root complex."""

    def speed(name: str) -> float:
        found = _SPEED.fullmatch(_text(folder, name))
        return float(found[1]) if found else 0

    def width(name: str) -> int:
        return _count(folder, name, 32) or 0

    link = Link(
        speed("current_link_speed"),
        width("current_link_width"),
        speed("max_link_speed"),
        width("max_link_width"),
    )
    return link if link.most_width or link.width else None


def _interrupts(folder: Path) -> tuple[bool | None, bool | None, int]:
    """MSI, MSI-X, and the number of vectors that are in use (msi_irqs/, as any user)."""
    vectors = fs.names(folder / "msi_irqs")[:VECTORS]
    kinds = {_text(folder / "msi_irqs", vectors[0])} if vectors else set()
    listed = _capabilities(fs.attribute(folder, "config", _CONFIG))
    msi, msix = (None, None) if listed is None else (_MSI in listed, _MSIX in listed)
    return True if "msi" in kinds else msi, True if "msix" in kinds else msix, len(vectors)


def _capabilities(config: bytes) -> set[int] | None:
    """The capabilities in a configuration space; None where the list cannot be read."""
    if len(config) < 64:
        return None
    if not int.from_bytes(config[_STATUS : _STATUS + 2], "little") & _LIST:
        return set()
    found: set[int] = set()
    at = config[_POINTER] & 0xFC
    for _ in range(48):  # as many as fit between 64 and 256; a list in a circle ends here
        if at < 64:
            return found
        if at + 2 > len(config):
            return None
        found.add(config[at])
        at = config[at + 1] & 0xFC
    return found
