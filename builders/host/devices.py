# SPDX-License-Identifier: GPL-2.0-or-later
"""The PCI devices of this machine, and which of them may go to a guest.

Everything is read from sysfs, /proc/mounts and /proc/meminfo; root is not needed. `look`
gathers, `judge` weighs: which functions go together, and what dom0 loses with each.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from builders.host import pci
from builders.host.pci import Bdf

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
    blocks, networks, inputs: names of the disks, interfaces and input devices behind it.
    mounts: the mount points that depend on it.
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
        return self.driver in ("pciback", "xen-pciback", "vfio-pci")


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

    def of(self, bdf: Bdf) -> Device:
        return next(device for device in self.devices if device.bdf == bdf)


def look(sysfs: Path = SYSFS, ids: Sequence[Path] = pci.IDS) -> Machine:
    """What `sysfs` (a folder laid out like /sys) and the proc/mounts next to it say.

    A file that is missing, unreadable or nonsense counts as not known; no errors.
    """
    notes: list[str] = []
    found = sorted(_devices(sysfs), key=lambda device: device.bdf)
    behind = _Behind(sysfs)
    mounts, unknown = behind.mounts(sysfs.parent / "proc" / "mounts")
    if unknown:
        notes.append(unknown)
    networks = behind.of_class("net")
    blocks = behind.of_class("block")
    inputs = behind.of_class("input")
    up = {
        name
        for names in networks.values()
        for name in names
        if _text(sysfs / "class/net" / name / "operstate") == "up"
    }
    devices = tuple(
        replace(
            device,
            networks=networks.get(device.bdf, ()),
            up=tuple(name for name in networks.get(device.bdf, ()) if name in up),
            blocks=blocks.get(device.bdf, ()),
            inputs=inputs.get(device.bdf, ()),
            mounts=mounts.get(device.bdf, ()),
        )
        for device in found
    )
    xen = _text(sysfs / "hypervisor/type") == "xen"
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
    return judge(Machine(devices, notes=tuple(notes), xen=xen, memory=memory(sysfs), names=known))


def judge(machine: Machine) -> Machine:
    """The same machine with a verdict for each device, and the sets that go together."""
    judged = tuple(_judged(device, machine.devices) for device in machine.devices)
    return replace(machine, devices=judged, together=_together(judged))


def _judged(device: Device, others: Sequence[Device]) -> Device:
    danger: list[str] = []
    caution: list[str] = []
    if device.bridge:
        return replace(device, verdict=Verdict.NEVER, why=("part of the machine, not for a guest",))
    if device.mounts:
        danger.append(f"carries {_few(device.mounts)} ({_few(device.blocks)})")
    elif device.blocks:
        caution.append(f"disk controller of {_few(device.blocks)}; no mount of them is known")
    cards = [other for other in others if other.networks and not other.hidden]
    if device.networks:
        linked = [other for other in cards if other.up]
        if len(cards) == 1:
            danger.append(f"the only network card ({_few(device.networks)})")
        elif linked == [device]:
            danger.append(f"the only network card with a link ({_few(device.up)})")
        elif device.up:
            caution.append(f"network card in use ({_few(device.up)})")
    screens = [other for other in others if other.display and not other.hidden]
    if device.display and not device.hidden:
        if screens == [device]:
            danger.append("the only graphics card: the console goes dark")
        elif device.boot_vga:
            caution.append("the firmware's own graphics card: the console is on it")
    if device.inputs:
        caution.append(f"keyboard or other input hangs on it ({_few(device.inputs)})")
    if device.code >> 16 == 0x08 or device.code >> 8 in (0x0500, 0x0580, 0x0C05):
        danger.append("part of the chipset")
    if not device.reset and not device.hidden and not danger:
        caution.append(
            "the kernel knows no way to reset it: it may not work again after the guest restarts"
        )
    verdict = Verdict.DANGER if danger else Verdict.CAUTION if caution else Verdict.FINE
    return replace(device, verdict=verdict, why=tuple(danger + caution))


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown


def _together(devices: Sequence[Device]) -> tuple[tuple[Bdf, ...], ...]:
    """Endpoints that share an IOMMU group or are functions of one slot, as sorted sets.

    Virtual functions of SR-IOV are made to be handed out one by one: the slot does not bind them.
    """
    ends = [device for device in devices if not device.bridge]
    sets: list[set[Bdf]] = []
    for device in ends:
        near = {
            other.bdf
            for other in ends
            if other is device
            or (device.group is not None and other.group == device.group)
            or (
                not (device.virtual or other.virtual)
                and (device.bdf.domain, device.bdf.bus, device.bdf.slot)
                == (other.bdf.domain, other.bdf.bus, other.bdf.slot)
            )
        }
        joined = [known for known in sets if known & near]
        sets = [known for known in sets if not known & near]
        sets.append(near.union(*joined))
    return tuple(sorted(tuple(sorted(one)) for one in sets))


# --- reading sysfs


def _text(path: Path) -> str:
    """The first line of an attribute; empty where it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(4096).strip()
    except (OSError, ValueError):
        return ""


def _number(path: Path, bits: int) -> int:
    """An attribute such as 0x030000; 0 where it is none."""
    text = _text(path)
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{1,8}", text):
        return 0
    return int(text, 16) & ((1 << bits) - 1)


def _link(path: Path) -> str:
    """The last part of what a link points to; empty where it is no link."""
    try:
        return path.readlink().name
    except (OSError, ValueError):
        return ""


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []


def _devices(sysfs: Path) -> Iterator[Device]:
    folder = sysfs / "bus/pci/devices"
    for name in _names(folder):
        bdf = Bdf.parse(name)
        if bdf is None:
            continue
        at = folder / name
        group = _link(at / "iommu_group")
        yield Device(
            bdf,
            code=_number(at / "class", 24),
            vendor=_number(at / "vendor", 16),
            device=_number(at / "device", 16),
            driver=_link(at / "driver"),
            group=int(group) if re.fullmatch(r"[0-9]{1,9}", group) else None,
            boot_vga=_text(at / "boot_vga") == "1",
            reset=(at / "reset").exists(),
            virtual=(at / "physfn").exists(),
        )


class _Behind:
    """Which PCI functions stand between dom0 and a disk, an interface or a mount."""

    def __init__(self, sysfs: Path) -> None:
        self._sysfs = sysfs

    def of_class(self, name: str) -> dict[Bdf, tuple[str, ...]]:
        """PCI function -> names in /sys/class/NAME that hang on it."""
        found: dict[Bdf, list[str]] = {}
        for entry in _names(self._sysfs / "class" / name):
            for bdf in self._nearest(self._sysfs / "class" / name / entry):
                found.setdefault(bdf, []).append(entry)
        return {bdf: tuple(names) for bdf, names in found.items()}

    def mounts(self, path: Path) -> tuple[dict[Bdf, tuple[str, ...]], str]:
        """PCI function -> mount points (proc(5)); and a note where that of / is not known."""
        found: dict[Bdf, list[str]] = {}
        rooted = False
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return {}, f"{path} cannot be read: which disks are in use is not known"
        mapped = self._mapped()
        source = ""
        for line in lines:
            parts = line.split()
            if len(parts) < 3:
                continue
            point = _unescaped(parts[1])
            if point == "/":
                source = parts[0]  # what is mounted last on / is what counts
            name = _unescaped(parts[0]).removeprefix("/dev/")
            name = mapped.get(name.removeprefix("mapper/"), name).replace("/", "!")
            holders = self._disks(name, set()) if parts[0].startswith("/dev/") else set()
            for bdf in holders:
                points = found.setdefault(bdf, [])
                if point not in points:
                    points.append(point)
            rooted = bool(holders) if point == "/" else rooted
        note = ""
        if not rooted:
            note = f"the controller of / ({source or 'not mounted'}) is not known: look yourself"
        return {bdf: tuple(points) for bdf, points in found.items()}, note

    def _mapped(self) -> dict[str, str]:
        """Name of the device mapper -> dm-N."""
        block = self._sysfs / "class/block"
        return {
            _text(block / name / "dm/name"): name
            for name in _names(block)
            if name.startswith("dm-")
        }

    def _disks(self, name: str, seen: set[str]) -> set[Bdf]:
        """The functions under a block device: through LVM, RAID and encryption, by slaves/."""
        if name in seen or name in ("", ".", ".."):
            return set()
        seen.add(name)
        at = self._sysfs / "class/block" / name
        found = set(self._nearest(at))
        below = _names(at / "slaves")
        if not below:  # a partition has none of its own: its disk has them
            below = _names(at / ".." / "slaves") if (at / "partition").exists() else []
        for slave in below:
            found |= self._disks(slave, seen)
        return found

    def _nearest(self, link: Path) -> Iterable[Bdf]:
        """The last PCI function on the way to a device; several for NVMe with several paths."""
        try:
            real = link.resolve()
        except (OSError, RuntimeError, ValueError):
            return ()
        if "nvme-subsystem" in real.parts:
            # A namespace with multipath lies below its subsystem, which links its controllers.
            subsystem = Path(*real.parts[: real.parts.index("nvme-subsystem") + 2])
            paths = [p for p in _names(subsystem) if re.fullmatch(r"nvme\d+", p)]
            return sorted({b for p in paths for b in self._nearest(subsystem / p)})
        for part in reversed(real.parts):
            bdf = Bdf.parse(part)
            if bdf:
                return (bdf,)
        return ()


def _unescaped(text: str) -> str:
    r"""A field of /proc/mounts: space, tab, newline and backslash come as \ooo."""
    return re.sub(r"\\([0-3][0-7]{2})", lambda m: chr(int(m[1], 8)), text)


def memory(sysfs: Path = SYSFS) -> int:
    """MiB of the machine by the proc/meminfo next to `sysfs`; 0 where that is not known.

    Under Xen it is not: dom0 sees what it has itself.
    """
    if _text(sysfs / "hypervisor/type") == "xen":
        return 0
    found = re.fullmatch(r"MemTotal:\s+([0-9]{1,15}) kB", _text(sysfs.parent / "proc" / "meminfo"))
    return int(found[1]) >> 10 if found else 0


# --- what to do with it

# Base classes that a guest has use for, the likeliest first: graphics, network, USB and other
# serial buses, multimedia, storage, wireless, accelerators.
_USEFUL = (0x03, 0x02, 0x0C, 0x04, 0x01, 0x0D, 0x12)


def candidates(machine: Machine) -> list[tuple[Device, ...]]:
    """The sets of which none is dangerous and one at least is of use, by `_USEFUL`."""
    sets = [tuple(machine.of(bdf) for bdf in one) for one in machine.together]
    fit = [
        one
        for one in sets
        if all(d.verdict in (Verdict.FINE, Verdict.CAUTION) for d in one)
        and not all(d.hidden for d in one)
        and any(d.code >> 16 in _USEFUL for d in one)
    ]

    def rank(one: tuple[Device, ...]) -> tuple[int, bool, Bdf]:
        best = min(_USEFUL.index(d.code >> 16) for d in one if d.code >> 16 in _USEFUL)
        return best, any(d.boot_vga or d.inputs or d.up or d.blocks for d in one), one[0].bdf

    return sorted(fit, key=rank)


def command(one: Sequence[Device], memory: int, recipe: str = "") -> str:
    """The dom0-config that hides these. memory: of the machine in MiB; dom0 gets a quarter,
    from 1 to 8 GiB."""
    share = min(max(memory // 4 // 256 * 256, 1024), 8192) if memory else 4096
    hide = " ".join(f"--hide {device.bdf.short}" for device in one)
    name = f"--recipe {recipe} " if recipe else ""
    return f"./inv dom0-config {name}{hide} --dom0-mem {share}M"


def to_json(machine: Machine) -> str:
    """All of it for programs; "format" 1."""
    return json.dumps(
        {
            "format": 1,
            "xen": machine.xen,
            "memory_mib": machine.memory,
            "notes": list(machine.notes),
            "devices": [
                {
                    "address": str(d.bdf),
                    "class": f"{d.code:06x}",
                    "class_name": machine.names.kind(d.code),
                    "vendor": f"{d.vendor:04x}",
                    "device": f"{d.device:04x}",
                    "name": machine.names.device(d.vendor, d.device),
                    "driver": d.driver,
                    "iommu_group": d.group,
                    "reset": d.reset,
                    "hidden": d.hidden,
                    "mounts": list(d.mounts),
                    "networks": list(d.networks),
                    "verdict": str(d.verdict),
                    "why": list(d.why),
                }
                for d in machine.devices
            ],
            "together": [[str(bdf) for bdf in one] for one in machine.together],
            "suggested": [command(one, machine.memory) for one in candidates(machine)],
        },
        indent=2,
    )


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
        what = f"{kind}: {machine.names.device(d.vendor, d.device)}"
        rows.append((str(d.bdf), group, d.driver or "-", verdict, what))
        if d.why and not d.bridge and not d.hidden:
            reasons += _wrapped(f"{d.bdf} {d.verdict}: {'; '.join(d.why)}", width)
    widths = [max(len(row[n]) for row in rows) for n in range(4)]
    lines = [
        ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=False)) + "  " + row[4])[
            :width
        ].rstrip()
        for row in rows
    ]
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
