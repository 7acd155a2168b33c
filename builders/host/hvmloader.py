# SPDX-License-Identifier: GPL-2.0-or-later
"""Where an HVM guest finds the memory of its PCI devices: what hvmloader of Xen does, in advance.

hvmloader puts the BARs of all devices into the hole below 4 GiB, largest first, each at a multiple
of its size; a 64-bit one may go above 4 GiB, a 32-bit one may not. It is the same for SeaBIOS and
for OVMF, which both start after it (pci_setup in tools/firmware/hvmloader/pci.c of Xen; read in
4.2.0, 4.17.5, 4.20.3 and 4.22.0). Not known here are regions that the host's firmware reserves
(RMRR), which hvmloader goes around, and the width of the guest's physical addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MIB = 1 << 20
GIB = 1 << 30
FOUR_GIB = 4 * GIB

END = 0xFC000000  # of the hole, for BARs: RESERVED_MEMBASE in hvmloader's config.h
USUAL = 0xF0000000  # where it begins: HVM_BELOW_4G_MMIO_START in xen/hvm/e820.h
# Sizes of mmio_hole that xl takes, in MiB (xl.cfg(5), and xl_parse.c, which holds them against
# HVM_BELOW_4G_MMIO_LENGTH and HVM_BELOW_4G_MMIO_START).
LEAST, MOST = 256, 3840
ALWAYS_HIGH = GIB  # a 64-bit BAR that is larger goes above 4 GiB (BAR_RELOC_THRESH)
VIDEO = 8  # MiB of the guest's memory that xl takes for the emulated card (Cirrus, its default)

# What the emulated devices ask for themselves, in bytes: the Cirrus card (32 MiB, 4 KiB, and its
# ROM), and Xen's platform device (QEMU: hw/display/cirrus_vga.c, hw/i386/xen/xen_platform.c).
EMULATED = (32 * MIB, 16 * MIB, 64 << 10, 4 << 10)
EMULATED_NIC = (512 << 10, 256)  # each network card: its ROM and its registers


@dataclass(frozen=True)
class Ask:
    """Memory that a device needs. size: bytes, a power of two. wide: it may lie above 4 GiB.
    whose: for people, "" for an emulated device."""

    size: int
    wide: bool = False
    whose: str = ""


@dataclass(frozen=True)
class Layout:
    """What hvmloader makes of it. start: of the hole below 4 GiB. low, high: what lies where, and
    its address; left: what found no place."""

    start: int
    low: tuple[tuple[Ask, int], ...]
    high: tuple[tuple[Ask, int], ...]
    left: tuple[Ask, ...]


def emulated(networks: int) -> tuple[Ask, ...]:
    """What the devices ask that QEMU emulates for a guest with that many network cards."""
    return tuple(Ask(size) for size in (*EMULATED, *EMULATED_NIC * networks))


def low_memory(memory: int, hole: int | None = None) -> tuple[int, int]:
    """MiB of a guest's memory below and above 4 GiB. hole: mmio_hole, None for xl's own."""
    below = min(memory, 4096 - (hole or LEAST))
    return below, memory - below


def layout(
    asks: Iterable[Ask], memory: int, hole: int | None = None, *, moves: bool = False
) -> Layout:
    """Where hvmloader puts each of `asks` in a guest with `memory` MiB.

    hole: mmio_hole in MiB; None lets the hole grow to 2 GiB, by steps, where the guest's memory
    leaves that room. moves: the guest's memory is moved for it (qemu-xen-traditional).
    """
    ordered = sorted(asks, key=lambda ask: -ask.size)
    total = sum(ask.size for ask in ordered if not _always_high(ask))
    below, above = low_memory(memory - min(VIDEO, memory), hole)
    start = FOUR_GIB - hole * MIB if hole else _start(total, below * MIB, moves)
    moved = max(0, below * MIB - start)
    high = FOUR_GIB + above * MIB + moved
    room = any(_always_high(ask) for ask in ordered) or total > END - start
    at_low: list[tuple[Ask, int]] = []
    at_high: list[tuple[Ask, int]] = []
    left: list[Ask] = []
    at = start
    for ask in ordered:
        goes_high = ask.wide and room and (total > END - at or _always_high(ask))
        if ask.size <= ALWAYS_HIGH:
            total -= ask.size
        if goes_high:
            at_high.append((ask, _aligned(high, ask.size)))
            high = at_high[-1][1] + ask.size
        elif _aligned(at, ask.size) + ask.size <= END:
            at_low.append((ask, _aligned(at, ask.size)))
            at = at_low[-1][1] + ask.size
        else:
            left.append(ask)
    return Layout(start, tuple(at_low), tuple(at_high), tuple(left))


def _start(total: int, below: int, moves: bool) -> int:
    """Where the hole begins by itself: its size doubles while `total` does not fit, and as long as
    it stays clear of the guest's memory, or that can be moved."""
    start = USUAL
    while total > END - start:
        larger = start << 1 & (FOUR_GIB - 1)
        if not larger or not (moves or larger >= below):
            break
        start = larger
    return start


def hole(asks: Sequence[Ask], *, all_low: bool = False) -> int | None:
    """The smallest mmio_hole, in MiB, in which all of `asks` find a place that have to lie below
    4 GiB: those of 32 bits; with all_low those of 64 bits too, where hvmloader would put them
    there at all. None where none is large enough.

    The hole begins at a multiple of the largest of them. As each size is a power of two and the
    largest comes first, nothing is then lost between them: the sizes add up. A larger BAR of 64
    bits that hvmloader tries first must not lose room either, so its size may be the measure.
    """
    needed = [ask.size for ask in asks if not ask.wide or (all_low and not _always_high(ask))]
    steps = {ask.size for ask in asks if ask.size >= max(needed, default=0)}
    for step in sorted({MIB, *steps}):
        step = max(step, max(needed, default=0), MIB)
        start = (END - sum(needed)) // step * step
        size = max(LEAST, (FOUR_GIB - start) // MIB)
        if size > MOST:
            return None
        if not missing(layout(asks, 0, size), all_low):
            return size
    return None


def missing(found: Layout, all_low: bool) -> bool:
    """Whether something has no place, or with all_low not the one below 4 GiB."""
    return bool(found.left) or (all_low and any(not _always_high(ask) for ask, _ in found.high))


def mapped_by_ovmf(above: int) -> int:
    """Where the addresses end that OVMF maps in a guest with that many MiB above 4 GiB.

    AddressWidthInitialization in edk2's OvmfPkg/XenPlatformPei/MemDetect.c: room for 32 GiB of
    devices (PcdPciMmio64Size) behind the memory, at a multiple of that, then the next power of
    two, 64 GiB at least.
    """
    devices = 32 * GIB
    end = _aligned(FOUR_GIB + above * MIB, devices) + devices
    return max(64 * GIB, 1 << (end - 1).bit_length())


def _aligned(address: int, size: int) -> int:
    return (address + size - 1) & ~(size - 1)


def _always_high(ask: Ask) -> bool:
    return ask.wide and ask.size > ALWAYS_HIGH
