# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is to say of a Xen host: its devices, the package of its settings, a guest's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from builders.host import devices as host
from builders.host.devices import Machine, Verdict
from builders.show import face
from builders.show.outcome import Outcome


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


def devices(machine: Machine) -> Outcome:
    """The PCI devices of a machine."""
    return Outcome(lambda: document(machine), lambda: host.table(machine, face.width()))


def document(machine: Machine) -> DevicesDocument:
    """The same for programs."""
    return DevicesDocument(
        xen=machine.xen,
        memory_mib=machine.memory,
        notes=machine.notes,
        devices=[
            DeviceEntry(
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
            )
            for d in machine.devices
        ],
        together=[[str(bdf) for bdf in one] for one in machine.together],
        suggested=[host.command(one, machine.memory) for one in host.candidates(machine)],
    )
