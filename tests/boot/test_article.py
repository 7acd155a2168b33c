# SPDX-License-Identifier: GPL-2.0-or-later
"""The host of 2012, whole: Xen 4.2.0 and Linux 3.2 with the settings as wheezy has them, xend, and
the guest with nine devices.

It takes packages that were built of a recipe of Xen 4.2: of xen-4.2-bullseye, or of the recipe that
DOM0_DEBS_ARTICLE names (a name, or the path of a file). README.md, "The reference recipe", says how
they are built where the addresses of the sources cannot be reached.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import pytest

from builders.errors import BuildError
from builders.host import dom0, domu
from builders.host.domu import Asked
from builders.pipeline.current import current
from builders.pipeline.supplies import Supplies
from builders.progress import Silent
from builders.proofs.boot import cpio, guests, initramfs
from builders.proofs.boot.checks import Answer, Check, answers, checks
from builders.proofs.boot.machine import Options, boot
from builders.proofs.boot.parts import chosen, parts
from builders.proofs.boot.qemu import HIDDEN
from builders.verbs import builds
from tests.engine import hosts

RECIPE = os.environ.get("DOM0_DEBS_ARTICLE", "xen-4.2-bullseye")
WHEEZY = dom0.Style(grub_dropin=False, xend=True)
SETTINGS = ("/etc/default/xendomains", "/etc/xen/xend-config.sxp", "/etc/xen/xl.conf")
# A graphics card with its audio, a USB controller of three functions and one of two, a network card
# and a sound card.
CARDS = ["01:00.0", "01:00.1", "00:1a.0", "00:1a.1", "00:1a.7", "03:00.0", "04:00.0", "00:1d.0"]
CARDS.append("00:1d.7")
WRONG = 'name = "wrong"\nmemory = 64\npci = ["nonsense"]\n'
# Run after the guest's script, which leaves xend running and no guest.
ASK = """
ask memory grep MemTotal /proc/meminfo
ask line cat /proc/cmdline
for file in /guests/*.xm; do ask "$(basename "$file")" xm create -n "$file"; done
ask xend-config grep enable-dom0-ballooning /etc/xen/xend-config.sxp
ask xend-stop /etc/init.d/xend stop
ask no-xend xm list
for file in /guests/*.xl; do ask "$(basename "$file")" xl create -n "$file"; done
ask xl-create xl create /guest/proof.cfg
ask fourth up 4
ask xl-xendomains /etc/init.d/xendomains stop
# xl's own process of the guest takes it away, once it has waited for the card.
until=$(($(cut -d. -f1 /proc/uptime) + 30))
while xl list | grep -q '^proof ' && [ "$(cut -d. -f1 /proc/uptime)" -lt "$until" ]; do
    sleep 1
done
ask xl-left xl list
ask xl-ended grep -c 'asked to power off' "$log"
"""


def article(toolstack: str) -> str:
    """The file of the guest: Windows 7 with nine devices of the machine's."""
    asked = Asked(
        name="windows-7",
        memory="4096M",
        vcpus="4",
        disks=["/dev/vg/windows-7", "/srv/windows-7.iso,cdrom"],
        pci=CARDS,
        bridges=["br0"],
        windows=True,
        toolstack=toolstack,
    )
    return domu.text(domu.guest(builds.begin(RECIPE, [], Silent()).recipe, asked))


@dataclass(frozen=True)
class Host:
    """The booted host: GRUB's command lines, dom0's answers, what held, and the diversions."""

    lines: tuple[str, str]
    said: dict[str, Answer]
    checks: tuple[Check, ...]
    diversions: str


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    run = builds.begin(RECIPE, [], Silent())
    try:
        built = current(run, "minimal")
    except BuildError as error:
        pytest.skip(f"{error.message}: README.md, The reference recipe")
    run = built.run
    folder = tmp_path_factory.mktemp("host")
    settings = dom0.settings([HIDDEN], "512M", save=False, like=WHEEZY)
    with run.alone():
        packages = built.packages()
        xen, kernel = chosen(packages, r"xen-"), chosen(packages, r"linux-image-")
        config = dom0.package(run.recipe, settings, folder, like=WHEEZY)
        names = [xen.package, kernel.package, "dom0-config"]
        with hosts.machine(run, [xen.path, kernel.path, config], names) as step:
            entry = [line.split(" ", 1)[1].strip() for line in hosts.entry(hosts.menu(step))]
            laid = {path: step.output(f"cat {path}").encode() for path in SETTINGS}
            laid["/etc/default/xendomains.dom0-config-orig"] = step.output(
                "cat /etc/default/xendomains.dom0-config-orig"
            ).encode()
            diversions = step.output("dpkg-divert --list; ls /etc/grub.d")
        image = Supplies(run).image()
        xend = initramfs.xend(run, image, xen.path, xen.sha256)
        with parts(run, image, xen, kernel) as these:
            guest = guests.options("pv", these, 300, xend)
            files = [
                *(f for f in guest.files if f.path != "proof/no-save"),
                *(cpio.File(path.lstrip("/"), text, 0o644) for path, text in laid.items()),
                cpio.File("guests/article.xm", article("xm").encode()),
                cpio.File("guests/article.xl", article("xl").encode()),
                cpio.File("guests/wrong.xm", WRONG.encode()),
                cpio.File("guests/wrong.xl", WRONG.encode()),
                cpio.File("proof/host.sh", ASK.encode()),
            ]
            options = Options(
                xen=f"com1=115200,8n1 console=com1 {entry[0]}",
                linux=f"console=hvc0 panic=-1 {entry[1]}",
                hide="",  # what hides the card is in GRUB's line
                files=tuple(files),
                tools=xend,
            )
            console, _ = boot(run, these, "boot-article", options, accel="tcg", timeout=900)
            found = checks(console, these) + guests.guest_checks(console, "pv", "xm")
    return Host((entry[0], entry[1]), answers(console.lines), found, diversions)


def test_everything_holds_under_xm(host: Host) -> None:
    assert [check for check in host.checks if not check.good] == []


def test_the_settings_are_those_of_wheezys_way(host: Host) -> None:
    assert "diversion of /etc/grub.d/20_linux_xen to /etc/dom0-config/20_linux_xen" in (
        host.diversions
    )
    assert "08_linux_xen" in host.diversions.split()
    assert "20_linux_xen" not in host.diversions.split("by dom0-config")[-1].split()
    assert host.lines[0].startswith("dom0_mem=512M,max:512M")
    assert host.said["line"].text.endswith(f"xen-pciback.hide=({HIDDEN})")
    assert "no" in host.said["xend-config"].text


def test_both_toolstacks_take_the_guest_with_nine_devices(host: Host) -> None:
    xm, xl = host.said["article.xm"], host.said["article.xl"]
    assert (xm.status, xl.status) == (0, 0), f"{xm.text}\n{xl.text}"
    assert len(re.findall(r"\(vdevfn\b", xm.text)) == len(CARDS) == 9
    assert "windows-7" in xm.text
    assert "windows-7" in xl.text


def test_neither_takes_a_device_that_is_none(host: Host) -> None:
    assert host.said["wrong.xm"].status != 0


def test_the_guest_ends_with_the_host_under_xl(host: Host) -> None:
    said = host.said
    assert said["no-xend"].status != 0
    assert said["xl-create"].status == 0, said["xl-create"].text
    assert said["fourth"].status == 0
    assert "proof" not in said["xl-left"].text
    assert int(said["xl-ended"].text) == 2
