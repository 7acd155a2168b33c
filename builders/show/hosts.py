# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is to say of a Xen host: its devices, the package of its settings, a guest's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from builders.errors import Exit
from builders.host import checked as host_check
from builders.host import detail
from builders.host import devices as host
from builders.host.devices import Device, Machine, Verdict
from builders.host.hardware import Link
from builders.host.moved import Moved
from builders.show import face
from builders.show.outcome import Outcome


@dataclass(frozen=True)
class BarEntry:
    index: Annotated[int, "0 to 5", {"minimum": 0, "maximum": 5}]
    kind: Annotated[str, "what lies behind it", {"enum": ["memory", "ports"]}]
    bits: Annotated[int, "of its address", {"enum": [32, 64]}]
    size: Annotated[int, "bytes, a power of two"]
    address: Annotated[str, "on the host: sixteen hexadecimal digits, 0 where it has none"]
    prefetchable: bool
    resizable_to: Annotated[Sequence[int], "sizes in bytes"]


@dataclass(frozen=True)
class InterruptsEntry:
    msi: Annotated[bool | None, "it has MSI; null where only root can tell"]
    msix: Annotated[bool | None, "likewise, of MSI-X"]
    in_use: Annotated[int, "vectors of either now", {"minimum": 0}]
    kept_off: Annotated[bool, "the kernel lets it have none"]


@dataclass(frozen=True)
class LinkEntry:
    speed: Annotated[float, "GT/s now, 0 where it is not known"]
    width: Annotated[int, "lanes now, 0 where it is not known"]
    max_speed: float
    max_width: int


@dataclass(frozen=True)
class DeviceEntry:
    address: Annotated[str, "domain, bus, slot and function"]
    class_: Annotated[str, "six hexadecimal digits"]
    class_name: str
    vendor: Annotated[str, "four hexadecimal digits"]
    device: Annotated[str, "likewise"]
    name: str
    driver: Annotated[str, "that has it, or empty"]
    iommu_group: Annotated[int | None, "null where the IOMMU is off"]
    reset: Annotated[bool, "it can be reset by itself"]
    hidden: Annotated[bool, "from dom0 already"]
    mounts: Sequence[str]
    disks: Sequence[str]
    inputs: Sequence[str]
    networks: Sequence[str]
    verdict: Annotated[Verdict, "on handing it to a guest"]
    why: Sequence[str]
    boot_vga: Annotated[bool, "the firmware's own graphics card"]
    virtual: Annotated[bool, "a virtual function of SR-IOV"]
    bars: Sequence[BarEntry]
    rom: Annotated[int, "bytes of the expansion ROM, 0 without one"]
    reset_methods: Annotated[
        Sequence[str] | None, "in the order of the kernel; null before Linux 5.15"
    ]
    numa_node: Annotated[int | None, "null where it is not known"]
    interrupts: InterruptsEntry
    link: Annotated[LinkEntry | None, "of PCI Express; null without one"]
    identity: Annotated[str, "kind, serial number and place, as dom0-config records them"]


@dataclass(frozen=True)
class DevicesDocument:
    """The PCI devices of a machine, and what may be hidden from dom0."""

    kind: ClassVar[str] = "devices"
    schema: ClassVar[int] = 1
    xen: Annotated[bool, "it runs Xen"]
    memory_mib: Annotated[int, "0 where it is not known", {"minimum": 0}]
    notes: Sequence[str]
    devices: Sequence[DeviceEntry]
    together: Annotated[Sequence[Sequence[str]], "sets of addresses that go to a guest together"]
    suggested: Annotated[Sequence[str], "commands that hide a set"]


@dataclass(frozen=True)
class MovedEntry:
    address: Annotated[str, "domain, bus, slot and function"]
    why: str


@dataclass(frozen=True)
class MovedDocument:
    """The hidden devices of a package of settings that are not the ones that were meant."""

    kind: ClassVar[str] = "devices-check"
    schema: ClassVar[int] = 1
    file: Annotated[str, "absolute path of the package"]
    moved: Sequence[MovedEntry]


@dataclass(frozen=True)
class HostCheckEntry:
    name: str
    state: Annotated[
        str, "unknown: the host cannot tell", {"enum": ["ok", "warn", "unknown", "fail"]}
    ]
    seen: Annotated[str, "what is"]
    remedy: Annotated[str, "what to do, or empty"]


@dataclass(frozen=True)
class HostCheckDocument:
    """Whether a Xen host is as its settings say, as dom0-check --json of that host has it."""

    kind: ClassVar[str] = host_check.PROGRAM
    schema: ClassVar[int] = 1
    good: Annotated[bool, "no check failed"]
    checks: Sequence[HostCheckEntry]


@dataclass(frozen=True)
class SettingsDocument:
    """The package of a host's settings."""

    kind: ClassVar[str] = "dom0-config"
    schema: ClassVar[int] = 1
    file: Annotated[str, "absolute path of the package"]
    xen_options: str
    linux_options: str
    tells: Annotated[Sequence[str], "what the package does"]
    warnings: Sequence[str]


@dataclass(frozen=True)
class GuestDocument:
    """A guest's file."""

    kind: ClassVar[str] = "domu-config"
    schema: ClassVar[int] = 1
    file: Annotated[str | None, "absolute path; null without --out"]
    toolstack: Annotated[str, "that reads it", {"enum": ["xl", "xm"]}]
    text: Annotated[str, "the guest's file"]
    warnings: Sequence[str]
    notes: Annotated[Sequence[str], "what to know of its devices, each with its source"]
    mmio_hole_mib: Annotated[int | None, "in the file; null where the usual one is enough"]
    memory_below_4g_mib: Annotated[int | None, "of an HVM guest's memory"]


def devices(machine: Machine, detailed: Sequence[Device] = ()) -> Outcome:
    """The PCI devices of a machine; the table has all of the `detailed` ones, where there are."""
    width = face.width()
    return Outcome(
        lambda: document(machine),
        lambda: (
            "\n\n".join(detail.text(d, machine, width) for d in detailed)
            or host.table(machine, width)
        ),
    )


def moved(package: Path, found: Sequence[Moved]) -> Outcome:
    """Hidden devices that are others; the exit status is that of findings where there are any."""
    document = MovedDocument(
        str(package.absolute()), [MovedEntry(str(it.bdf), it.why) for it in found]
    )
    if not found:
        text = "the devices at the hidden addresses are those that were meant, as far as recorded"
        return Outcome(document, text)
    text = face.table([(str(it.bdf), it.why) for it in found])
    return Outcome(document, text, Exit.AUDIT)


def checked(checks: Sequence[host_check.Check]) -> Outcome:
    """What dom0-check says of a host; the exit status is that of findings where a check fails."""
    good = all(it.state != "fail" for it in checks)
    document = HostCheckDocument(
        good, [HostCheckEntry(it.name, it.state, it.seen, it.remedy) for it in checks]
    )
    rows = []
    for it in checks:
        rows.append((it.state, it.name, it.seen))
        if it.remedy:
            rows.append(("", "", f"do: {it.remedy}"))
    return Outcome(document, face.table(rows), Exit.DONE if good else Exit.AUDIT)


def document(machine: Machine) -> DevicesDocument:
    """The same for programs."""
    return DevicesDocument(
        xen=machine.xen,
        memory_mib=machine.memory,
        notes=machine.notes,
        devices=[_entry(d, machine) for d in machine.devices],
        together=[[str(bdf) for bdf in one] for one in machine.together],
        suggested=[host.command(one, machine.memory) for one in host.candidates(machine)],
    )


def _entry(d: Device, machine: Machine) -> DeviceEntry:
    it = d.hardware
    return DeviceEntry(
        address=str(d.bdf),
        class_=f"{d.code:06x}",
        class_name=machine.names.kind(d.code),
        vendor=f"{d.vendor:04x}",
        device=f"{d.device:04x}",
        name=machine.names.device(d.vendor, d.device),
        driver=d.driver,
        iommu_group=d.group,
        reset=d.reset,
        hidden=d.hidden,
        mounts=list(d.mounts),
        disks=list(d.blocks),
        inputs=list(d.inputs),
        networks=list(d.networks),
        verdict=d.verdict,
        why=list(d.why),
        boot_vga=d.boot_vga,
        virtual=d.virtual,
        bars=[
            BarEntry(
                index=bar.index,
                kind="ports" if bar.ports else "memory",
                bits=64 if bar.wide else 32,
                size=bar.size,
                address=f"{bar.address:016x}",
                prefetchable=bar.prefetchable,
                resizable_to=list(bar.sizes),
            )
            for bar in it.bars
        ],
        rom=it.rom,
        reset_methods=None if it.reset_methods is None else list(it.reset_methods),
        numa_node=it.numa,
        interrupts=InterruptsEntry(it.msi, it.msix, it.vectors, it.no_msi),
        link=_link(it.link),
        identity=d.identity,
    )


def _link(link: Link | None) -> LinkEntry | None:
    if link is None:
        return None
    return LinkEntry(link.speed, link.width, link.most_speed, link.most_width)
