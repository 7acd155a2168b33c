# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that are not there: trees laid out like /sys and /proc/mounts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from builders.host.hardware import Bar


class Machine:
    """A machine being put together; `sysfs` is what takes the place of /sys."""

    def __init__(self, folder: Path) -> None:
        self.sysfs = folder / "sys"
        (self.sysfs / "bus/pci/devices").mkdir(parents=True)
        (folder / "proc").mkdir()
        self._mounts = folder / "proc/mounts"
        self._mounts.write_text("proc /proc proc rw 0 0\n")

    def pci(
        self,
        bdf: str,
        code: str,
        *,
        ids: tuple[str, str] = ("0x10de", "0x1c82"),
        driver: str = "",
        group: int | None = None,
        above: str = "",
        boot_vga: bool = False,
        reset: bool = True,
        physfn: str = "",
        root: str = "",
    ) -> Path:
        """One function at `bdf`, below the bridge `above` of the host bridge `root`; its folder."""
        root = f"devices/{root or f'pci{bdf[:4]}:00'}/"
        at = self.sysfs / root / above / bdf
        at.mkdir(parents=True)
        for name, text in (("class", code), ("vendor", ids[0]), ("device", ids[1])):
            (at / name).write_text(text + "\n")
        if driver:
            (self.sysfs / "bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
            (at / "driver").symlink_to(self.sysfs / "bus/pci/drivers" / driver)
        if group is not None:
            folder = self.sysfs / f"kernel/iommu_groups/{group}"
            folder.mkdir(parents=True, exist_ok=True)
            (at / "iommu_group").symlink_to(folder)
        if code.startswith("0x03"):
            (at / "boot_vga").write_text(f"{int(boot_vga)}\n")
        if reset:
            (at / "reset").touch()
        if physfn:
            (at / "physfn").symlink_to(at.parent / physfn)
        (self.sysfs / "bus/pci/devices" / bdf).symlink_to(at)
        return at

    def child(self, klass: str, name: str, below: Path) -> Path:
        """A disk, interface or input device `name` of that class in the folder `below`."""
        at = below / name
        at.mkdir(parents=True)
        folder = self.sysfs / "class" / klass
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(at)
        return at

    def disk(self, name: str, below: Path, partitions: int = 0) -> Path:
        disk = self.child("block", name, below)
        for number in range(1, partitions + 1):
            part = self.child("block", f"{name}{number}", disk)
            (part / "partition").write_text(f"{number}\n")
        return disk

    def mapped(self, name: str, number: int, slaves: tuple[str, ...]) -> None:
        """A device of the device mapper on top of others."""
        at = self.child("block", f"dm-{number}", self.sysfs / "devices/virtual/block")
        (at / "dm").mkdir()
        (at / "dm/name").write_text(name + "\n")
        (at / "slaves").mkdir()
        for slave in slaves:
            (at / "slaves" / slave).symlink_to(self.sysfs / "class/block" / slave)

    def net(self, name: str, below: Path, *, up: bool) -> None:
        at = self.child("net", name, below / "net")
        (at / "operstate").write_text("up\n" if up else "down\n")

    def mount(self, source: str, point: str, kind: str = "ext4") -> None:
        with self._mounts.open("a") as file:
            file.write(f"{source} {point} {kind} rw 0 0\n")


def resources(bars: Iterable[Bar], rom: int = 0) -> str:
    """The file `resource` of a function: 13 lines, as the kernel writes it for an endpoint."""
    lines = ["0x0000000000000000 " * 2 + "0x0000000000000000"] * 13
    for bar in bars:
        flags = 0x40101 if bar.ports else 0x40200
        flags |= 0x2008 * bar.prefetchable | 0x100004 * bar.wide
        last = bar.address + bar.size - 1
        lines[bar.index] = f"{bar.address:#018x} {last:#018x} {flags:#018x}"
    if rom:
        lines[6] = f"{0xA3000000:#018x} {0xA3000000 + rom - 1:#018x} {0x46200:#018x}"
    return "\n".join(lines) + "\n"


def workstation(folder: Path, *, groups: bool = True) -> Machine:
    """Two graphics cards, the second with its audio; one NIC in use and one not; SATA and USB."""

    def group(number: int) -> int | None:
        return number if groups else None

    m = Machine(folder)
    m.pci("0000:00:00.0", "0x060000", group=group(0), reset=False)
    m.pci("0000:00:01.0", "0x060400", group=group(1), driver="pcieport")
    m.pci("0000:00:02.0", "0x030000", group=group(2), driver="i915", boot_vga=True)
    usb = m.pci("0000:00:14.0", "0x0c0330", group=group(3), driver="xhci_hcd")
    m.child("input", "input3", usb / "usb1/1-1")
    sata = m.pci("0000:00:17.0", "0x010601", group=group(4), driver="ahci")
    m.disk("sda", sata / "ata1/block", partitions=3)
    m.pci("0000:00:1f.3", "0x040300", group=group(5), driver="snd_hda_intel", reset=False)
    m.pci("0000:00:1f.4", "0x0c0500", group=group(5), driver="i801_smbus", reset=False)
    lan = m.pci("0000:00:19.0", "0x020000", group=group(6), driver="e1000e")
    m.net("eno1", lan, up=True)
    m.pci("0000:01:00.0", "0x030000", group=group(1), above="0000:00:01.0", driver="nouveau")
    m.pci("0000:01:00.1", "0x040300", group=group(1), above="0000:00:01.0", reset=False)
    spare = m.pci("0000:03:00.0", "0x020000", group=group(8), driver="igb")
    m.net("enp3s0", spare, up=False)
    m.mapped("vg-root", 0, ("sda3",))
    m.mount("/dev/mapper/vg-root", "/")
    m.mount("/dev/sda2", "/boot")
    return m


# An example, not a host that was looked at: names are those of pci.ids, the rest is made up as
# such a board would have it.
NINE_IDS = """\
1002  Advanced Micro Devices, Inc. [AMD/ATI]
\t4391  SB7x0/SB8x0/SB9x0 SATA Controller [AHCI mode]
\t4396  SB7x0/SB8x0/SB9x0 USB EHCI Controller
\t4397  SB7x0/SB8x0/SB9x0 USB OHCI0 Controller
\t4399  SB7x0/SB8x0/SB9x0 USB OHCI2 Controller
\t5a14  RD9x0/RX980 Host Bridge
\t5a16  RD890/RD9x0/RX980 PCI to PCI bridge (PCI Express GFX port 0)
\t5a1c  RD890/RD9x0/RX980 PCI to PCI bridge (PCI Express GPP Port 4)
\t68f9  Cedar [Radeon HD 5000/6000/7350/8350 Series]
1033  NEC Corporation
\t0194  uPD720200 USB 3.0 Host Controller
10de  NVIDIA Corporation
\t0fb9  GP107GL High Definition Audio Controller
\t1c82  GP107 [GeForce GTX 1050 Ti]
10ec  Realtek Semiconductor Co., Ltd.
\t8168  RTL8111/8168/8411 PCI Express Gigabit Ethernet Controller
C 01  Mass storage controller
\t06  SATA controller
C 02  Network controller
\t00  Ethernet controller
C 03  Display controller
\t00  VGA compatible controller
C 04  Multimedia controller
\t03  Audio device
C 06  Bridge
\t00  Host bridge
\t04  PCI bridge
C 0c  Serial bus controller
\t03  USB controller
"""
NINE = (
    *("01:00.0", "01:00.1", "00:12.0", "00:12.2", "00:13.0", "00:13.2"),
    *("00:16.0", "00:16.2", "05:00.0"),
)


def nine(folder: Path) -> Machine:
    """A host whose guest gets nine functions (NINE): a graphics card and its sound, three pairs of
    USB controllers, and one for USB 3; in `folder` lies its pci.ids, too."""
    (folder / "pci.ids").write_text(NINE_IDS)
    m = Machine(folder)
    amd, group = "0x1002", iter(range(99))

    def add(
        bdf: str, code: str, ids: tuple[str, str], bars: Iterable[Bar] = (), **more: Any
    ) -> Path:
        rom = 512 << 10 if bdf == "01:00.0" else 0
        at = m.pci(f"0000:{bdf}", code, ids=ids, **more)
        (at / "resource").write_text(resources(bars, rom))
        return at

    add("00:00.0", "0x060000", (amd, "0x5a14"), group=next(group), reset=False)
    for slot, device in (("02", "0x5a16"), ("03", "0x5a1c"), ("04", "0x5a1c"), ("05", "0x5a1c")):
        add(f"00:{slot}.0", "0x060400", (amd, device), group=next(group), driver="pcieport")
    sata = add("00:11.0", "0x010601", (amd, "0x4391"), group=next(group), driver="ahci")
    m.disk("sda", sata / "ata1/block", partitions=1)
    m.mount("/dev/sda1", "/")
    for n, slot in enumerate(("12", "13", "16")):
        one, base = next(group), 0xFE8F0000 + (n << 13)
        kept = {"group": one, "reset": False}
        ohci, ehci = Bar(0, 4096, base), Bar(0, 256, base + 4096)
        add(f"00:{slot}.0", "0x0c0310", (amd, "0x4397"), [ohci], driver="ohci-pci", **kept)
        add(f"00:{slot}.2", "0x0c0320", (amd, "0x4396"), [ehci], driver="ehci-pci", **kept)
    usb = add("00:14.5", "0x0c0310", (amd, "0x4399"), group=next(group), driver="ohci-pci")
    m.child("input", "input2", usb / "usb4/4-1")
    port, card = "0000:00:02.0", next(group)
    add(
        "01:00.0",
        "0x030000",
        ("0x10de", "0x1c82"),
        [
            Bar(0, 16 << 20, 0xFD000000),
            Bar(1, 256 << 20, 0xC0000000, wide=True, prefetchable=True),
            Bar(3, 32 << 20, 0xD0000000, wide=True, prefetchable=True),
            Bar(5, 128, 0xE000, ports=True),
        ],
        group=card,
        above=port,
        driver="nouveau",
        reset=False,
    )
    sound = [Bar(0, 16 << 10, 0xFE080000)]
    add("01:00.1", "0x040300", ("0x10de", "0x0fb9"), sound, group=card, above=port, reset=False)
    xhci = [Bar(0, 8192, 0xFE700000, wide=True)]
    at = add(
        *("05:00.0", "0x0c0330", ("0x1033", "0x0194"), xhci),
        group=next(group),
        above="0000:00:03.0",
        driver="xhci_hcd",
    )
    (at / "reset_method").write_text("bus\n")
    lan = add(
        *("06:00.0", "0x020000", ("0x10ec", "0x8168")),
        group=next(group),
        above="0000:00:04.0",
        driver="r8169",
    )
    m.net("enp6s0", lan, up=True)
    add(
        *("07:00.0", "0x030000", (amd, "0x68f9")),
        group=next(group),
        above="0000:00:05.0",
        driver="radeon",
        boot_vga=True,
    )
    return m
