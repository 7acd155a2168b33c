# SPDX-License-Identifier: GPL-2.0-or-later
"""The real packages started by UEFI."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.host import dom0
from builders.pipeline.graph import Pipeline
from builders.progress import Silent
from builders.proofs.boot import efi, firmware
from builders.proofs.boot.checks import checks
from builders.proofs.boot.firmware import BOOTED, Uefi
from builders.proofs.boot.machine import Loaded, Options, boot
from builders.proofs.boot.parts import chosen, parts
from builders.proofs.boot.qemu import HIDDEN
from builders.verbs import builds
from tests.boot.test_boot import RECIPE
from tests.boot.test_guests import booted
from tests.engine import hosts

# A container has no EFI system partition: what is mounted where is answered by a stand-in.
FINDMNT = f"""#!/bin/sh
case "$*" in
    *vfat*) echo /boot/efi ;;
    *UUID*) echo {hosts.UUID} ;;
    *) echo /dev/vda1 ;;
esac
"""


def test_each_way_of_uefi_boots_with_a_card_hidden() -> None:
    boots = booted("--firmware", "efi")
    ways = {name: way for name, way in boots.items() if name.startswith("boot-efi-")}
    assert ways.keys() == {"boot-efi-grub", "boot-efi-xen", "boot-efi-unified"}
    for way in ways.values():
        seen = {check["name"]: check["seen"] for check in way["checks"]}
        assert seen["started by UEFI"] == "efi"
        assert seen["hidden card's driver"] == "pciback"
        assert seen["power-off"] == "clean"


@pytest.mark.long
def test_secure_boot_starts_what_is_signed_and_nothing_else() -> None:
    boots = booted("--firmware", "secure")
    assert boots["boot-secure-unified"]["must_fail"] == []
    assert boots["boot-secure-xen"]["must_fail"] == []
    for name in ("boot-secure-unsigned", "boot-secure-changed"):
        assert boots[name]["must_fail"] == ["Xen is started"]


@pytest.mark.long
def test_the_image_that_a_host_makes_for_itself_boots(tmp_path: Path) -> None:
    """Installed by the suite's apt, made by the script of the package, with GRUB's options."""
    run = builds.begin(RECIPE, [], Silent())
    settings = dom0.settings([HIDDEN], "512M", unified=True)
    with run.alone():
        pipeline = Pipeline(run, "minimal")
        packages = pipeline.build()
        xen, kernel = chosen(packages, r"xen-"), chosen(packages, r"linux-image-")
        debs = [xen.path, kernel.path, dom0.package(run.recipe, settings, tmp_path)]
        with (
            hosts.machine(run, debs, [xen.package, kernel.package, "dom0-config"]) as step,
            parts(run, pipeline.supplies.image(), xen, kernel) as these,
        ):

            def start(loaded: Loaded, folder: Path) -> Uefi:
                put = step.container.put
                put("/usr/local/bin", [("findmnt", FINDMNT.encode())])
                put("/boot", [(f"initrd.img-{these.release}", loaded.initrd)])
                more = 'GRUB_CMDLINE_XEN="com1=115200,8n1 console=com1"\n'
                more += 'GRUB_CMDLINE_LINUX_DEFAULT="console=hvc0 panic=-1"\n'
                step.output(f"echo '{more}' >>/etc/default/grub")
                step.output(
                    "chmod 755 /usr/local/bin/findmnt; mkdir -p /boot/efi; xen-uki; xen-uki"
                )
                # A second one keeps the first.
                assert step.output("ls /boot/efi/EFI/xen").split() == ["xen.efi", "xen.efi.old"]
                (image,) = [
                    p for p in step.fetch("/boot/efi/EFI/xen", folder) if p.suffix == ".efi"
                ]
                disk = firmware.boot_disk(folder / "esp", {BOOTED: image})
                return Uefi(disk, firmware.variables(folder / "variables"))

            options = Options(start=start)
            console, _ = boot(run, these, "boot-host-unified", options, accel="tcg", timeout=300)
            found = (*checks(console, these), *efi.efi_checks(console.lines))
            assert [check for check in found if not check.good] == []
            line = next(x for x in console.lines if "Kernel command line" in x)
            assert f"xen-pciback.hide=({HIDDEN})" in line
            assert f"root=UUID={hosts.UUID} ro" in line
            step.output("apt-get purge --yes dom0-config")
            assert step.output("find /boot/efi -type f").split() == []
