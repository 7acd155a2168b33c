# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/tutorial.md, command by command: a box that builds, and a host in QEMU that is installed
from its release by apt, started again with Xen, and hands its card to a guest on a disk.

Copying between the two is the test's, and which disk the guest has; all else is what the page has.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from builders import ROOT
from builders.files import scratch
from builders.pipeline.graph import Pipeline
from builders.pipeline.run import Run
from builders.progress import Silent
from builders.proofs.boot import disk, system
from builders.proofs.boot.disk import DISK
from builders.proofs.boot.system import Disk, Seen
from builders.verbs import builds

PAGE = ROOT / "docs" / "tutorial.md"
RECIPE = "xen-4.17-bookworm"
TIMEOUT = 2400.0  # seconds of one boot; an idle box needs a third of it
# QEMU is recommended by Xen's package, seabios by QEMU's: they are on the disk, as the host of the
# test has no network.
BESIDE = ("qemu-system-xen", "seabios")
NETWORK = "10.0.2."  # where QEMU's own DHCP server puts who asks
# The card, behind a root port as on a board, and the host's own network card.
CARDS = [
    *("-netdev", "user,id=own,restrict=on"),
    *("-device", "virtio-net-pci,romfile=,netdev=own,addr=03.0"),
    *("-device", "pcie-root-port,id=rp1,addr=04.0,chassis=1"),
    *("-netdev", "user,id=behind,restrict=on"),
    *("-device", "e1000,romfile=,bus=rp1,netdev=behind"),
]
# The processor is AMD's and the IOMMU Intel's: they share no page tables.
CPU, XEN = "qemu64,+svm,+npt", "iommu=no-sharept"
# The host as the suite's installer leaves it. An emulated processor makes an initramfs of every
# module in minutes. The guest's disk began as the same one: a root is found by its UUID.
HOST = f"""\
e2fsck -f -p /dev/vdc2
ask uuid tune2fs -U random /dev/vdc2
echo 'GRUB_CMDLINE_XEN="$GRUB_CMDLINE_XEN {XEN}"' >/etc/default/grub.d/shared.cfg
echo MODULES=dep >/etc/initramfs-tools/conf.d/modules
"""
# The guest sees its disk as Xen's, and asks the server behind the card for an address.
GUEST = """\
ask loader grub-install /dev/vda
cat >/boot/grub/grub.cfg <<EOF
set root=(hd0,gpt2)
linux /vmlinuz root=/dev/xvda2 ro quiet console=hvc0
initrd /initrd.img
boot
EOF
echo '/dev/xvda2 / ext4 errors=remount-ro 0 1' >/etc/fstab
echo guest >/etc/hostname
echo MODULES=list >/etc/initramfs-tools/conf.d/modules
printf '%s\\n' xen-blkfront ext4 >>/etc/initramfs-tools/modules
ask initramfs update-initramfs -u
printf '[Match]\\nDriver=e1000\\n[Network]\\nDHCP=ipv4\\n' >/etc/systemd/network/card.network
cat >/etc/systemd/system/told.service <<EOF
[Service]
ExecStart=/proof/told
[Install]
WantedBy=multi-user.target
EOF
cp told /proof/told
chmod 755 /proof/told
ask units systemctl enable systemd-networkd told
"""
TOLD = """\
#!/bin/sh
exec >/dev/hvc0 2>&1
for _ in $(seq 120); do
    ip -brief address | grep -qF {network} && break
    sleep 1
done
{commands}
echo "@@told"
"""
# The guest's disk is no volume. Its boot loader reads an IDE disk at 80 KB a second, as each word
# is an exit to dom0: xl.cfg(5) has another controller. Linux uses Xen's own disk with both.
DISKS = """\
mkdir /dev/vg
ln -s /dev/vdc /dev/vg/guest
echo 'hdtype="ahci"' >>/srv/guest.cfg
"""
# Somebody at the guest's console, until it has told all.
LISTEN = """\
(sleep 1500 | xl console -t pv guest) >/run/told 2>&1 &
for _ in $(seq 1200); do
    grep -q '^@@told' /run/told && break
    sleep 1
done
ask told cat /run/told
"""


class Block(NamedTuple):
    """Commands of the page that follow one another, and the machine that they are for."""

    place: str
    commands: tuple[str, ...]


def blocks(page: str) -> Iterator[Block]:
    """The blocks of commands; a word in bold before each names the machine."""
    place = ""
    for paragraph in page.split("\n\n"):
        if paragraph.startswith("    "):
            text = re.sub(r"^    ", "", paragraph.rstrip(), flags=re.MULTILINE)
            yield Block(place, tuple(text.replace("\\\n", "").splitlines()))
        else:
            named = re.findall(r"\*\*(box|host|guest)\*\*", paragraph)
            place = named[-1] if named else place


class Host(NamedTuple):
    """The host: its disk stays what a boot left."""

    run: Run
    disk: Disk

    def boot(
        self,
        name: str,
        script: str,
        files: Mapping[str, bytes | Path] | None = None,
        more: Path | None = None,
        *,
        form: str = "raw",
    ) -> Seen:
        """Boot it by its GRUB and run a script. more: a disk beside its own, /dev/vdc."""
        words = [*CARDS, *(beside(more, form) if more else ())]
        with self.run.alone():
            return system.boot(
                self.run,
                self.disk,
                name,
                {"run.sh": script.encode(), **(files or {})},
                cards=words,
                cpu=CPU,
                memory=2048,
                timeout=TIMEOUT,
                keep=True,
            )


def beside(path: Path, form: str) -> list[str]:
    """The options of QEMU for a disk more, /dev/vdc."""
    return [
        *("-drive", f"if=none,id=more,file={path},format={form},cache=unsafe"),
        *("-device", "virtio-blk-pci,drive=more,addr=12"),
    ]


def asked(name: str, commands: Sequence[str]) -> str:
    """The commands as questions NAME-0, NAME-1 ... of a script."""
    made = ""
    for number, command in enumerate(commands):
        made += f"cat >command-{number} <<'END'\n{command}\nEND\n"
        made += f"ask {name}-{number} sh ./command-{number}\n"
    return made


def answered(seen: Seen, name: str, commands: Sequence[str]) -> list[str]:
    """What each said; all of them have to have ended with 0."""
    answers = [seen.answers[f"{name}-{number}"] for number in range(len(commands))]
    assert [(c, a.text) for c, a in zip(commands, answers, strict=True) if a.status] == []
    return [answer.text for answer in answers]


def worked(
    run: Run,
    base: Disk,
    folder: Path,
    script: str,
    files: Mapping[str, bytes] | None = None,
    cards: Sequence[str] = (),
) -> Disk:
    """A disk that begins as the base, after a script has run on it; each question ended with 0."""
    folder.mkdir()
    made = Disk(folder / DISK, base.kernel, base.initrd)
    system.overlay(made.path, base.path.resolve())
    with run.alone():
        seen = system.boot(
            run,
            made,
            f"tutorial-{folder.name}",
            {"run.sh": script.encode(), **(files or {})},
            cards=cards,
            timeout=TIMEOUT,
            start=system.WORK,
            keep=True,
        )
    assert [name for name, answer in seen.answers.items() if answer.status] == []
    return made


@pytest.fixture
def box() -> Iterator[Path]:
    """A folder where somebody works on the box, with `inv` in it."""
    with scratch("tutorial-") as folder:  # short: gpg's agent has its socket in it
        (folder / "inv").symlink_to(ROOT / "inv")
        (folder / "gnupg").mkdir(mode=0o700)
        yield folder
        subprocess.run(["gpgconf", "--kill", "all"], env=environment(folder), check=False)


def environment(box: Path) -> dict[str, str]:
    artifacts = os.environ.get("DOM0_DEBS_ARTIFACTS", str(ROOT / "artifacts"))
    return {**os.environ, "GNUPGHOME": str(box / "gnupg"), "DOM0_DEBS_ARTIFACTS": artifacts}


def typed(box: Path, block: Block) -> str:
    """Type the commands on the box; what the last one printed."""
    said = ""
    for command in block.commands:
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=box,
            env=environment(box),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout
        assert done.returncode == 0, f"{command}\n{said}\n{done.stderr}"
    return said


def test_a_block_is_for_the_machine_that_was_named_last() -> None:
    page = "On the **box** and the **host**:\n\n    a \\\n        b\n    c\n\nAlso:\n\n    d\n"
    assert list(blocks(page)) == [
        Block("host", ("a     b", "c")),
        Block("host", ("d",)),
    ]


@pytest.mark.long
def test_the_page_from_its_first_command_to_its_last(box: Path, tmp_path: Path) -> None:
    found = list(blocks(PAGE.read_text(encoding="utf-8")))
    places = "box box box host box box host host guest host host"
    assert [block.place for block in found] == places.split()
    build, judge, release, collect, look, make, install, start, inside, end, back = found

    for block in (build, judge, release):
        typed(box, block)
    run = builds.begin(RECIPE, [], Silent())
    with run.alone():
        debs = [package.path for package in Pipeline(run, "minimal").build()]
        base = disk.base(run, disk.needs(debs), BESIDE)
    told = TOLD.format(network=NETWORK, commands="\n".join(inside.commands)).encode()
    guest = worked(run, base, tmp_path / "guest", GUEST, {"told": told})
    grub = (ROOT / "builders/proofs/boot/templates/disk/grub.sh").read_text(encoding="utf-8")
    cards = beside(guest.path, "qcow2")
    host = Host(run, worked(run, base, tmp_path / "host", HOST + grub, cards=cards))

    copied = tmp_path / "copied"
    copied.write_bytes(b"")
    os.truncate(copied, 16 << 20)
    script = asked("collect", collect.commands) + (
        "ask size stat --format %s host.tar.gz\ncat host.tar.gz >/dev/vdc\n"
    )
    seen = host.boot("tutorial-look", script, more=copied)
    answered(seen, "collect", collect.commands)
    os.truncate(copied, int(seen.text("size")))
    copied.rename(box / "host.tar.gz")

    devices = typed(box, look)
    assert re.search(r"(?m)^0000:01:00\.0 .* (fine|caution) ", devices), devices
    typed(box, make)

    assert install.commands[-1] == back.commands[-1] == "reboot"
    files: dict[str, bytes | Path] = {n: box / n for n in ("xen", "settings", "guest.cfg")}
    script = "cp -R xen settings guest.cfg /srv/\n" + asked("install", install.commands[:-1])
    seen = host.boot("tutorial-install", script, files)
    answered(seen, "install", install.commands[:-1])

    script = DISKS + asked("start", start.commands) + LISTEN + asked("end", end.commands)
    script += asked("back", back.commands[:-1])
    seen = host.boot("tutorial-guest", script, more=guest.path, form="qcow2")
    _, assignable, _, given = answered(seen, "start", start.commands)
    assert assignable == "0000:01:00.0"
    assert "0000:01:00.0" in given
    assert "[8086:100e]" in seen.text("told")
    assert "Kernel driver in use: e1000" in seen.text("told")
    assert f" {NETWORK}" in seen.text("told")
    assert answered(seen, "end", end.commands)[-1] == "0000:01:00.0"
    answered(seen, "back", back.commands[:-1])

    seen = host.boot("tutorial-back", "ask kernel uname -r\nask xen test -e /sys/hypervisor/type\n")
    assert "dom0" not in seen.text("kernel")
    assert seen.answers["xen"].status == 1
