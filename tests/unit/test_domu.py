# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import ast
import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.errors import BuildError, Exit
from builders.host import domu
from builders.host.domu import Asked
from builders.pipeline import recipe

BOOKWORM = recipe.load("xen-4.17-bookworm")
OLD = recipe.load("xen-4.2-wheezy")
BASE = Asked(name="guest", memory="512M", disks=["/dev/vg/guest"])


def written(loaded: recipe.Recipe = BOOKWORM, **more: Any) -> dict[str, Any]:
    """The file as xm would read it, and xl too: assignments of literals."""
    text = domu.text(domu.guest(loaded, dataclasses.replace(BASE, **more)))
    values = {}
    for node in ast.parse(text).body:
        assert isinstance(node, ast.Assign)
        assert isinstance(node.targets[0], ast.Name)
        assert node.targets[0].id not in values
        values[node.targets[0].id] = ast.literal_eval(node.value)
    return values


def test_a_windows_guest_with_a_graphics_card() -> None:
    assert written(
        name="windows-7",
        memory="4G",
        vcpus="4",
        disks=["/dev/vg/windows-7", "/srv/iso/windows 7.iso,cdrom"],
        pci=["02:00.0,permissive=1", "02:00.1"],
        bridges=["xenbr0,00:16:3E:00:00:01"],
        windows=True,
    ) == {
        "name": "windows-7",
        "type": "hvm",
        "memory": 4096,
        "vcpus": 4,
        "disk": [
            "format=raw, vdev=hda, access=rw, target=/dev/vg/windows-7",
            "format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/srv/iso/windows 7.iso",
        ],
        "vif": ["bridge=xenbr0,mac=00:16:3e:00:00:01"],
        "pci": ["0000:02:00.0,permissive=1", "0000:02:00.1"],
        "boot": "cd",
        "acpi": 1,
        "apic": 1,
        "localtime": 1,
        "viridian": 1,
        "usb": 1,
        "usbdevice": ["tablet"],
        "vnc": 1,
        "vnclisten": "127.0.0.1",
        "vncunused": 1,
    }


def test_xm_and_the_xl_of_its_time_say_builder() -> None:
    card = ["02:00.0"]
    xm = written(OLD, toolstack="xm", pci=card, primary=True, disks=["/dev/a", "/b.iso,cdrom"])
    assert (xm["builder"], xm["gfx_passthru"]) == ("hvm", 1)
    assert xm["disk"] == ["phy:/dev/a,hda,w", "file:/b.iso,hdc:cdrom,r"]
    assert "device_model_version" not in xm
    xl = written(OLD, pci=card, primary=True, usb=["host:046D:c52b"])
    assert xl["builder"] == "hvm"
    assert xl["device_model_version"] == "qemu-xen-traditional"
    assert xl["usbdevice"] == "host:046D:c52b"
    assert "type" not in xl


def test_pv_and_pvh_guests() -> None:
    pv = written(type="pv", pci=["03:00.0"], vnc="192.0.2.1:3")
    assert (pv["type"], pv["bootloader"]) == ("pv", "pygrub")
    assert pv["disk"] == ["format=raw, vdev=xvda, access=rw, target=/dev/vg/guest"]
    assert pv["vfb"] == ["vnc=1,vnclisten=192.0.2.1,vncunused=0,vncdisplay=3"]
    assert "boot" not in pv
    pvh = written(type="pvh", kernel="/boot/vmlinuz", ramdisk="/boot/i", extra="console=hvc0")
    assert (pvh["kernel"], pvh["ramdisk"], pvh["extra"]) == (
        "/boot/vmlinuz",
        "/boot/i",
        "console=hvc0",
    )
    assert "type" not in written(OLD, type="pv")


def test_screens() -> None:
    assert written(vnc="no")["vnc"] == 0
    assert written(vnc="[::1]:2")["vnclisten"] == "::1"
    assert written(vnc="::1")["vncunused"] == 1
    it = domu.guest(BOOKWORM, dataclasses.replace(BASE, vnc="::"))
    assert "every address of the host" in domu.warnings(it)[0]


def test_one_function_of_a_slot_is_a_warning() -> None:
    def warned(*pci: str) -> list[str]:
        return domu.warnings(domu.guest(BOOKWORM, dataclasses.replace(BASE, pci=pci)))

    assert "only function of its slot" in warned("02:00.1")[0]
    assert warned("02:00.0") == warned("02:00.0", "02:00.1") == []


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"name": ""}, "no name"),
        ({"name": "a b"}, "no name for a guest"),
        ({"name": 'a"'}, "no name for a guest"),
        ({"name": "42"}, "a domain's number"),
        ({"name": "Domain-0"}, "the name of dom0"),
        ({"memory": "512"}, "--memory 512: no unit"),
        ({"memory": "1M"}, "too little"),
        ({"vcpus": "0"}, "no number of virtual CPUs"),
        ({"vcpus": "129"}, "no number of virtual CPUs"),
        ({"type": "vm"}, "no such type"),
        ({"toolstack": "virsh"}, "no such toolstack"),
        ({"toolstack": "xm"}, "Xen 4.17 has none"),
        ({"disks": []}, "nothing to boot from"),
        ({"disks": ["disk.img"]}, "no path"),
        ({"disks": ["/a'b"]}, "no path"),
        ({"disks": ["/a\\b"]}, "no path"),
        ({"disks": ["/a/../b"]}, "no path"),
        ({"disks": ["/a\nb"]}, "no path"),
        ({"disks": ["/a,vmdk"]}, "no format vmdk"),
        ({"disks": ["/a,raw,sdz"]}, "no device sdz"),
        ({"disks": ["/a,raw,hda,x"]}, "no access x"),
        ({"disks": ["/a,raw,hda,w,x"]}, "too many parts"),
        ({"disks": ["/a", "/b,raw,hda"]}, "hda is taken"),
        ({"disks": ["/a", "/a"]}, "/a is there already"),
        ({"disks": ["/a", "/b", "/c", "/d", "/e"]}, "no device is left"),
        ({"pci": ["02:0.0"]}, "no PCI address"),
        ({"pci": ["02:00.0", "0000:02:00.0"]}, "is there already"),
        ({"pci": ["02:00.0,x=1"]}, "no option x=1"),
        ({"pci": ["02:00.0,permissive=2"]}, "no option permissive=2"),
        ({"pci": ["02:00.0"], "type": "pvh"}, "no PCI device to a PVH guest"),
        ({"bridges": ["a b"]}, "no name of a bridge"),
        ({"bridges": ["br0,01:00:00:00:00:00"]}, "no address of one network card"),
        ({"usb": ["mouse;"]}, "no such device"),
        ({"usb": ["tablet"], "type": "pv"}, "--usb is for HVM guests"),
        ({"windows": True, "type": "pv"}, "--windows is for HVM guests"),
        ({"primary": True}, "--gfx-passthru without a card"),
        ({"vnc": "localhost"}, "no IP address"),
        ({"kernel": "/boot/vmlinuz"}, "--kernel is for PV and PVH guests"),
        ({"type": "pv", "extra": "ro"}, "--extra without --kernel"),
        ({"type": "pv", "kernel": "/k", "extra": 'a"b'}, "cannot be put between quotes"),
        ({"firmware": "uefi"}, "no such firmware"),
        ({"firmware": "ovmf,"}, "no path"),
        ({"firmware": 'ovmf,/a"b'}, "no path"),
        ({"firmware": "ovmf", "type": "pv"}, "--firmware is for HVM guests"),
        ({"hole": "255"}, "--mmio-hole 255"),
        ({"hole": "3841"}, "--mmio-hole 3841"),
        ({"hole": "1G"}, "--mmio-hole 1G"),
        ({"hole": "\uff15\uff11\uff12"}, "--mmio-hole"),
        ({"hole": "all", "type": "pv"}, "for HVM guests of Xen 4.5"),
    ],
)
def test_what_is_wrong_is_said(more: dict[str, Any], says: str) -> None:
    with pytest.raises(BuildError, match=re.escape(says)) as caught:
        written(**more)
    assert caught.value.exit == Exit.USAGE
    assert caught.value.hint


def test_what_an_older_xen_cannot_do() -> None:
    with pytest.raises(BuildError, match="no option seize=1"):
        written(OLD, pci=["02:00.0,seize=1"])
    with pytest.raises(BuildError, match="no option permissive=1"):
        written(OLD, toolstack="xm", pci=["02:00.0,permissive=1"])
    with pytest.raises(BuildError, match="this Xen takes one device"):
        written(OLD, usb=["tablet", "host:046d:c52b"])
    with pytest.raises(BuildError, match="xm takes raw disks"):
        written(OLD, toolstack="xm", disks=["/a,qcow2"])
    with pytest.raises(BuildError, match="no such guests"):
        written(OLD, type="pvh")
    assert written(OLD, usb=["mouse"], windows=True)["usbdevice"] == "mouse"
    with pytest.raises(BuildError, match="ROMBIOS alone"):
        written(OLD, firmware="seabios")
    with pytest.raises(BuildError, match="newer device model"):
        written(OLD, hole="512")


def test_firmware_and_the_hole() -> None:
    both = written(firmware="ovmf,/srv/OVMF.fd", hole="512")
    assert (both["bios"], both["bios_path_override"]) == ("ovmf", "/srv/OVMF.fd")
    assert both["mmio_hole"] == 512
    assert written(firmware="seabios")["bios"] == "seabios"
    assert {"bios", "mmio_hole"} & set(written(hole="no")) == set()


@pytest.mark.parametrize(
    ("firmware", "configure", "says"),
    [
        ("seabios", "true", ""),
        ("ovmf", "true", "configured without OVMF"),
        ("ovmf", "./configure --disable-ovmf --with-system-ovmf-not=x", "configured without OVMF"),
        ("ovmf", "./configure --enable-ovmf", ""),
        ("ovmf", "./configure --with-system-ovmf=/srv/OVMF.fd --x", ""),
        # What Debian 12 has there knows nothing of Xen.
        ("ovmf", "./configure --with-system-ovmf=/usr/share/ovmf/OVMF.fd", "without Xen's drivers"),
        ("ovmf,/usr/share/OVMF/OVMF_CODE_4M.fd", "true", "OVMF_CODE_4M.fd of Debian's package"),
        ("ovmf,/usr/share/qemu/OVMF.fd", "./configure --enable-ovmf", "without Xen's drivers"),
        ("ovmf,/srv/OVMF.fd", "true", ""),
    ],
)
def test_which_ovmf_starts_no_guest(firmware: str, configure: str, says: str) -> None:
    xen = BOOKWORM.xen
    assert xen
    it = dataclasses.replace(BOOKWORM, xen=dataclasses.replace(xen, configure=(configure,)))
    asked = dataclasses.replace(BASE, firmware=firmware)
    (told, *_) = [*(t for t in domu.warnings(domu.guest(it, asked)) if "ovmf" in t), ""]
    assert says in told
    assert bool(says) == bool(told)
    # Debian 11's still has what a guest of Xen needs.
    older = dataclasses.replace(it, suite=dataclasses.replace(it.suite, name="bullseye"))
    told = "".join(domu.warnings(domu.guest(older, asked)))
    assert ("ovmf" in told) == ("configured without" in says)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(BuildError) as caught:
        written(name="a b", memory="x", vcpus="x", disks=["x"], pci=["x"])
    assert len(caught.value.message.splitlines()) == 5


def test_the_file_appears_whole_and_never_over_anothers(tmp_path: Path) -> None:
    path = tmp_path / "guest.cfg"
    text = domu.text(domu.guest(BOOKWORM, BASE))
    domu.write(text, path)
    domu.write(text, path)  # ours may be written again
    assert path.read_text() == text
    assert [p.name for p in tmp_path.iterdir()] == ["guest.cfg"]
    path.write_text("name = 'mine'\n")
    with pytest.raises(BuildError, match="not made here"):
        domu.write(text, path)
    assert path.read_text() == "name = 'mine'\n"
    with pytest.raises(BuildError, match="No such file"):
        domu.write(text, tmp_path / "none" / "guest.cfg")
    os.mkfifo(tmp_path / "fifo.cfg")
    for endless in (tmp_path / "fifo.cfg", Path("/dev/zero")):
        with pytest.raises(BuildError, match="not made here"):
            domu.write(text, endless)
    with pytest.raises(BuildError, match="Is a directory"):
        domu.write(text, tmp_path)


TYPED = st.text(max_size=10) | st.text("\"'\\,/.:=[]() \n\r\x00#$%-_abc012", max_size=16)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    st.builds(
        Asked,
        name=TYPED | st.just("guest"),
        memory=TYPED | st.just("512M"),
        vcpus=TYPED | st.just("2"),
        disks=st.lists(TYPED | st.from_regex(r"/[a-c/ ]{1,6}", fullmatch=True), max_size=2),
        pci=st.lists(TYPED | st.just("02:00.0,permissive=1"), max_size=2),
        type=st.sampled_from(domu.TYPES),
        toolstack=st.sampled_from(domu.TOOLSTACKS),
        vnc=TYPED | st.sampled_from(["", "no", "127.0.0.1:1"]),
        bridges=st.lists(TYPED | st.just("xenbr0"), max_size=1),
        usb=st.lists(TYPED | st.just("tablet"), max_size=1),
        kernel=TYPED | st.sampled_from(["", "/boot/vmlinuz"]),
        extra=TYPED | st.just(""),
        windows=st.booleans(),
        firmware=TYPED | st.sampled_from(["", "ovmf", "seabios,/a b"]),
        hole=TYPED | st.sampled_from(["", "all", "512"]),
    ),
    st.sampled_from([BOOKWORM, OLD]),
)
def test_what_is_typed_never_leaves_its_string(asked: Asked, loaded: recipe.Recipe) -> None:
    try:
        text = domu.text(domu.guest(loaded, asked))
    except BuildError:
        return
    keys = [line for line in text.splitlines() if re.match(r"[a-z]", line)]
    assert all(re.fullmatch(r'[a-z_]+=(\[|\d+|"[^"\'\\]*")', line) for line in keys)
    assert text.isascii()
    ast.parse(text)


def test_only_intels_graphics_are_the_primary_card() -> None:
    """xl.cfg(5): gfx_passthru of the newer device model knows "igd" alone."""

    def warned(it: recipe.Recipe, *pci: str) -> bool:
        guest = domu.guest(it, dataclasses.replace(BASE, pci=pci, primary=True))
        return any("--gfx-passthru" in text for text in domu.warnings(guest))

    assert warned(BOOKWORM, "65:00.0", "65:00.1")
    assert not warned(BOOKWORM, "00:02.0")
    assert not warned(OLD, "65:00.0")  # the device model of its time takes any card
