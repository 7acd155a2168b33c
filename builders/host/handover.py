# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's PCI devices held against the host that has them: where their memory goes in the guest,
and what is worth a second look before it is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from builders.host import hvmloader
from builders.host.detail import amount
from builders.host.devices import Device, Machine, Verdict
from builders.host.domu import Guest
from builders.host.hvmloader import Ask, Layout
from builders.host.notes import notes
from builders.host.pci import Bdf

PAGE = 4096
_SEABIOS = "SeaBIOS: src/hw/pcidevice.c, pci_enable_membar"
_OVMF = "edk2: OvmfPkg/XenPlatformPei/MemDetect.c"
_SUPPORT = "Xen's SUPPORT.md, x86/PCI Device Passthrough"


@dataclass(frozen=True)
class Advice:
    """What follows from a guest's devices.

    hole: mmio_hole in MiB, None where xl's own is enough. below: MiB of the guest's memory below
    4 GiB, None for a guest without hvmloader. warnings: to be acted on; notes: to be known.
    """

    hole: int | None = None
    below: int | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def advise(guest: Guest, machine: Machine, place: str) -> Advice:
    """What to do and to know about the devices of `guest` on `machine`. place: what the machine's
    devices are known from, for people."""
    asked = [bdf for bdf, _ in guest.pci]
    known = {device.bdf: device for device in machine.devices}
    handed = [known[bdf] for bdf in asked if bdf in known]
    warnings = [] if len(handed) == len(asked) else [_unknown(asked, known, place)]
    warnings += _left_behind(handed, machine)
    for device in handed:
        warnings += _of_device(device, handed, machine)
    warnings += _without_reset(handed)
    hole: int | None = None
    below: int | None = None
    told: list[str] = []
    if guest.type == "hvm":
        hole, layout = _holes(guest, handed)
        below = min(guest.memory, layout.start // hvmloader.MIB)
        above = guest.memory - below
        warnings += _no_place(layout, guest, hole)
        warnings += _too_high(layout, guest, above)
        told += _told(guest, hole, below, above, layout) if handed else []
    if asked:
        warnings.append(
            f"a guest with a PCI device cannot be saved or migrated ({_SUPPORT}): "
            "./inv dom0-config --no-save has the host shut it down instead"
        )
    for note, devices in notes(handed, guest.type, windows=guest.windows, primary=guest.primary):
        told.append(f"{_few(d.bdf for d in devices)}: {note.says} ({'; '.join(note.sources)})")
    return Advice(hole, below, tuple(warnings), tuple(told))


def _unknown(asked: Sequence[Bdf], known: dict[Bdf, Device], place: str) -> str:
    missing = [bdf for bdf in asked if bdf not in known]
    return (
        f"--pci {_few(missing)}: not among the devices of {place}, so nothing of it was looked up; "
        "name the host's with --devices FILE or --sysfs FOLDER"
    )


def _few(addresses: Iterator[Bdf] | Sequence[Bdf]) -> str:
    return ", ".join(bdf.short for bdf in addresses)


# --- what else is touched


def _left_behind(handed: Sequence[Device], machine: Machine) -> Iterator[str]:
    """Of sets that go together, what is not handed over."""
    given = {device.bdf for device in handed}
    for one in machine.together:
        left = [machine.of(bdf) for bdf in one if bdf not in given]
        there = [machine.of(bdf) for bdf in one if bdf in given]
        if not left or not there:
            continue
        slots = {_slot(device) for device in there if not device.virtual}
        groups = {device.group for device in there} - {None}
        sets: dict[str, list[Bdf]] = {}
        for device in left:
            if _slot(device) in slots and not device.virtual:
                why = "the same slot"
            elif device.group in groups:
                why = "the same IOMMU group"
            else:
                why = "what goes together"
            sets.setdefault(why, []).append(device.bdf)
        for why, members in sets.items():
            yield (
                f"--pci {_few([d.bdf for d in there])}: of {why}, {_few(members)} stays behind; "
                "hand it over too"
            )


def _slot(device: Device) -> tuple[int, int, int]:
    return device.bdf.domain, device.bdf.bus, device.bdf.slot


def _of_device(device: Device, handed: Sequence[Device], machine: Machine) -> Iterator[str]:
    name, it = f"--pci {device.bdf.short}", device.hardware
    if device.verdict in (Verdict.DANGER, Verdict.NEVER):
        yield f"{name}: {'; '.join(device.why) or 'not for a guest'}"
    methods = it.reset_methods
    given = {other.bdf for other in handed}
    if methods and methods[0] in ("bus", "slot"):
        near = [
            other.bdf
            for other in machine.devices
            if (other.bdf.domain, other.bdf.bus) == (device.bdf.domain, device.bdf.bus)
            and other.bdf not in given
        ]
        if near:
            yield f"{name}: a reset of it resets its bus, and with it {_few(near)}"
    for bar in it.bars:
        if not bar.address:
            yield (
                f"{name}: the host's firmware found no room for BAR {bar.index} "
                f"({amount(bar.size)}), and so a guest gets none; look there for Above 4G Decoding"
            )
    shared = sorted(
        other.bdf
        for other in machine.devices
        if other.bdf not in given and not other.bridge and _pages(other) & _pages(device)
    )
    if shared:
        yield (
            f"{name}: shares a page of memory with {_few(shared)}, which a guest could reach "
            f"({_SUPPORT})"
        )


def _without_reset(handed: Sequence[Device]) -> Iterator[str]:
    found = [device.bdf for device in handed if device.hardware.reset_methods == ()]
    if found:
        which = "them" if found[1:] else "it"
        yield (
            f"--pci {_few(found)}: dom0's kernel has no way to reset {which}; what does not work "
            "again when the guest restarts needs a restart of the host (Linux resets a bus only "
            "for a function that is alone on it: drivers/pci/pci.c, pci_parent_bus_reset)"
        )


def _pages(device: Device) -> set[int]:
    """Pages that BARs of less than a page lie in; a larger one has its pages to itself."""
    return {
        bar.address // PAGE
        for bar in device.hardware.bars
        if bar.address and not bar.ports and bar.size < PAGE
    }


# --- where their memory goes


def asks(guest: Guest, handed: Sequence[Device]) -> list[Ask]:
    """What hvmloader has to find a place for: the devices' memory, and the emulated ones'.

    The device model shows a BAR as it is on the host, and none that has no address there
    (QEMU: hw/xen/xen_pt.c, xen_pt_register_regions).
    """
    found = []
    high = guest.xen >= (4, 3)  # before that, hvmloader put all below 4 GiB
    for device in handed:
        name, it = device.bdf.short, device.hardware
        for bar in it.bars:
            if bar.address and not bar.ports:
                found.append(Ask(bar.size, bar.wide and high, f"BAR {bar.index} of {name}"))
        if it.rom:
            found.append(Ask(it.rom, whose=f"the ROM of {name}"))
    return [*found, *hvmloader.emulated(len(guest.bridges))]


def _holes(guest: Guest, handed: Sequence[Device]) -> tuple[int | None, Layout]:
    """mmio_hole, and what hvmloader makes of it."""
    wanted, every = asks(guest, handed), guest.hole == "all"
    usual = hvmloader.layout(wanted, guest.memory, moves=guest.traditional)
    size: int | None = None
    if guest.hole.isdigit():
        size = int(guest.hole)
    elif guest.takes_hole and guest.hole != "no" and hvmloader.missing(usual, every):
        # Where not all fit below 4 GiB, those that have to lie there come first.
        size = hvmloader.hole(wanted, all_low=every) or hvmloader.hole(wanted)
    return size, hvmloader.layout(wanted, guest.memory, size) if size else usual


def _no_place(layout: Layout, guest: Guest, hole: int | None) -> Iterator[str]:
    if not layout.left:
        return
    names = "; ".join(f"{ask.whose} ({amount(ask.size)})" for ask in layout.left if ask.whose)
    what = names or "an emulated device"
    if not guest.takes_hole:
        yield f"no place below 4 GiB for {what}: this Xen has no mmio_hole; hand fewer over"
    elif hole and guest.hole.isdigit():
        yield f"--mmio-hole {hole} has no place for {what}: leave it out, and it is computed"
    elif guest.hole == "no":
        yield f"no place below 4 GiB for {what}: leave --mmio-hole no out, and it is computed"
    else:
        yield f"no place below 4 GiB for {what}, with the largest mmio_hole either; hand fewer over"


def _too_high(layout: Layout, guest: Guest, above: int) -> Iterator[str]:
    """64-bit BARs that the firmware does not map. The guest's own kernel maps them all the same."""
    if guest.firmware == "ovmf":
        end = hvmloader.mapped_by_ovmf(above)
        far = [ask for ask, at in layout.high if at + ask.size > end]
        if far:
            yield (
                f"{_named(far)}: beyond the {amount(end)} that OVMF maps in this guest ({_OVMF}), "
                "which cannot use the device for that; a guest of 64 bits can"
            )
    else:
        far = [ask for ask, _ in layout.high if ask.size > hvmloader.ALWAYS_HIGH]
        if far:
            yield (
                f"{_named(far)}: always above 4 GiB, where SeaBIOS and a guest of 32 bits reach "
                f"nothing ({_SEABIOS}); a guest of 64 bits does"
            )


def _named(found: Sequence[Ask]) -> str:
    return ", ".join(f"{ask.whose} ({amount(ask.size)})" for ask in found)


def _told(guest: Guest, hole: int | None, below: int, above: int, layout: Layout) -> Iterator[str]:
    size = f"mmio_hole={hole}" if hole else "the usual hole is enough"
    narrow = sum(ask.size for ask, _ in layout.low if ask.whose)
    yield (
        f"memory: {below} of {guest.memory} MiB below 4 GiB, {above} above; {size}, with "
        f"{_mebibytes(narrow)} of these devices in it"
    )
    movable = [ask for ask, _ in layout.high if ask.size <= hvmloader.ALWAYS_HIGH]
    if movable:
        yield (
            f"{_named(movable)}: above 4 GiB, where a guest of 32 bits and SeaBIOS reach nothing; "
            "--mmio-hole all keeps it below"
        )


def _mebibytes(size: int) -> str:
    return f"{-(-size // hvmloader.MIB)} MiB"
