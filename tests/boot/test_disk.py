# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole host in QEMU: the finished packages on a disk of the suite, started by its GRUB.

dom0-check is asked on a sound host and for each fault that it tells; the cards are moved under
the settings of one package; and UEFI starts the same disk, by GRUB and by the host's own image.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from builders.host import dom0
from builders.host.identity import Identity
from builders.host.pci import Bdf
from builders.pipeline.graph import Pipeline
from builders.pipeline.run import Run
from builders.progress import Silent
from builders.proofs.boot import disk, firmware, system
from builders.proofs.boot.parts import chosen
from builders.proofs.boot.system import Disk, Seen
from builders.verbs import builds

# Installing under an emulated processor takes minutes; on a busy box it took more than ten.
pytestmark = pytest.mark.long
RECIPE = "xen-4.17-bookworm"
TIMEOUT = 400.0  # seconds; an idle box needs a tenth of it
CARD = "0000:01:00.0"
# What the card in the machine below is. QEMU gives its subsystem to every device.
MEANT = Identity("8086:100e 1af4:1100 020000", "", "0000:00/04.0/00.0")


def port(number: int, slot: str) -> list[str]:
    """A root port in a slot of bus 0; firmware numbers the buses by the slots."""
    return ["-device", f"pcie-root-port,id=rp{number},addr={slot},chassis={number}"]


def card(number: int, model: str = "e1000,romfile=") -> list[str]:
    """A card behind a root port."""
    return ["-device", f"{model},bus=rp{number}"]


MACHINE = [*port(1, "04.0"), *card(1)]
# xl refuses both: that one was tried is enough.
GUESTS = {"with-card": 'pci=["01:00.0"]\n', "without": "memory=64\n"}
ASK = """\
ask failed systemctl --failed --no-legend --plain
ask unit systemctl is-active dom0-devices xenstored xenconsoled
cp with-card.cfg without.cfg /etc/xen/auto/
systemctl restart dom0-devices
systemctl restart xendomains
ask started journalctl --no-pager --output cat --boot --unit xendomains
ask kernel uname -r
ask assignable xl pci-assignable-list
ask check dom0-check --json
ask text dom0-check
ask wrong dom0-check --wrong
ask auto ls /run/dom0-config/auto
ask motd run-parts /etc/update-motd.d
"""


class Host(NamedTuple):
    """The run, the disk with the packages on it, and these."""

    run: Run
    disk: Disk
    kernel: str

    def boot(
        self,
        name: str,
        script: str,
        *,
        cards: Sequence[str] = MACHINE,
        iommu: str = system.IOMMU,
        start: str = system.GRUB,
        keep: bool = False,
        variables: Path | None = None,
    ) -> Seen:
        """Boot it and ask. keep, variables: as `system.boot` has them."""
        files: dict[str, bytes | Path] = {"run.sh": script.encode()}
        files |= {f"{guest}.cfg": text.encode() for guest, text in GUESTS.items()}
        with self.run.alone():
            return system.boot(
                self.run,
                self.disk,
                name,
                files,
                cards=cards,
                iommu=iommu,
                start=start,
                keep=keep,
                variables=variables,
                timeout=TIMEOUT,
            )

    def of_its_own(self, folder: Path) -> Host:
        """The same with a disk that may be written to."""
        path = folder / disk.DISK
        system.overlay(path, self.disk.path.resolve())
        return self._replace(disk=Disk(path, self.disk.kernel, self.disk.initrd))


def made(folder: Path, *, kernel: bool) -> Host:
    """The host with Xen, the settings and, where asked for, the kernel that was built."""
    run = builds.begin(RECIPE, [], Silent())
    address = Bdf.parse(CARD)
    assert address
    settings = dom0.settings(
        [CARD],
        "512M",
        xen=["loglvl=all"],
        known=["loglvl"],
        microcode=True,
        unified=True,
        meant={address: MEANT},
    )
    with run.alone():
        packages = Pipeline(run, "minimal").build()
        xen, linux = chosen(packages, r"xen-"), chosen(packages, r"linux-image-")
        debs = [xen.path, linux.path, dom0.package(run.recipe, settings, folder)]
        base = disk.base(run, disk.needs(debs))
        if not kernel:
            debs.remove(linux.path)
        return Host(
            run, disk.installed(run, debs, base), linux.package.removeprefix("linux-image-")
        )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """The host with the minimal kernel."""
    return made(tmp_path_factory.mktemp("settings"), kernel=True)


def states(seen: Seen, name: str = "check") -> dict[str, tuple[str, str]]:
    """What dom0-check said: state and what was seen, by the name of the check."""
    answer = seen.answers[name]
    told = json.loads("\n".join(answer.lines))
    assert answer.status == (not told["good"])
    return {c["name"]: (c["state"], c["seen"]) for c in told["checks"]}


def failing(seen: Seen, name: str = "check") -> set[str]:
    return {check for check, (state, _) in states(seen, name).items() if state == "fail"}


def sound(seen: Seen) -> None:
    """Nothing failed at boot, and both guests were tried."""
    assert seen.text("failed") == ""
    assert seen.text("unit") == "active active active"
    assert "with-card.cfg" in seen.text("started")
    assert "without.cfg" in seen.text("started")


UEFI = "ask uefi cat /sys/firmware/efi/fw_platform_size\n"
# The host makes its image; the firmware takes it in GRUB's place, as the file of a removable disk.
UNIFY = f"""\
{UEFI}ask uki xen-uki
ask told cp /boot/efi/EFI/xen/xen.efi /boot/efi/EFI/BOOT/BOOTX64.EFI
"""
LESS = """\
rm /lib/modules/*/kernel/drivers/xen/xen-pciback/xen-pciback.ko
ask modules depmod "$(ls /lib/modules)"
ask initramfs update-initramfs -u
"""
FAULTS = """\
mkdir -p early/kernel/x86/microcode
echo anything >early/kernel/x86/microcode/GenuineIntel.bin
initrd=/boot/initrd.img-$(uname -r)
(cd early && find . | cpio -o -H newc 2>/dev/null) >carried
cat $initrd >>carried
mv carried $initrd
ask sound dom0-check --json
xl mem-set 0 450
systemctl stop xenconsoled
echo 0000:01:00.0 >/sys/bus/pci/drivers/pciback/unbind
echo >/sys/bus/pci/devices/0000:01:00.0/driver_override
echo 0000:01:00.0 >/sys/bus/pci/drivers/e1000/bind
echo xen spec-ctrl=no >>/usr/share/dom0-config/meant
cp /boot/vmlinuz-$(uname -r) /boot/vmlinuz-99.0
sleep 3
ask faults dom0-check --json
mv /boot/xen-4.17.*.gz /boot/other
rm /boot/vmlinuz-99.0
echo another hypervisor | gzip >/boot/xen-4.17.5.gz
rm -f /usr/lib*/efi/xen-*.efi
ask hypervisor dom0-check --json
"""


def test_a_sound_host_and_faults_that_come_while_it_runs(host: Host) -> None:
    seen = host.boot("disk-host", ASK + FAULTS)
    assert seen.text("kernel") == host.kernel
    sound(seen)
    assert CARD in seen.text("assignable")
    assert seen.text("wrong") == ""
    # No package of the suite with microcode is on the disk.
    assert failing(seen) == {"microcode"}
    assert failing(seen, "sound") == set()
    assert failing(seen, "faults") == {"memory", "services", "hidden", "options", "reboot"}
    assert "hypervisor" in states(seen, "hypervisor")["reboot"][1]


def test_faults_of_the_machine_and_of_how_it_was_started(host: Host) -> None:
    # Interrupts are not remapped; and the system was started without Xen.
    seen = host.boot("disk-no-remapping", ASK, iommu="intel-iommu,intremap=off")
    assert failing(seen) == {"remapping", "microcode"}
    sound(seen)
    plain = host.boot("disk-plain", "ask check dom0-check --json\n", start=system.PLAIN)
    assert failing(plain) == {"xen"}


def test_a_machine_without_an_iommu(host: Host) -> None:
    assert failing(host.boot("disk-no-iommu", ASK, iommu="")) == {"iommu", "microcode"}


def test_one_bridge_more_and_an_equal_card(host: Host) -> None:
    # The equal card is in front of it, and takes its address.
    cards = [*port(2, "03.0"), *card(2), *MACHINE]
    seen = host.boot("disk-bridge-more", ASK, cards=cards)
    assert seen.text("wrong").startswith(f"{CARD} one of the same kind is there, in another slot")
    assert "it is at 0000:02:00.0 now" in seen.text("wrong")
    held(seen)


def held(seen: Seen) -> None:
    """The unit failed, it is said at a login, and the guest that names the address is held back."""
    assert "devices" in failing(seen)
    assert seen.text("failed").split()[:1] == ["dom0-devices.service"]
    assert "Guests that name it were not started: with-card.cfg" in seen.text("motd")
    assert seen.text("auto") == "without.cfg"
    assert "with-card.cfg" not in seen.text("started")
    assert "without.cfg" in seen.text("started")


MOVED = {
    "other-slot": (
        [*port(1, "06.0"), *port(2, "03.0"), *card(1)],
        "one like it is at 0000:02:00.0",
    ),
    "gone": (port(1, "04.0"), "no device is there"),
    "disk": (
        [
            *port(1, "04.0"),
            *("-drive", "if=none,id=nvme,driver=null-co,size=1M"),
            *card(1, "nvme,drive=nvme,serial=1"),
        ],
        "another device is there: 1b36:0010 class 010802",
    ),
}


@pytest.mark.parametrize("name", sorted(MOVED))
def test_other_cards_under_the_same_settings(host: Host, name: str) -> None:
    cards, why = MOVED[name]
    seen = host.boot(f"disk-{name}", ASK, cards=cards)
    assert why in seen.text("wrong")
    held(seen)


def test_an_equal_card_behind_it_changes_nothing(host: Host) -> None:
    cards = [*MACHINE, *port(2, "05.0"), *card(2)]
    seen = host.boot("disk-two-equal", ASK, cards=cards)
    assert seen.text("wrong") == ""
    sound(seen)


def test_debians_own_kernel_loads_the_back_end_first(tmp_path: Path) -> None:
    host = made(tmp_path, kernel=False)
    more = """\
ask softdep cat /etc/modprobe.d/dom0-config.conf
ask loaded grep -w xen_pciback /proc/modules
ask other basename $(readlink /sys/bus/pci/devices/0000:02:00.0/driver)
"""
    cards = [*MACHINE, *port(2, "05.0"), *card(2)]
    seen = host.boot("disk-module", ASK + more, cards=cards)
    assert "softdep e1000 pre: xen-pciback" in seen.text("softdep")
    assert seen.text("loaded")
    assert CARD in seen.text("assignable")
    assert seen.text("other") == "e1000"
    assert failing(seen) == {"microcode"}

    # Without the module the card stays with its own driver, and the check says which is missing.
    own = host.of_its_own(tmp_path)
    own.boot("disk-less", LESS, start=system.WORK, keep=True)
    seen = own.boot("disk-without-back-end", ASK)
    assert failing(seen) == {"back-end", "hidden", "microcode"}
    assert CARD not in seen.text("assignable")


def test_uefi_starts_it_by_grub_and_by_the_image_that_it_made(host: Host, tmp_path: Path) -> None:
    firmware.ensure(host.run.reporter)
    own = host.of_its_own(tmp_path)
    variables = firmware.variables(tmp_path / "variables")
    seen = own.boot("disk-uefi", ASK + UNIFY, variables=variables, keep=True)
    assert seen.text("uefi") == "64"
    assert [seen.answers[name].status for name in ("uki", "told")] == [0, 0]
    unified = own.boot("disk-unified", ASK + UEFI, variables=variables)
    assert unified.text("uefi") == "64"
    assert "GRUB" not in "".join(unified.console.lines)
    for each in (seen, unified):
        assert each.text("kernel") == host.kernel
        assert CARD in each.text("assignable")
        assert failing(each) == {"microcode"}
        sound(each)
