# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines of many layouts: what is dangerous to hide, and what is offered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.host import devices, dom0, pci
from builders.host.devices import Verdict, candidates, look
from builders.host.problems import Problems
from builders.show import hosts
from tests.unit.machines import Machine

VIRTUAL = "devices/virtual"
KEYS = "1000000000007 ff980000000007ff febeffdff3cfffff fffffffffffffffe"
MOUSE = "1f0000 0 0 0 0"
UUID = "6f2c1d7e-0000-4000-8000-000000000001"


class Layout(Machine):
    """A board with graphics, SATA with / and a network card; each can be left out."""

    def __init__(self, folder: Path, leave_out: str = "") -> None:
        super().__init__(folder)
        self.folder = folder
        self.pci("0000:00:00.0", "0x060000", group=0)
        if "screen" not in leave_out:
            self.pci("0000:00:02.0", "0x030000", group=1, driver="i915", boot_vga=True)
        if "disk" not in leave_out:
            self.sata("0000:00:17.0", "sda", 104)
            self.mount("/dev/sda1", "/")
        if "net" not in leave_out:
            self.card("0000:00:1f.6", "eno1", 109)

    def sata(self, bdf: str, name: str, group: int | None) -> None:
        at = self.pci(bdf, "0x010601", group=group, driver="ahci")
        self.disk(name, at / "ata1/host0/block", 2)

    def nvme(self, bdf: str, name: str, group: int | None, above: str = "", root: str = "") -> Path:
        """An NVMe with the partitions `name`1 and 2."""
        at = self.pci(bdf, "0x010802", group=group, above=above, root=root, driver="nvme")
        return self.disk(name, at / "nvme" / name[:5], 2)

    def card(self, bdf: str, name: str, group: int | None, *, up: bool = True) -> Path:
        at = self.pci(bdf, "0x020000", group=group, driver="ixgbe")
        self.net(name, at, up=up)
        return at

    def usb(self, bdf: str, group: int, *inputs: str, above: str = "") -> Path:
        """A USB controller with input devices, a name and its keys each."""
        at = self.pci(bdf, "0x0c0330", group=group, above=above, driver="xhci_hcd")
        for number, keys in enumerate(inputs):
            self.keys(f"input{group}{number}", at / f"usb1/1-{number}/0003:046D", keys)
        return at

    def keys(self, name: str, below: Path, keys: str) -> None:
        at = self.child("input", name, below)
        self.write(at / "capabilities/key", keys)

    def write(self, path: Path, content: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")

    def proc(self, name: str, content: str) -> None:
        self.write(self.folder / "proc" / name, content)

    def stack(self, name: str, *slaves: str) -> None:
        """md, bcache and the like on top of others."""
        at = self.child("block", name, self.sysfs / VIRTUAL / "block")
        (at / "slaves").mkdir()
        for slave in slaves:
            (at / "slaves" / slave).symlink_to(self.sysfs / "class/block" / slave)

    def link(self, name: str, *lowers: str) -> None:
        """A bond, bridge or VLAN of other interfaces."""
        self.net(name, self.sysfs / VIRTUAL, up=True)
        for lower in lowers:
            at = self.sysfs / "class/net"
            (at / name / f"lower_{lower}").symlink_to((at / lower).resolve())

    def udev(self, name: str, number: str, *lines: str) -> None:
        self.write(self.sysfs / "class/block" / name / "dev", number)
        self.write(self.folder / "run/udev/data" / f"b{number}", "\n".join(["I:1", *lines]))

    def route(self, name: str, metric: int = 100) -> None:
        head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        line = f"{name}\t00000000\t0100000A\t0003\t0\t0\t{metric}\t00000000\t0\t0\t0"
        at = self.folder / "proc/net/route"
        self.proc(
            "net/route", (at.read_text().strip() if at.exists() else head.strip()) + "\n" + line
        )


# Each: the layout, what is dangerous but for the board's own, what is offered.
Layouts = Callable[[Path], Layout]
ROWS: list[tuple[Layouts, str, str]] = []


def layout(danger: str, offered: str) -> Callable[[Layouts], Layouts]:
    def keep(make: Layouts) -> Layouts:
        ROWS.append((make, danger, offered))
        return make

    return keep


@layout("", "")
def a_small_board(f: Path) -> Layout:
    return Layout(f)


@layout("00:0e.0 10000:e1:00.0 10000:e2:00.0", "")
def md_mirror_behind_vmd(f: Path) -> Layout:
    m = Layout(f, "disk")
    m.pci("0000:00:0e.0", "0x010400", group=8, driver="vmd")
    for number in (1, 2):
        above = "0000:00:0e.0/pci10000:e0"
        m.nvme(f"10000:e{number}:00.0", f"nvme{number}n1", 8 + number, above, "pci0000:00")
    m.stack("md0", "nvme1n11", "nvme2n11")
    m.mount("/dev/md0", "/")
    return m


@layout("", "00:0e.0")
def a_vmd_with_unused_disks_goes_as_one(f: Path) -> Layout:
    m = Layout(f)
    m.pci("0000:00:0e.0", "0x010400", group=8, driver="vmd")
    m.nvme("10000:e1:00.0", "nvme0n1", 8, "0000:00:0e.0/pci10000:e0", "pci0000:00")
    return m


@layout("03:00.0 03:00.1", "04:00.0")
def one_port_of_a_dual_card_has_the_default_route(f: Path) -> Layout:
    m = Layout(f, "net")
    m.card("0000:03:00.0", "ens1f0", 20)
    m.card("0000:03:00.1", "ens1f1", 21, up=False)
    m.card("0000:04:00.0", "ens2", 22)
    m.route("ens1f0")
    return m


@layout("03:00.0", "03:10.0 | 03:10.2")
def sriov_of_the_card_with_the_route(f: Path) -> Layout:
    m = Layout(f, "net")
    m.card("0000:03:00.0", "ens1", 20)
    for number in (0, 2):
        at = m.pci(f"0000:03:10.{number}", "0x020000", group=30 + number, physfn="0000:03:00.0")
        m.net(f"ens1v{number}", at, up=False)
    m.route("ens1")
    return m


@layout("03:00.0 03:10.0", "")
def the_route_goes_over_a_virtual_function(f: Path) -> Layout:
    m = Layout(f, "net")
    m.card("0000:03:00.0", "ens1", 20)
    at = m.pci("0000:03:10.0", "0x020000", group=30, physfn="0000:03:00.0")
    m.net("ens1v0", at, up=True)
    m.route("ens1v0")
    return m


@layout("03:00.0", "")
def a_virtual_function_is_at_a_guest(f: Path) -> Layout:
    m = Layout(f)
    m.card("0000:03:00.0", "ens1", 20, up=False)
    m.pci("0000:03:10.0", "0x020000", group=30, physfn="0000:03:00.0", driver="pciback")
    return m


@layout("00:14.0 00:1f.4", "01:00.0 01:00.1")
def a_hybrid_laptop(f: Path) -> Layout:
    m = Layout(f)
    m.pci("0000:01:00.0", "0x030200", group=12, driver="nouveau")
    m.pci("0000:01:00.1", "0x040300", group=12)
    m.keys("input3", m.sysfs / "devices/platform/i8042/serio0/input", KEYS)
    m.usb("0000:00:14.0", 5, MOUSE)
    m.pci("0000:00:1f.4", "0x0c0500", group=5)
    return m


@layout("03:00.0", "41:00.0 41:00.1")
def a_server_whose_management_shows_a_screen(f: Path) -> Layout:
    m = Layout(f, "screen")
    m.pci("0000:03:00.0", "0x030000", ids=("0x1a03", "0x2000"), driver="ast", boot_vga=True)
    m.pci("0000:41:00.0", "0x030000", group=41)
    m.pci("0000:41:00.1", "0x040300", group=41)
    return m


@layout("", "01:00.0")
def the_second_of_two_graphics_cards(f: Path) -> Layout:
    m = Layout(f)
    m.pci("0000:01:00.0", "0x030000", group=12)
    m.write(
        m.child("drm", "card0-HDMI-A-1", m.sysfs / "devices/pci0000:00/0000:00:02.0/drm/card0")
        / "status",
        "connected",
    )
    m.write(
        m.child("drm", "card1-DP-1", m.sysfs / "devices/pci0000:00/0000:01:00.0/drm/card1")
        / "status",
        "disconnected",
    )
    return m


@layout("", "05:00.0 | 06:00.0")
def a_headless_server(f: Path) -> Layout:
    m = Layout(f, "screen")
    m.pci("0000:05:00.0", "0x120000", group=5)
    m.card("0000:06:00.0", "ens6", 6, up=False)
    return m


@layout("00:0d.2 3a:00.0", "")
def a_thunderbolt_dock_with_the_only_link(f: Path) -> Layout:
    m = Layout(f, "net")
    host = m.pci("0000:00:0d.2", "0x0c0340", group=7, driver="thunderbolt")
    m.child("x", "0-1", host / "domain0/0-0")
    (m.sysfs / "bus/thunderbolt/devices").mkdir(parents=True)
    (m.sysfs / "bus/thunderbolt/devices/0-1").symlink_to(host / "domain0/0-0/0-1")
    dock = m.usb("0000:3a:00.0", 13, above="0000:00:07.0/0000:38:00.0")
    m.net("enx00", dock / "usb4/4-1/4-1:1.0", up=True)
    return m


@layout("02:00.0 03:00.0", "04:00.0")
def nvme_with_two_paths(f: Path) -> Layout:
    m = Layout(f, "disk")
    system = m.sysfs / VIRTUAL / "nvme-subsystem/nvme-subsys0"
    m.disk("nvme0n1", system, 2)
    for number in (0, 1):
        at = m.pci(f"0000:0{2 + number}:00.0", "0x010802", group=2 + number, driver="nvme")
        (at / f"nvme/nvme{number}").mkdir(parents=True)
        (system / f"nvme{number}").symlink_to(at / f"nvme/nvme{number}")
    m.nvme("0000:04:00.0", "nvme4n1", 14)
    m.mount("/dev/nvme0n12", "/")
    return m


@layout("00:14.0", "05:00.0")
def root_on_usb_and_a_free_controller(f: Path) -> Layout:
    m = Layout(f, "disk")
    m.disk("sdb", m.usb("0000:00:14.0", 2) / "usb1/1-2/1-2:1.0/host6/block", 1)
    m.usb("0000:05:00.0", 5)
    m.mount("/dev/sdb1", "/")
    return m


@layout("00:14.0", "05:00.0")
def the_keyboard_on_one_usb_controller_the_mouse_on_the_other(f: Path) -> Layout:
    m = Layout(f)
    m.usb("0000:00:14.0", 2, KEYS)
    m.usb("0000:05:00.0", 5, MOUSE)
    return m


@layout("", "00:14.0")
def usb_where_the_keyboard_is_ps2(f: Path) -> Layout:
    m = Layout(f)
    m.keys("input3", m.sysfs / "devices/platform/i8042/serio0/input", KEYS)
    m.usb("0000:00:14.0", 2, KEYS)
    return m


@layout("06:00.0 06:01.0", "08:00.0")
def behind_a_bridge_to_conventional_pci_without_groups(f: Path) -> Layout:
    m = Layout(f, "net")
    m.pci("0000:00:1c.0", "0x060400")
    m.pci("0000:05:00.0", "0x060400", above="0000:00:1c.0")
    card = m.pci("0000:06:00.0", "0x020000", above="0000:00:1c.0/0000:05:00.0")
    m.net("ens6", card, up=True)
    m.pci("0000:06:01.0", "0x040100", above="0000:00:1c.0/0000:05:00.0")
    m.pci("0000:08:00.0", "0x0c0330", above="0000:00:1c.4")
    m.write(m.sysfs / "hypervisor/type", "xen")
    return m


@layout("", "05:00.0 | 06:00.0 | 07:00.0")
def a_switch_without_groups_parts_its_ports(f: Path) -> Layout:
    m = Layout(f)
    m.pci("0000:03:00.0", "0x060400")
    for number in (0, 1, 2):
        m.pci(f"0000:04:0{number}.0", "0x060400", above="0000:03:00.0")
        above = f"0000:03:00.0/0000:04:0{number}.0"
        m.pci(f"0000:0{5 + number}:00.0", "0x0c0330", above=above)
    return m


@layout("02:00.0", "03:00.0")
def btrfs_of_two_disks(f: Path) -> Layout:
    m = Layout(f)
    m.nvme("0000:02:00.0", "nvme0n1", 2)
    m.nvme("0000:03:00.0", "nvme1n1", 3)
    (m.folder / "proc/mounts").write_text("/dev/sda1 / btrfs rw,subvol=/@ 0 0\n")
    folder = m.sysfs / f"fs/btrfs/{UUID}/devices"
    folder.mkdir(parents=True)
    for name in ("sda1", "nvme0n11"):
        (folder / name).symlink_to((m.sysfs / "class/block" / name).resolve())
    return m


@layout("02:00.0 03:00.0", "04:00.0")
def lvm_over_two_disks(f: Path) -> Layout:
    m = Layout(f, "disk")
    for number in (2, 3, 4):
        m.nvme(f"0000:0{number}:00.0", f"nvme{number}n1", number)
    m.mapped("vg-root", 0, ("nvme2n11", "nvme3n11"))
    m.mount("/dev/vg/root", "/")
    return m


@layout("02:00.0", "")
def a_volume_of_a_guest_is_not_mounted(f: Path) -> Layout:
    m = Layout(f)
    m.nvme("0000:02:00.0", "nvme0n1", 2)
    m.mapped("vg-guest", 0, ("nvme0n11",))
    return m


@layout("02:00.0 03:00.0", "")
def md_mirror_seen_from_its_members_only(f: Path) -> Layout:
    m = Layout(f, "disk")
    m.stack("md127")
    for number in (2, 3):
        m.nvme(f"0000:0{number}:00.0", f"nvme{number}n1", number)
        holders = m.sysfs / f"class/block/nvme{number}n11/holders"
        holders.mkdir()
        (holders / "md127").symlink_to(m.sysfs / "class/block/md127")
    m.mount("/dev/md127", "/")
    return m


@layout("02:00.0", "03:00.0")
def encrypted_swap(f: Path) -> Layout:
    m = Layout(f)
    m.nvme("0000:02:00.0", "nvme0n1", 2)
    m.nvme("0000:03:00.0", "nvme1n1", 3)
    m.mapped("cryptswap", 0, ("nvme0n12",))
    m.proc("swaps", "Filename Type Size Used Priority\n/dev/dm-0 partition 1000 0 -2")
    return m


@layout("02:00.0", "03:00.0")
def a_swap_file_on_another_disk(f: Path) -> Layout:
    m = Layout(f)
    m.nvme("0000:02:00.0", "nvme0n1", 2)
    m.nvme("0000:03:00.0", "nvme1n1", 3)
    m.mount("/dev/nvme0n11", "/srv")
    m.proc("swaps", "Filename Type Size Used Priority\n/srv/swap file 1000 0 -2")
    return m


@layout("02:00.0 03:00.0", "")
def multipath_over_two_adapters(f: Path) -> Layout:
    m = Layout(f, "disk")
    for number, name in ((2, "sdb"), (3, "sdc")):
        at = m.pci(f"0000:0{number}:00.0", "0x0c0400", group=number, driver="qla2xxx")
        m.disk(name, at / f"host{number}/rport-{number}:0-0/block", 1)
    m.mapped("mpatha", 0, ("sdb", "sdc"))
    m.mapped("mpatha-part1", 1, ("dm-0",))
    m.mount("/dev/mapper/mpatha-part1", "/")
    return m


@layout("02:00.0 03:00.0", "04:00.0")
def bcache_of_a_disk_and_its_cache(f: Path) -> Layout:
    m = Layout(f, "disk")
    for number in (2, 3, 4):
        m.nvme(f"0000:0{number}:00.0", f"nvme{number}n1", number)
    m.stack("bcache0", "nvme2n11", "nvme3n11")
    m.mount("/dev/bcache0", "/")
    return m


@layout("02:00.0 03:00.0", "")
def zfs_whose_members_cannot_be_seen(f: Path) -> Layout:
    m = Layout(f)
    m.nvme("0000:02:00.0", "nvme0n1", 2)
    m.nvme("0000:03:00.0", "nvme1n1", 3)
    m.mount("tank/vm", "/srv", "zfs")
    return m


@layout("02:00.0", "03:00.0")
def zfs_whose_members_udev_knows(f: Path) -> Layout:
    m = Layout(f)
    m.nvme("0000:02:00.0", "nvme0n1", 2)
    m.nvme("0000:03:00.0", "nvme1n1", 3)
    names = ["sda", "sda1", "sda2", *(f"nvme{d}n1{p}" for d in (0, 1) for p in ("", 1, 2))]
    for number, name in enumerate(names):
        zfs = ("E:ID_FS_TYPE=zfs_member", "E:ID_FS_LABEL=tank") if name == "nvme0n11" else ()
        m.udev(name, f"8:{number}", "E:DEVTYPE=disk", *zfs)
    m.mount("tank/vm", "/srv", "zfs")
    return m


@layout("02:00.0 03:00.0", "04:00.0")
def a_bond_of_two_cards_below_a_vlan_and_a_bridge(f: Path) -> Layout:
    m = Layout(f, "net")
    m.card("0000:02:00.0", "ens2", 2)
    m.card("0000:03:00.0", "ens3", 3)
    m.card("0000:04:00.0", "ens4", 4)
    m.link("bond0", "ens2", "ens3")
    m.link("bond0.100", "bond0")
    m.link("xenbr0", "bond0.100")
    m.route("xenbr0")
    return m


@layout("02:00.0 03:00.0", "04:00.0")
def a_bond_where_no_route_is_known(f: Path) -> Layout:
    m = Layout(f, "net")
    m.card("0000:02:00.0", "ens2", 2)
    m.card("0000:03:00.0", "ens3", 3)
    m.card("0000:04:00.0", "ens4", 4, up=False)
    m.link("bond0", "ens2", "ens3")
    return m


@layout("05:00.0", "06:00.0")
def the_console_on_a_serial_card(f: Path) -> Layout:
    m = Layout(f)
    card = m.pci("0000:05:00.0", "0x070002", group=5, driver="serial")
    m.child("tty", "ttyS4", card / "tty")
    m.proc("cmdline", "root=/dev/sda1 console=tty0 console=ttyS4,115200n8")
    m.pci("0000:06:00.0", "0x0c0330", group=6)
    return m


@layout("00:03.0 00:04.0", "")
def a_virtual_machine(f: Path) -> Layout:
    m = Layout(f, "screen disk net")
    disk = m.pci("0000:00:03.0", "0x010000", driver="virtio-pci")
    m.disk("vda", disk / "virtio1/block", 1)
    m.net("ens4", m.pci("0000:00:04.0", "0x020000", driver="virtio-pci") / "virtio2", up=True)
    m.pci("0000:00:05.0", "0xffff00", driver="virtio-pci")
    m.mount("/dev/vda1", "/")
    return m


@layout("", "0001:02:00.0 | 05:00.0")
def a_second_segment_and_an_unused_data_disk(f: Path) -> Layout:
    m = Layout(f)
    m.sata("0000:05:00.0", "sdb", 5)
    m.nvme("0001:02:00.0", "nvme0n1", 12)
    return m


@layout("03:00.0", "02:00.0")
def a_laptop_whose_only_link_is_wireless(f: Path) -> Layout:
    m = Layout(f, "net")
    m.card("0000:02:00.0", "enp2s0", 2, up=False)
    m.net("wlp3s0", m.pci("0000:03:00.0", "0x028000", group=3, driver="iwlwifi"), up=True)
    return m


@layout("02:00.0 03:00.0", "04:00.0")
def root_on_iscsi_without_a_route(f: Path) -> Layout:
    m = Layout(f, "disk net")
    m.card("0000:02:00.0", "ens2", 2)
    m.card("0000:03:00.0", "ens3", 3)
    m.card("0000:04:00.0", "ens4", 4, up=False)
    m.disk("sdb", m.sysfs / "devices/platform/host7/session1/target7:0:0/7:0:0:0/block", 1)
    m.mount("/dev/sdb1", "/")
    return m


@layout("02:00.0 03:00.0", "04:00.0")
def root_on_nfs_beside_the_default_route(f: Path) -> Layout:
    m = Layout(f, "disk net")
    m.card("0000:02:00.0", "ens2", 2)
    m.card("0000:03:00.0", "ens3", 3)
    m.card("0000:04:00.0", "ens4", 4)
    m.route("ens2")
    text = (m.folder / "proc/net/route").read_text().strip()
    m.proc("net/route", text + "\nens3\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0")
    m.mount("192.168.2.9:/root", "/", "nfs4")
    return m


@layout("02:00.0", "03:00.0")
def a_boot_partition_that_fstab_mounts_on_demand(f: Path) -> Layout:
    m = Layout(f)
    m.nvme("0000:02:00.0", "nvme0n1", 2)
    m.nvme("0000:03:00.0", "nvme1n1", 3)
    m.udev("nvme0n11", "259:1", "E:ID_FS_UUID=ABCD-0123")
    m.write(f / "etc/fstab", "UUID=ABCD-0123 /boot/efi vfat noauto 0 1")
    return m


@layout("02:00.0", "03:00.0")
def a_loop_device_over_a_file_of_another_disk(f: Path) -> Layout:
    m = Layout(f, "disk")
    m.nvme("0000:02:00.0", "nvme0n1", 2)
    m.nvme("0000:03:00.0", "nvme1n1", 3)
    m.mount("/dev/nvme0n11", "/run/medium")
    loop = m.child("block", "loop0", m.sysfs / VIRTUAL / "block")
    m.write(loop / "loop/backing_file", "/run/medium/root.squashfs")
    m.mount("/dev/loop0", "/", "squashfs")
    return m


@layout("02:00.0 03:00.0", "")
def a_root_that_no_block_device_is_known_of(f: Path) -> Layout:
    m = Layout(f, "disk")
    m.nvme("0000:02:00.0", "nvme0n1", 2)
    m.nvme("0000:03:00.0", "nvme1n1", 3)
    m.mount("/dev/root", "/")
    return m


@layout("02:00.0", "03:00.0")
def a_root_known_by_its_number(f: Path) -> Layout:
    m = a_root_that_no_block_device_is_known_of(f)
    m.udev("nvme0n11", "259:1")
    m.proc("self/mountinfo", "22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw")
    return m


@pytest.mark.parametrize(("make", "danger", "offered"), ROWS, ids=[r[0].__name__ for r in ROWS])
def test_a_layout(tmp_path: Path, make: Layouts, danger: str, offered: str) -> None:
    machine = look(make(tmp_path).sysfs, ids=())
    board = {"00:02.0", "00:17.0", "00:1f.6"}
    dangerous = {d.bdf.short for d in machine.devices if d.verdict == Verdict.DANGER}
    offers = {" ".join(d.bdf.short for d in one) for one in candidates(machine)}
    assert offers == set(filter(None, offered.split(" | ")))
    assert dangerous - board == set(danger.split()) - board
    for one in candidates(machine):  # dom0-config takes what is offered
        dom0.settings([str(d.bdf) for d in one], "1024M")


def test_there_are_enough_of_them() -> None:
    assert len(ROWS) >= 25


def test_many_devices_are_written_short_and_too_many_refused() -> None:
    def addresses(count: int) -> list[str]:
        return [f"82:{n >> 3 & 31:02x}.{n & 7}" for n in range(count)]

    chosen = dom0.settings(addresses(80), "4096M")
    assert len(chosen.linux_options) < 900
    assert chosen.linux_options.count("(82:") == 80
    assert "(0000:82:00.0)" in dom0.settings(addresses(60), "4096M").linux_options
    with pytest.raises(BuildError, match="120 devices are 1080 characters"):
        dom0.settings(addresses(120), "4096M")


def test_an_address_without_its_function() -> None:
    problems = Problems()
    pci.read_all(["65:00"], "--hide", problems)
    with pytest.raises(BuildError, match=r"65:00 lacks its function: 65:00\.0"):
        problems.end()


def test_what_is_odd_in_a_tree_ends_nothing(tmp_path: Path) -> None:
    m = Layout(tmp_path)
    net = m.sysfs / "class/net"
    (net / "round").symlink_to(net / "round")
    (net / "gone").symlink_to(net / "nowhere")
    (m.sysfs / "class/block/dm-0").symlink_to(tmp_path)
    name = b"eth\xff\x1b[31m".decode("utf-8", "surrogateescape")
    m.net(name, m.sysfs / "devices/pci0000:00/0000:00:1f.6", up=True)
    (m.sysfs / "devices/pci0000:00/0000:00:17.0/vendor").unlink()
    (m.sysfs / "devices/pci0000:00/0000:00:17.0/class").write_bytes(b"\xff\xfe")
    machine = look(m.sysfs, ids=())
    for text in (devices.table(machine, 80), hosts.devices(machine).said("json")):
        text.encode()
        assert "\x1b" not in text
