# SPDX-License-Identifier: GPL-2.0-or-later
"""A Xen host as a tree of files, for the scripts of the package of its settings."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from builders.host.dom0 import TEMPLATES

RELEASE, BUILD = "6.1.192-dom0", "#1 SMP PREEMPT_DYNAMIC 2025-01-01"
ID = "ab" * 20
INFO = f"""\
host                   : host
release                : {RELEASE}
virt_caps              : pv hvm hap pv_directio hvm_directio
xen_version            : 4.17.5
xen_commandline        : placeholder dom0_mem=512M,max:512M
build_id               : {ID}
"""
RING = """\
(XEN) Xen version 4.17.5
(XEN) I/O virtualisation enabled
(XEN) Interrupt remapping enabled
"""
LIST = "Name    ID   Mem VCPUs\tState\tTime(s)\nDomain-0 0 512 2 r----- 3.3\n"
CARD = "0000:01:00.0"


def _capability(number: int, version: int, after: int) -> bytes:
    """The head of an extended capability."""
    return (number | version << 16 | after << 20).to_bytes(4, "little")


def configuration(serial: str = "") -> bytes:
    """A configuration space of 4 KiB; with a Device Serial Number behind another capability."""
    space = bytearray(4096)
    if serial:
        space[256:260] = _capability(1, 2, 0x140)
        space[0x140:0x144] = _capability(3, 1, 0)
        space[0x144:0x148] = int(serial[8:], 16).to_bytes(4, "little")
        space[0x148:0x14C] = int(serial[:8], 16).to_bytes(4, "little")
    return bytes(space)


class Host:
    """The tree, which is a sound host with one hidden card until something in it is changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.programs = root / "programs"
        self.programs.mkdir(parents=True)
        for folder in ("usr/sbin", "usr/lib/dom0-config", "usr/share/dom0-config", "etc/xen/auto"):
            (root / folder).mkdir(parents=True)
        for name, path in (
            ("dom0-check", "usr/sbin/dom0-check"),
            ("devices", "usr/lib/dom0-config/devices"),
        ):
            shutil.copyfile(TEMPLATES / name, root / path)
            (root / path).chmod(0o755)
        self.write("sys/hypervisor/type", "xen\n")
        self.write("proc/xen/capabilities", "control_d\n")
        self.write("proc/cmdline", f"root=/dev/vda2 xen-pciback.hide=({CARD})\n")
        self.write("proc/cpuinfo", "processor\t: 0\nmicrocode\t: 0x1f\n")
        self.write(f"boot/config-{RELEASE}", "CONFIG_XEN_PCIDEV_BACKEND=y\n")
        self.write(f"boot/vmlinuz-{RELEASE}", f"\0\x7f\n{RELEASE} (b@h) {BUILD}\0")
        self.write("boot/xen-4.17.5.efi", "")
        (root / "usr/lib/efi").mkdir(parents=True)
        (root / "usr/lib/efi/xen-4.17.5.efi").write_bytes(b"\0\n" + bytes.fromhex(ID) + b"\n")
        (root / "run/systemd/system").mkdir(parents=True)
        self.card("pci0000:00/0000:00:04.0/" + CARD)
        self.meant(f"device {CARD} 8086:100e 1af4:1100 020000 - 0000:00/04.0/00.0")
        self.program("uname", f'case "$1" in -r) echo "{RELEASE}" ;; -v) echo "{BUILD}" ;; esac')
        self.program("dpkg-query", "printf 4.17.5+dom0.1")
        self.program(
            "systemctl", 'case "$1" in is-active) echo active ;; list-unit-files) echo x ;; esac'
        )
        self.xen()

    def xen(self, info: str = INFO, ring: str = RING, listed: str = LIST) -> None:
        """What xl says."""
        for name, text in (("info", info), ("dmesg", ring), ("list", listed)):
            self.write(f"xl/{name}", text)
        self.program("xl", f'cat "{self.root}/xl/$1"')

    def write(self, path: str, text: str) -> None:
        """A file of the tree."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def program(self, name: str, script: str) -> None:
        """A program that comes before the box's own."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def meant(self, *devices: str, more: str = "") -> None:
        """What the settings say."""
        head = "memory 512\npackage xen-upstream\nxen dom0_mem=512M,max:512M\n"
        lines = "".join(f"{line}\n" for line in devices)
        self.write(
            "usr/share/dom0-config/meant",
            f"{head}linux xen-pciback.hide=({CARD})\n{more}{lines}",
        )

    def card(
        self,
        path: str,
        kind: str = "8086:100e 1af4:1100 020000",
        *,
        driver: str = "pciback",
        serial: str = "",
        reset: str = "bus",
    ) -> None:
        """A device in sysfs, at a path below /sys/devices."""
        folder = self.root / "sys/devices" / path
        folder.mkdir(parents=True)
        ids, subsystem, code = kind.split(" ")
        for name, value in (
            ("vendor", ids.split(":")[0]),
            ("device", ids.split(":")[1]),
            ("subsystem_vendor", subsystem.split(":")[0]),
            ("subsystem_device", subsystem.split(":")[1]),
            ("class", code),
        ):
            (folder / name).write_text(f"0x{value}\n")
        (folder / "config").write_bytes(configuration(serial))
        if reset:
            (folder / "reset_method").write_text(f"{reset}\n")
        bus = self.root / "sys/bus/pci"
        (bus / "devices").mkdir(parents=True, exist_ok=True)
        (bus / "devices" / folder.name).symlink_to(f"../../../devices/{path}")
        if driver:
            (bus / "drivers" / driver).mkdir(parents=True, exist_ok=True)
            (folder / "driver").symlink_to(bus / "drivers" / driver)

    def gone(self, address: str = CARD) -> None:
        """Take a device out."""
        link = self.root / "sys/bus/pci/devices" / address
        shutil.rmtree(link.resolve())
        link.unlink()

    def run(self, script: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of the scripts with dash, as on a host."""
        path = f"{self.programs}:{os.environ['PATH']}"
        shell = shutil.which("dash") or "sh"
        return subprocess.run(
            [shell, str(self.root / script), *words],
            env={"PATH": path, "DOM0_CHECK_ROOT": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def check(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run dom0-check."""
        return self.run("usr/sbin/dom0-check", *words)
