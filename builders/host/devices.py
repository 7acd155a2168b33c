# SPDX-License-Identifier: GPL-2.0-or-later
"""The PCI devices of this machine, and which of them may go to a guest.

Everything is read from sysfs, /proc, fstab and udev's records; root is not needed. `look`
gathers (builders.host.uses), `judge` weighs: which functions go together, and what dom0 loses
with each set.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from builders.host import hardware, identity, pci
from builders.host import sysfs as fs
from builders.host.graph import Graph, Node, Vital, function
from builders.host.hardware import Hardware
from builders.host.pci import Bdf
from builders.host.problems import quoted
from builders.host.uses import HIDDEN, Endpoint, Uses, read
from builders.text import columns

SYSFS = Path("/sys")


class Verdict(StrEnum):
    """What hiding a device from dom0 means."""

    FINE = "fine"
    CAUTION = "caution"  # dom0 loses something that may be missed
    DANGER = "danger"  # dom0 may not boot, or not be reached
    NEVER = "never"  # part of the machine itself


@dataclass(frozen=True)
class Device:
    """One PCI function, as sysfs has it.

    code: the class code, 24 bits. group: of the IOMMU, where the kernel has one. reset: whether
    the kernel can reset it, which it does between two guests. virtual: an SR-IOV virtual function.
    blocks, networks, inputs: names of the disks, interfaces and input devices that are lost with
    it. mounts: the mount points that depend on it. hardware: what it asks of a machine.
    """

    bdf: Bdf
    code: int
    vendor: int
    device: int
    driver: str = ""
    group: int | None = None
    boot_vga: bool = False
    reset: bool = False
    virtual: bool = False
    blocks: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    up: tuple[str, ...] = ()  # those of the networks that have a link
    inputs: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    verdict: Verdict = Verdict.FINE
    why: tuple[str, ...] = ()
    hardware: Hardware = field(default_factory=Hardware)
    identity: str = ""  # as dom0-config records it, "" where that cannot be told

    @property
    def bridge(self) -> bool:
        """Bridges hold the machine together; a guest has no use for one."""
        return self.code >> 16 == 0x06

    @property
    def display(self) -> bool:
        return self.code >> 16 == 0x03

    @property
    def hidden(self) -> bool:
        """The PCI back end holds it already (or vfio does)."""
        return self.driver in HIDDEN


@dataclass(frozen=True)
class Machine:
    """All devices, and what could not be known.

    together: sets of functions to be hidden as one. xen: whether this is a dom0 already.
    memory: of the machine in MiB, 0 where it is not known.
    """

    devices: tuple[Device, ...]
    together: tuple[tuple[Bdf, ...], ...] = ()
    notes: tuple[str, ...] = ()
    xen: bool = False
    memory: int = 0
    names: pci.Names = field(default_factory=lambda: pci.Names({}, {}, {}))
    graph: Graph = field(default_factory=Graph)
    vitals: tuple[Vital, ...] = ()

    @cached_property
    def _by_bdf(self) -> dict[Bdf, Device]:
        return {device.bdf: device for device in self.devices}

    def of(self, bdf: Bdf) -> Device:
        """The device at an address that is one of them."""
        return self._by_bdf[bdf]


def look(sysfs: Path = SYSFS, ids: Sequence[Path] = pci.IDS) -> Machine:
    """What `sysfs` (a folder laid out like /sys) and the proc, etc and run next to it say.

    A file that is missing, unreadable or nonsense counts as not known; no errors.
    """
    devices = tuple(sorted(_devices(sysfs), key=lambda device: device.bdf))
    uses = read(sysfs, [Endpoint(d.bdf, d.code, d.vendor, d.driver, d.boot_vga) for d in devices])
    notes = list(uses.notes)
    xen = fs.text(sysfs / "hypervisor/type") == "xen"
    if devices and not any(device.group is not None for device in devices):
        notes.append(
            "no IOMMU groups: under Xen the hypervisor keeps the IOMMU to itself; boot this "
            "kernel without Xen once to see them"
            if xen
            else "no IOMMU groups: the machine has no IOMMU, or the firmware (VT-d, AMD-Vi) or "
            "the kernel (intel_iommu=on) leaves it off; an HVM guest needs one"
        )
    known = pci.names(((d.vendor, d.device) for d in devices), ids)
    if devices and known.path is None:
        notes.append("no names: there is no pci.ids here (package pci.ids)")
    return judge(
        Machine(
            tuple(_with_uses(device, uses) for device in devices),
            notes=tuple(notes),
            xen=xen,
            memory=memory(sysfs),
            names=known,
            graph=uses.graph,
            vitals=tuple(uses.vitals),
        )
    )


def _with_uses(device: Device, uses: Uses) -> Device:
    """The same with what hangs on it, near or far."""
    lost = uses.graph.lost([function(device.bdf)])

    def of(kind: str) -> tuple[str, ...]:
        return tuple(sorted(quoted(node.name) for node in lost if node.kind == kind))

    mounts = [v.words for v in uses.vitals if v.kind == "mount" and v.nodes <= lost]
    cards = {n for n in lost if n.kind == "net" and n in uses.cards}
    return replace(
        device,
        blocks=tuple(sorted(quoted(n.name) for n in lost if n in uses.disks)),
        networks=tuple(sorted(quoted(n.name) for n in cards)),
        up=tuple(sorted(quoted(n.name) for n in cards if n.name in uses.up)),
        inputs=of("input"),
        mounts=tuple(dict.fromkeys(map(quoted, mounts))),
    )


def judge(machine: Machine) -> Machine:
    """The same machine with a verdict for each device, and the sets that go together.

    A set is judged as one: what dom0 loses with one of it, or with all of it, counts for each.
    """
    sets = _together(machine.devices, machine.graph)
    judged: dict[Bdf, Device] = {d.bdf: _never(d) for d in machine.devices if d.bridge}
    for one in sets:
        members = [machine.of(bdf) for bdf in one]
        dangers = {d.bdf: _dangers([d], machine) for d in members}
        others = _dangers([d for d in members if not d.hidden], machine)
        for d in members:
            if d.hidden:  # dom0 does without it already
                judged[d.bdf] = d
                continue
            danger, caution = dangers[d.bdf], _cautions(d, machine)
            if not danger and others:
                near = [other.bdf.short for other in members if other is not d]
                danger = [f"goes together with {_few(near)}: {'; '.join(others)}"]
            if danger:  # its cautions are the same losses in weaker words
                caution = []
            if d.bdf.domain > pci.LAST_SEGMENT and not danger:
                judged[d.bdf] = _never(d)
                continue
            if not d.reset and not danger:
                caution.append(
                    "the kernel knows no way to reset it: it may not work again after the guest "
                    "restarts"
                )
            verdict = Verdict.DANGER if danger else Verdict.CAUTION if caution else Verdict.FINE
            judged[d.bdf] = replace(d, verdict=verdict, why=tuple(danger + caution))
    return replace(machine, devices=tuple(judged[d.bdf] for d in machine.devices), together=sets)


def _never(device: Device) -> Device:
    why = "part of the machine, not for a guest"
    if not device.bridge:
        why = f"Xen has no PCI segment above {pci.LAST_SEGMENT:x}: it goes with what is above it"
    return replace(device, verdict=Verdict.NEVER, why=(why,))


def _dangers(devices: Sequence[Device], machine: Machine) -> list[str]:
    """What dom0 needs and loses when all of these go."""
    lost = machine.graph.lost(function(device.bdf) for device in devices)
    gone: dict[str, list[str]] = {}
    for vital in machine.vitals:
        if vital.nodes <= lost:
            gone.setdefault(vital.kind, []).append(quoted(vital.words))
    disks = {name: None for device in devices for name in device.blocks}
    behind = f" ({_few(list(disks))})" if disks else ""
    dangers = []
    mounts, swaps = gone.pop("mount", []), gone.pop("swap", [])
    if mounts:
        dangers.append(f"carries {_few(mounts)}{behind}")
    if swaps:
        dangers.append(f"carries swap ({_few(swaps)})")
    for kind, words in (("pool", "carries a part of"), ("stack", "carries a part of")):
        parts = gone.pop(kind, [])
        if parts and not mounts and not swaps:
            dangers.append(f"{words} {_few(parts)}{behind}")
    docks = gone.pop("dock", [])
    if docks:
        dangers.append(f"cuts off {_few(docks)}")
    unseen = gone.pop("unseen", [])
    if unseen and not mounts:
        dangers.append(f"{'; '.join(unseen[:2])}{behind}")
    for reasons in gone.values():
        dangers += reasons[:2]
    if any(
        device.code >> 16 == 0x08 or device.code >> 8 in (0x0500, 0x0580, 0x0C05)
        for device in devices
    ):
        dangers.append("part of the chipset")
    return dangers


def _cautions(device: Device, machine: Machine) -> list[str]:
    """What is missed when it goes, perhaps."""
    caution = []
    if device.blocks:
        caution.append(f"disk controller of {_few(device.blocks)}; no use of them is known")
    if device.up:
        caution.append(f"network card in use ({_few(device.up)})")
    if device.boot_vga:
        caution.append("the firmware's own graphics card: the console is on it")
    if device.inputs:
        caution.append(f"keyboard or other input hangs on it ({_few(device.inputs)})")
    lost = machine.graph.lost([function(device.bdf)])
    virtual = [d.bdf.short for d in machine.devices if d.virtual and function(d.bdf) in lost]
    if virtual and not device.virtual:
        caution.append(f"its virtual functions go with it ({_few(virtual)})")
    return caution


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown


def _together(devices: Sequence[Device], graph: Graph) -> tuple[tuple[Bdf, ...], ...]:
    """Endpoints that go as one, as sorted sets: functions of one slot, of one IOMMU group, on one
    conventional PCI bus (where there are no groups), and those below a controller that is no
    bridge, such as Intel's VMD.

    Virtual functions of SR-IOV are made to be handed out one by one: the slot does not bind them.
    """
    ends = [device for device in devices if not device.bridge]
    known = {function(device.bdf): device for device in ends}
    keys: dict[tuple[object, ...], list[Bdf]] = {}
    for device in ends:
        bdf = device.bdf
        keys.setdefault(("self", bdf), []).append(bdf)
        if device.group is not None:
            keys.setdefault(("group", device.group), []).append(bdf)
        if not device.virtual:
            keys.setdefault(("slot", bdf.domain, bdf.bus, bdf.slot), []).append(bdf)
            for above in graph.needs.get(function(bdf), ()):
                if above in known:
                    keys.setdefault(("self", known[above].bdf), []).append(bdf)
    for bridge in _conventional(devices, graph):
        below = graph.lost([bridge])
        keys[("bus", bridge)] = [known[n].bdf for n in below if n in known]
    return _joined(keys.values())


def _conventional(devices: Sequence[Device], graph: Graph) -> list[Node]:
    """The bridges to conventional PCI, whose devices look the same to an IOMMU.

    PCI Express has one device, number 0, on the bus behind a port; only the bus inside of a
    switch has more, and these are all bridges. Programming interface 1: subtractive decoding.
    """
    at = {function(device.bdf): device for device in devices}
    found = []
    for node, bridge in at.items():
        if bridge.code >> 8 != 0x0604:
            continue
        below = [at[n] for n in graph.lost([node]) if n in at and n != node]
        near = [
            d
            for d in below
            if sum(need.kind == "pci" and need in at for need in graph.needs[function(d.bdf)])
            == 1 + sum(n.kind == "pci" and n in at for n in graph.needs.get(node, ()))
        ]
        ends = [d for d in near if not d.bridge and not d.virtual and d.group is None]
        mixed = any(d.bdf.slot for d in ends) or (ends and any(d.bridge for d in near))
        if ends and (mixed or bridge.code & 0xFF == 1):
            found.append(node)
    return found


def _joined(lists: Iterable[Sequence[Bdf]]) -> tuple[tuple[Bdf, ...], ...]:
    """Lists that share a member become one."""
    head: dict[Bdf, Bdf] = {}

    def first(bdf: Bdf) -> Bdf:
        while head.setdefault(bdf, bdf) != bdf:
            head[bdf] = head[head[bdf]]
            bdf = head[bdf]
        return bdf

    for one in lists:
        for bdf in one:
            head[first(bdf)] = first(one[0])
    sets: dict[Bdf, list[Bdf]] = {}
    for bdf in list(head):
        sets.setdefault(first(bdf), []).append(bdf)
    return tuple(sorted(tuple(sorted(one)) for one in sets.values()))


def _devices(sysfs: Path) -> Iterator[Device]:
    folder, top = sysfs / "bus/pci/devices", fs.real(sysfs)
    for name in fs.names(folder):
        bdf = Bdf.parse(name)
        at = folder / name
        if bdf is None or not fs.below(at, top):  # of a copied tree, a link may lead anywhere
            continue
        group = fs.link(at / "iommu_group")
        yield Device(
            bdf,
            code=fs.number(at / "class", 24),
            vendor=fs.number(at / "vendor", 16),
            device=fs.number(at / "device", 16),
            driver=fs.link(at / "driver"),
            group=int(group) if re.fullmatch(r"[0-9]{1,9}", group) else None,
            boot_vga=fs.text(at / "boot_vga") == "1",
            reset=fs.there(at / "reset"),
            virtual=fs.there(at / "physfn"),
            hardware=hardware.read(at),
            identity=str(identity.look(sysfs, bdf) or ""),
        )


def memory(sysfs: Path = SYSFS) -> int:
    """MiB of the machine by the proc/meminfo next to `sysfs`; 0 where that is not known.

    Under Xen it is not: dom0 sees what it has itself.
    """
    if fs.text(sysfs / "hypervisor/type") == "xen":
        return 0
    line = fs.text(sysfs.parent / "proc" / "meminfo")
    found = re.fullmatch(r"MemTotal:\s+([0-9]{1,15}) kB", line)
    return int(found[1]) >> 10 if found else 0


# --- what to do with it

# Base classes that a guest has use for, the likeliest first: graphics, network, USB and other
# serial buses, multimedia, storage, wireless, accelerators.
_USEFUL = (0x03, 0x02, 0x0C, 0x04, 0x01, 0x0D, 0x12)
# Serial buses for a guest: FireWire, USB, Fibre Channel, InfiniBand; not those of the chipset.
_SERIAL = (0x0C00, 0x0C03, 0x0C04, 0x0C06)


def _useful(device: Device) -> bool:
    base = device.code >> 16
    return base in _USEFUL and (base != 0x0C or device.code >> 8 in _SERIAL)


def handed(one: Sequence[Device], machine: Machine) -> tuple[Device, ...]:
    """Those of a set that are to be hidden: what lies below another goes with that one."""
    nodes = {function(device.bdf) for device in one}
    return tuple(d for d in one if not machine.graph.needs.get(function(d.bdf), set()) & nodes)


def candidates(machine: Machine) -> list[tuple[Device, ...]]:
    """What to hide of the sets of which none is dangerous and one at least is of use, by `_USEFUL`.

    dom0-config takes each as it is.
    """
    offers = []
    for addresses in machine.together:
        one = tuple(machine.of(bdf) for bdf in addresses)
        hide = handed(one, machine)
        if (
            not any(d.verdict == Verdict.DANGER for d in one)
            and not any(d.verdict == Verdict.NEVER for d in hide)
            and not all(d.hidden for d in hide)
            and any(_useful(d) for d in hide)
            and len(pci.hide_option([d.bdf for d in hide])) <= pci.HIDE_LIMIT
        ):
            offers.append(hide)

    def rank(one: tuple[Device, ...]) -> tuple[int, bool, Bdf]:
        best = min(_USEFUL.index(d.code >> 16) for d in one if _useful(d))
        return best, any(d.boot_vga or d.inputs or d.up or d.blocks for d in one), one[0].bdf

    return sorted(offers, key=rank)


def command(one: Sequence[Device], memory: int, recipe: str = "") -> str:
    """The dom0-config that hides these. memory: of the machine in MiB; dom0 gets a quarter,
    from 1 to 8 GiB."""
    share = min(max(memory // 4 // 256 * 256, 1024), 8192) if memory else 4096
    hide = " ".join(f"--hide {device.bdf.short}" for device in one)
    name = f"--recipe {recipe} " if recipe else ""
    return f"./inv dom0-config {name}{hide} --dom0-mem {share}M"


def table(machine: Machine, width: int = 200) -> str:
    """The same for people, at most `width` columns where the names allow it."""
    if not machine.devices:
        return "no PCI devices here"
    rows = [("ADDRESS", "GROUP", "DRIVER", "HIDE", "WHAT")]
    reasons = []
    for d in machine.devices:
        group = "-" if d.group is None else str(d.group)
        kind = machine.names.kind(d.code)
        verdict = "hidden" if d.hidden else str(d.verdict)
        what = f"{kind}: {machine.names.brief(d.vendor, d.device)}"
        rows.append((str(d.bdf), group, d.driver or "-", verdict, what))
        if d.why and not d.bridge and not d.hidden:
            reasons += _wrapped(f"{d.bdf} {d.verdict}: {'; '.join(d.why)}", width)
    lines = [line[:width].rstrip() for line in columns(rows)]
    if reasons:
        lines += ["", *reasons]
    sets = [one for one in machine.together if len(one) > 1]
    if sets:
        lines += ["", "go together (one slot or one IOMMU group):"]
        lines += ["  " + " ".join(bdf.short for bdf in one) for one in sets]
    fit = candidates(machine)
    lines.append("")
    if fit:
        lines.append("to hide one of these from dom0 and hand it to a guest:")
        lines += [f"  {command(one, machine.memory)}" for one in fit]
    else:
        lines.append("nothing here that a guest has use for can go without harm to dom0")
    for note in machine.notes:
        lines += _wrapped(f"note: {note}", width)
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 40), subsequent_indent="    ", break_on_hyphens=False)
