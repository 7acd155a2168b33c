# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.errors import BuildError
from builders.host import devices, pci
from builders.host.devices import Device, Verdict, candidates, judge, look
from builders.host.pci import Bdf
from builders.show import hosts
from builders.verbs import devices as verb
from tests.unit.machines import Machine, workstation

CARD = [Bdf(0, 1, 0, 0), Bdf(0, 1, 0, 1)]


def at(machine: devices.Machine, text: str) -> Device:
    bdf = Bdf.parse(text)
    assert bdf
    return machine.of(bdf)


def offered(machine: devices.Machine) -> list[list[str]]:
    return [[d.bdf.short for d in one] for one in candidates(machine)]


def test_a_card_goes_with_its_audio_and_dom0_keeps_what_it_needs(tmp_path: Path) -> None:
    machine = look(workstation(tmp_path).sysfs, ids=())
    assert tuple(CARD) in machine.together
    assert offered(machine) == [["01:00.0", "01:00.1"], ["00:02.0"], ["03:00.0"]]
    assert at(machine, "00:14.0").verdict == Verdict.DANGER  # the only keyboard hangs on it
    disk = at(machine, "00:17.0")
    assert (disk.verdict, disk.mounts) == (Verdict.DANGER, ("/", "/boot"))
    lan = at(machine, "00:19.0")
    assert lan.verdict == Verdict.DANGER
    assert "the only network card with a link (eno1)" in lan.why
    assert at(machine, "03:00.0").verdict == Verdict.FINE
    assert "the console is on it" in at(machine, "00:02.0").why[0]
    assert "the only keyboard" in at(machine, "00:14.0").why[0]
    assert at(machine, "00:00.0").verdict == Verdict.NEVER
    assert machine.notes == ("no names: there is no pci.ids here (package pci.ids)",)


def test_what_shares_a_group_with_the_chipset_is_not_offered(tmp_path: Path) -> None:
    machine = look(workstation(tmp_path).sysfs, ids=())
    assert (Bdf(0, 0, 0x1F, 3), Bdf(0, 0, 0x1F, 4)) in machine.together
    assert not any("00:1f.3" in one for one in offered(machine))


def test_without_groups_the_slot_decides_and_it_is_said(tmp_path: Path) -> None:
    machine = look(workstation(tmp_path, groups=False).sysfs, ids=())
    assert tuple(CARD) in machine.together
    assert any("no IOMMU groups" in note and "VT-d" in note for note in machine.notes)
    (tmp_path / "sys/hypervisor").mkdir()
    (tmp_path / "sys/hypervisor/type").write_text("xen\n")
    assert any("boot this kernel without Xen" in n for n in look(tmp_path / "sys", ids=()).notes)


def test_two_slots_in_one_group_are_one_set_through_a_third(tmp_path: Path) -> None:
    m = Machine(tmp_path)
    m.pci("0000:04:00.0", "0x0c0330", group=7)
    m.pci("0000:04:00.1", "0x0c0330", group=9)
    m.pci("0000:05:00.0", "0x020000", group=9)
    assert look(m.sysfs, ids=()).together == ((Bdf(0, 4, 0, 0), Bdf(0, 4, 0, 1), Bdf(0, 5, 0, 0)),)


def test_virtual_functions_go_one_by_one(tmp_path: Path) -> None:
    m = Machine(tmp_path)
    m.pci("0000:05:00.0", "0x020000", group=1)
    m.pci("0000:05:00.1", "0x020000", group=2, physfn="0000:05:00.0")
    m.pci("0000:05:00.2", "0x020000", group=3, physfn="0000:05:00.0")
    assert all(len(one) == 1 for one in look(m.sysfs, ids=()).together)


def test_only_card_only_screen(tmp_path: Path) -> None:
    m = Machine(tmp_path)
    m.pci("0000:00:02.0", "0x030000", boot_vga=True)
    m.net("eth0", m.pci("0000:00:03.0", "0x020000"), up=False)
    machine = look(m.sysfs, ids=())
    assert "the only graphics card" in at(machine, "00:02.0").why[0]
    assert at(machine, "00:03.0").why == ("the only network card (eth0)",)
    assert candidates(machine) == []
    assert "nothing here that a guest" in devices.table(machine)


def test_a_card_that_is_hidden_already_does_not_serve_dom0(tmp_path: Path) -> None:
    m = Machine(tmp_path)
    m.pci("0000:00:02.0", "0x030000", boot_vga=True)
    m.pci("0000:01:00.0", "0x030000", driver="pciback")
    machine = look(m.sysfs, ids=())
    assert at(machine, "00:02.0").verdict == Verdict.DANGER
    assert "hidden" in devices.table(machine)
    assert offered(machine) == []


def test_disks_behind_raid_nvme_paths_and_usb(tmp_path: Path) -> None:
    m = Machine(tmp_path)
    sata = m.pci("0000:00:17.0", "0x010601")
    m.disk("sda", sata / "ata1", partitions=1)
    other = m.pci("0000:02:00.0", "0x010601")
    m.disk("sdb", other / "ata2", partitions=1)
    md = m.disk("md0", m.sysfs / "devices/virtual/block", partitions=1)
    (md / "slaves").mkdir()
    for name in ("sda1", "sdb1"):
        (md / "slaves" / name).symlink_to(m.sysfs / "class/block" / name)
    m.mount("/dev/md01", "/")
    # NVMe with multipath: the namespace hangs on a subsystem that links its controllers.
    nvme = m.pci("0000:03:00.0", "0x010802")
    (nvme / "nvme/nvme0").mkdir(parents=True)
    subsystem = m.sysfs / "devices/virtual/nvme-subsystem/nvme-subsys0"
    m.disk("nvme0n1", subsystem, partitions=1)
    (subsystem / "nvme0").symlink_to(nvme / "nvme/nvme0")
    m.mount("/dev/nvme0n11", "/srv/a\\040b")
    usb = m.pci("0000:00:14.0", "0x0c0330")
    m.disk("sdc", usb / "usb1/1-2")
    machine = look(m.sysfs, ids=())
    assert at(machine, "00:17.0").mounts == ("/",)
    assert at(machine, "02:00.0").mounts == ("/",)
    assert at(machine, "03:00.0").mounts == ("/srv/a b",)
    assert at(machine, "00:14.0").verdict == Verdict.CAUTION
    assert not any("controller of /" in note for note in machine.notes)


@pytest.mark.parametrize("source", ["rpool/ROOT", "server:/export", "/dev/root"])
def test_an_unknown_root_disk_is_said(tmp_path: Path, source: str) -> None:
    m = Machine(tmp_path)
    m.pci("0000:00:17.0", "0x010601")
    m.mount(source, "/", "zfs")
    assert any(f"the controller of / ({source})" in note for note in look(m.sysfs, ids=()).notes)


def test_names_and_json(tmp_path: Path) -> None:
    ids = tmp_path / "pci.ids"
    ids.write_text(
        "# a comment\n10de  NVIDIA Corporation\n\t1c82  GP107\n\t\t1043 85d6  a board\n"
        "ffff  Illegal\nC 03  Display controller\n\t00  VGA compatible controller\n\t\t00  VGA\n"
    )
    machine = look(workstation(tmp_path).sysfs, ids=(tmp_path / "none", ids))
    text = devices.table(machine, 120)
    assert "VGA compatible controller: NVIDIA GP107" in text
    assert max(map(len, text.splitlines()[:12])) <= 120
    told = json.loads(hosts.devices(machine).said("json"))
    assert (told["schema"], told["kind"]) == (1, "devices")
    card = next(d for d in told["devices"] if d["address"] == "0000:01:00.0")
    assert card["class_name"] == "VGA compatible controller"
    assert card["name"] == "NVIDIA Corporation GP107"
    assert card["iommu_group"] == 1
    assert told["suggested"][0] == (
        "./inv dom0-config --hide 01:00.0 --hide 01:00.1 --dom0-mem 4096M"
    )


@pytest.mark.parametrize(("mib", "share"), [(2048, 1024), (16000, 3840), (131072, 8192)])
def test_the_suggested_memory_follows_the_machine(tmp_path: Path, mib: int, share: int) -> None:
    m = workstation(tmp_path)
    (tmp_path / "proc/meminfo").write_text(f"MemTotal:  {mib * 1024} kB\n")
    machine = look(m.sysfs, ids=())
    assert machine.memory == mib
    assert f"--dom0-mem {share}M" in devices.command(candidates(machine)[0], machine.memory)


def test_a_folder_that_is_no_sysfs(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no sysfs there"):
        verb.run(verb.Options(sysfs=str(tmp_path)))
    (tmp_path / "bus").mkdir()
    assert "no PCI devices" in verb.run(verb.Options(sysfs=str(tmp_path))).said("table")


@pytest.mark.slow
@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", fullmatch=True),
            st.binary(max_size=12),
            st.binary(max_size=200),
        ),
        max_size=5,
        unique_by=lambda row: row[0],
    ),
    st.binary(max_size=300),
)
def test_no_attribute_breaks_it(rows: list[tuple[str, bytes, bytes]], mounts: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sysfs = Path(folder) / "sys"
        (sysfs / "bus/pci/devices").mkdir(parents=True)
        (Path(folder) / "proc").mkdir()
        (Path(folder) / "proc/mounts").write_bytes(mounts)
        (Path(folder) / "pci.ids").write_bytes(mounts)
        for name, code, rest in rows:
            at = sysfs / "bus/pci/devices" / name
            at.mkdir()
            (at / "class").write_bytes(code)
            (at / "vendor").write_bytes(rest)
            (at / "driver").write_bytes(rest)
        machine = look(sysfs, ids=(Path(folder) / "pci.ids",))
        assert len(machine.devices) == len(rows)
        json.loads(hosts.devices(machine).said("json"))
        assert devices.table(machine, 80)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 2), st.integers(0, 3), st.integers(0, 3) | st.none()
        ),
        max_size=12,
        unique_by=lambda row: row[:3],
    )
)
def test_sets_part_the_endpoints(rows: list[tuple[int, int, int, int | None]]) -> None:
    found = tuple(
        Device(Bdf(0, bus, slot, function), 0x020000, 1, 1, group=group)
        for bus, slot, function, group in rows
    )
    together = judge(devices.Machine(found)).together
    members = [bdf for one in together for bdf in one]
    assert sorted(members) == sorted(device.bdf for device in found)
    where = {bdf: n for n, one in enumerate(together) for bdf in one}
    for one in found:
        for other in found:
            if one.group is not None and one.group == other.group:
                assert where[one.bdf] == where[other.bdf]


@pytest.mark.parametrize(
    ("text", "form"),
    [("02:00.1", "0000:02:00.1"), ("0001:af:1F.7", "0001:af:1f.7"), ("10000:e1:00.0",) * 2],
)
def test_addresses(text: str, form: str) -> None:
    assert str(Bdf.parse(text)) == form


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2:00.0",
        "02:00",
        "02:20.0",
        "02:00.8",
        "02:00.0 ",
        "02.00.0",
        "\uff102:00.0",
        "02:00.0\n",
    ],
)
def test_no_addresses(text: str) -> None:
    assert Bdf.parse(text) is None


@pytest.mark.slow
@given(st.text(max_size=20))
def test_what_is_read_is_what_is_written(text: str) -> None:
    bdf = Bdf.parse(text)
    assert bdf is None or Bdf.parse(str(bdf)) == bdf == Bdf.parse(bdf.short)


@given(st.text())
def test_pci_ids_of_any_content(text: str) -> None:
    assert pci._parse(text.split("\n"), {(1, 1)}, Path("pci.ids")).path


@pytest.mark.parametrize(
    ("maker", "brief"),
    [
        ("Advanced Micro Devices, Inc. [AMD/ATI]", "AMD/ATI"),
        ("Intel Corporation", "Intel"),
        ("Realtek Semiconductor Co., Ltd.", "Realtek Semiconductor"),
        ("Red Hat, Inc.", "Red Hat"),
        ("Incognito", "Incognito"),
        ("[bare]", "[bare]"),
    ],
)
def test_vendors_in_a_narrow_table(maker: str, brief: str) -> None:
    known = pci.Names({1: maker}, {(1, 2): "card"}, {})
    assert known.brief(1, 2) == f"{brief} card"
    assert known.brief(3, 2) == "[0003] [0002]"


def test_a_list_of_names_has_bounds(tmp_path: Path) -> None:
    ids = tmp_path / "pci.ids"
    ids.write_text("0001  Maker\n" + "\n" * 70_000 + "\t0002  card\n0001  x\x1b[2J\n")
    found = pci.names([(1, 2)], [ids])
    assert (found.vendors, found.devices) == ({1: "Maker"}, {})  # what is beyond is not read
    ids.write_text("0001  Ma\x1bker" + "r" * 900 + "\n")
    assert pci.names([(1, 2)], [ids]).vendors[1].startswith("Ma?ker")
    assert len(pci.names([(1, 2)], [ids]).vendors[1]) < 300
    os.mkfifo(tmp_path / "fifo")
    assert pci.names([(1, 2)], [tmp_path / "fifo"]).path is None


# Layouts of real machines: what is lost is credited to all above it, and what goes together is
# judged together


def small(folder: Path, *, disk: bool = True, nic: bool = True) -> Machine:
    """A board with a graphics card, a disk with / and a network card with a link."""
    m = Machine(folder)
    m.pci("0000:00:02.0", "0x030000", group=1, driver="i915", boot_vga=True)
    if disk:
        sata = m.pci("0000:00:17.0", "0x010601", group=4, driver="ahci")
        m.disk("sda", sata / "ata1/host0/block", 2)
        m.mount("/dev/sda1", "/")
    if nic:
        m.net("eno1", m.pci("0000:00:1f.6", "0x020000", group=9, driver="e1000e"), up=True)
    return m


def dangers(m: Machine) -> set[str]:
    """The functions that are dangerous to hide, but for those of `small`."""
    machine = look(m.sysfs, ids=())
    board = {"00:02.0", "00:17.0", "00:1f.6"}
    return {d.bdf.short for d in machine.devices if d.verdict == Verdict.DANGER} - board


@pytest.mark.parametrize("group", [8, None])
def test_a_root_behind_vmd_is_lost_with_the_controller(tmp_path: Path, group: int | None) -> None:
    m = small(tmp_path, disk=False)
    m.pci("0000:00:0e.0", "0x010400", group=group, driver="vmd")
    for bus, name in (("e1", "nvme0n1"), ("e2", "nvme1n1")):
        nvme = m.pci(
            f"10000:{bus}:00.0",
            "0x010802",
            above="0000:00:0e.0/pci10000:e0",
            group=group,
            driver="nvme",
            root="pci0000:00",
        )
        m.disk(name, nvme / f"nvme/{name[:5]}", 1)
    m.mount("/dev/nvme0n11", "/")
    assert dangers(m) == {"00:0e.0", "10000:e1:00.0", "10000:e2:00.0"}
    assert offered(look(m.sysfs, ids=())) == []


def test_both_ports_of_the_only_network_card(tmp_path: Path) -> None:
    m = small(tmp_path, nic=False)
    for port in (0, 1):
        at_ = m.pci(f"0000:03:00.{port}", "0x020000", group=20 + port, driver="ixgbe")
        m.net(f"enp3s0f{port}", at_, up=True)
    assert dangers(m) == {"03:00.0", "03:00.1"}
    assert offered(look(m.sysfs, ids=())) == []
    for port in (0, 1):  # another card, without a link: that one may go
        at_ = m.pci(f"0000:04:00.{port}", "0x020000", group=30 + port, driver="igb")
        m.net(f"enp4s0f{port}", at_, up=False)
    assert dangers(m) == {"03:00.0", "03:00.1"}
    assert offered(look(m.sysfs, ids=())) == [["04:00.0", "04:00.1"]]


def test_the_second_disk_of_a_btrfs(tmp_path: Path) -> None:
    m = small(tmp_path)
    nvme = m.pci("0000:02:00.0", "0x010802", group=14, driver="nvme")
    m.disk("nvme0n1", nvme / "nvme/nvme0", 1)
    (tmp_path / "proc/mounts").write_text("/dev/sda1 / btrfs rw,subvol=/@ 0 0\n")
    members = m.sysfs / "fs/btrfs/6f2c1d7e-0000-4000-8000-000000000001/devices"
    members.mkdir(parents=True)
    for name in ("sda1", "nvme0n11"):
        (members / name).symlink_to((m.sysfs / "class/block" / name).resolve())
    assert dangers(m) == {"02:00.0"}


def test_a_disk_that_nothing_uses_may_go_and_one_with_swap_may_not(tmp_path: Path) -> None:
    m = small(tmp_path)
    for slot, name in (("02", "nvme0n1"), ("03", "nvme1n1")):
        nvme = m.pci(f"0000:{slot}:00.0", "0x010802", group=int(slot), driver="nvme")
        m.disk(name, nvme / f"nvme/{name[:5]}", 1)
    (tmp_path / "proc/swaps").write_text(
        "Filename\tType\tSize\tUsed\tPriority\n/dev/nvme0n11 partition 1000 0 -2\n"
    )
    assert dangers(m) == {"02:00.0"}
    assert offered(look(m.sysfs, ids=())) == [["03:00.0"]]


def test_encrypted_volumes_over_two_disks(tmp_path: Path) -> None:
    m = small(tmp_path, disk=False)
    for slot, name in (("02", "nvme0n1"), ("03", "nvme1n1"), ("04", "nvme2n1")):
        nvme = m.pci(f"0000:{slot}:00.0", "0x010802", group=int(slot), driver="nvme")
        m.disk(name, nvme / f"nvme/{name[:5]}", 1)
    m.mapped("luks-a", 0, ("nvme0n11",))
    m.mapped("luks-b", 1, ("nvme1n11",))
    m.mapped("vg-root", 2, ("dm-0", "dm-1"))
    m.mount("/dev/mapper/vg-root", "/")
    assert dangers(m) == {"02:00.0", "03:00.0"}
    assert offered(look(m.sysfs, ids=())) == [["04:00.0"]]


def test_a_root_on_a_usb_stick_and_a_second_usb_controller(tmp_path: Path) -> None:
    m = small(tmp_path, disk=False)
    first = m.pci("0000:00:14.0", "0x0c0330", group=2, driver="xhci_hcd")
    m.pci("0000:05:00.0", "0x0c0330", group=5, driver="xhci_hcd")
    m.disk("sda", first / "usb1/1-2/1-2:1.0/host6/block", 1)
    m.mount("/dev/sda1", "/")
    assert dangers(m) == {"00:14.0"}
    assert offered(look(m.sysfs, ids=())) == [["05:00.0"]]


def test_virtual_functions_of_the_card_that_dom0_needs(tmp_path: Path) -> None:
    m = small(tmp_path, nic=False)
    m.net("ens1", m.pci("0000:03:00.0", "0x020000", group=20, driver="ixgbe"), up=True)
    m.pci("0000:03:10.0", "0x020000", group=21, physfn="0000:03:00.0")
    assert dangers(m) == {"03:00.0"}
    assert offered(look(m.sysfs, ids=())) == [["03:10.0"]]
