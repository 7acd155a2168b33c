# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that are not there: trees laid out like /sys and /proc/mounts."""

from __future__ import annotations

from pathlib import Path


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
