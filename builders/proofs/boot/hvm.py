# SPDX-License-Identifier: GPL-2.0-or-later
"""The proof with an HVM guest: it has a device model, is handed cards, and bytes go over them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from builders.debkit import kconfig
from builders.errors import BuildError
from builders.files import of_file, scratch
from builders.proofs.boot import cpio, guests, initramfs, proof
from builders.proofs.boot.checks import Answer, Boot, Check, answers, checks
from builders.proofs.boot.machine import Options, boot
from builders.proofs.boot.parts import Parts
from builders.proofs.boot.qemu import DRIVER, OTHER, Card, Console, doubled

if TYPE_CHECKING:
    from builders.pipeline.run import Run

KIND = "hvm"
# Of the kernel: of dom0, whose device model reads a card's MSI-X table from /dev/mem, and of the
# guest, which has the same one.
_BUILT_IN = ("PCI_MSI", "DEVMEM", "XEN_PVHVM")
_NEEDED = ("VIRTIO_PCI", "VIRTIO_NET", "E1000")
_BYTES = 64 << 10  # of the file that each network card has to bring
# Dom0 and the guest each on a processor of its own: where the guest's kernel is loaded, dom0 works.
# This machine's IOMMU is Intel's and its processor AMD's: they share no page tables.
_XEN = "dom0_max_vcpus=1 dom0_vcpus_pin iommu=no-sharept"
# Nested paging: a Xen of today is built without shadow paging where nobody asks for it.
_CPU = "qemu64,+svm,+npt"
# xl.cfg(5). No screen: the guest speaks over its Xen console.
_CONFIG = """\
name = "proof"
type = "hvm"
kernel = "/guest/vmlinuz"
ramdisk = "/guest/initrd"
cmdline = "console=hvc0 panic=-1"
memory = 128
vcpus = 1
cpus = "1"
tsc_mode = "native"
on_reboot = "restart"
on_crash = "destroy"
vga = "none"
nographic = 1
vnc = 0
sdl = 0
pci = [{pci}]
"""


@dataclass(frozen=True)
class NetworkCard:
    """A card that the guest is handed.

    network: the first three numbers of its addresses. interrupt: a pattern in the name of its kind
    of interrupt (/proc/interrupts).
    """

    address: str
    model: str
    port: str
    network: str
    driver: str
    interrupt: str = ""


# Behind root ports, as on a board: there a bus reset is possible, on the root bus none.
# A virtio device asks the IOMMU only where it is told that there is one.
NETWORK_CARDS = (
    NetworkCard("0000:01:00.0", f"{DRIVER},romfile=", "06.0", "10.0.2", DRIVER),
    NetworkCard(
        "0000:02:00.0",
        "virtio-net-pci,romfile=,iommu_platform=on",
        "07.0",
        "10.0.3",
        "virtio_net",
        "-msi-x|PCI-MSIX-",  # in Linux 6.1, and in 6.12
    ),
)
DISPLAY = Card("0000:03:00.0", "secondary-vga,romfile=", "08.0")
# Its regions (docs/specs/standard-vga.txt in QEMU's source), what the guest wrote into its memory
# and read back, and the number of its interface.
_DISPLAY = "0x1234 0x1111 16777216 4096 0xD15B1A7E 0xB0C5"
ADDRESSES = (*(card.address for card in NETWORK_CARDS), DISPLAY.address)


@dataclass(frozen=True)
class Fresh:
    """Files that nobody has seen before, one behind each network card: driver -> sha256."""

    folder: Path
    digests: Mapping[str, str]


@contextmanager
def fresh() -> Iterator[Fresh]:
    """Random files, for as long as the block runs."""
    with scratch("dom0-debs-fresh-") as folder:
        digests = {}
        for card in NETWORK_CARDS:
            path = folder / card.driver / "fresh"
            path.parent.mkdir()
            path.write_bytes(os.urandom(_BYTES))
            digests[card.driver] = of_file(path)
        yield Fresh(folder, digests)


@dataclass(frozen=True)
class Control:
    """A boot in which xl has to refuse the guest.

    reason: a pattern of what it says; fails: what else fails; files: laid over dom0's.
    """

    name: str
    reason: str
    fails: tuple[str, ...] = ()
    xen: str = ""
    hidden: bool = True
    files: tuple[cpio.File, ...] = ()


CONTROLS = (
    Control(
        "boot-hvm-without-iommu",
        "passthrough not supported on this platform",
        ("hvm_directio",),
        xen="iommu=off",
    ),
    Control(
        "boot-hvm-card-in-use",
        "is not assignable",
        ("hidden card is assignable", "hidden card's driver"),
        hidden=False,
    ),
    Control(
        "boot-hvm-without-device-model",
        "qemu-xen is unavailable|device model .* is not executable",
        # It is run before the guest is made: the scripts come in the order of their names.
        files=(cpio.File("proof/a.sh", f"rm {initramfs.DEVICE_MODEL}\n".encode(), 0o644),),
    ),
)


def options(these: Parts, files: Fresh, model: Path, patience: float) -> Options:
    """The boot in which an HVM guest is tried.

    model: the initramfs with the device model. patience: seconds that anything in dom0 may take.
    """
    pci = ", ".join(f'"{address.removeprefix("0000:")},permissive=1"' for address in ADDRESSES)
    cards = [Card(OTHER)]
    for card in NETWORK_CARDS:
        served = f"net={card.network}.0/24,tftp={doubled(files.folder / card.driver)}"
        cards.append(Card(card.address, card.model, card.port, served))
    networks = "".join(f"{card.driver} {card.network}\n" for card in NETWORK_CARDS)
    basis = Options()
    return replace(
        basis,
        xen=f"{basis.xen} {_XEN}",
        hide=" ".join(ADDRESSES),
        cpu=_CPU,
        cards=(*cards, DISPLAY),
        tools=model,
        files=(
            *guests.files(_CONFIG.format(pci=pci), these, patience),
            cpio.File("guest/root/networks", networks.encode(), 0o644),
            # A guest with a device of the machine's can't be brought back from a file.
            cpio.File("proof/no-save", b"", 0o644),
        ),
    )


def hvm_checks(console: Console, digests: Mapping[str, str]) -> tuple[Check, ...]:
    """What the proof asserts of an HVM guest. digests: of the files that it has to bring."""
    said = answers(console.lines)

    def answer(name: str) -> Answer:
        return said.get(name, Answer(-1, ("no answer",)))

    made = [able(answer("virt")), *guests.created(answer("dry-run"), answer("create"))]
    lives = {"first": "first", "second": "after a reboot", "third": "created again"}
    for name, life in lives.items():
        lines = answer(name).lines
        up = answer(name).status == 0
        for card in NETWORK_CARDS:
            pings = _found(lines, f"@@ping {card.driver} ")
            digest = _found(lines, f"@@file {card.driver} ")
            interrupts = _found(lines, f"@@interrupts {card.driver} ")
            good = up and pings == "3" and digest == digests[card.driver]
            good = good and bool(re.search(card.interrupt, interrupts))
            seen = f"{pings or 0} of 3 pings, file {digest[:12] or 'missing'}, {interrupts}"
            made.append(Check(f"{card.driver}: bytes, {life}", good, seen))
        display = _found(lines, "@@display ")
        made.append(Check(f"display, {life}", up and display == _DISPLAY, display or "not seen"))
    for name, when in (("given", ""), ("given-again", " again")):
        there = set(answer(name).text.split())
        made.append(
            Check(f"cards are the guest's{when}", set(ADDRESSES) <= there, answer(name).text[:90])
        )
    returned, bound, reset = answer("returned"), answer("bound"), answer("reset")
    back = set(ADDRESSES) <= set(returned.text.split())
    back = back and bound.text.split() == ["pciback"] * len(ADDRESSES)
    made += [
        Check("cards come back", back, f"{returned.text[:50]} {bound.text}"),
        Check(
            "cards can be reset",
            reset.status == 0 and sum(map(bool, reset.lines)) == len(ADDRESSES),
            ", ".join(reset.lines),
        ),
        guests.shut_down(answer("xendomains"), answer("left"), answer("ended")),
    ]
    return tuple(made)


def able(virt: Answer) -> Check:
    """Whether Xen can hand a device to an HVM guest."""
    return Check("hvm_directio", "hvm_directio" in virt.text.split(), virt.text[:90])


def prove_guest(run: Run, these: Parts, model: Path, *, accel: str, timeout: float) -> list[Boot]:
    """Boot once with an HVM guest. model: the initramfs with the device model.

    Raises BuildError where the kernel lacks what such a guest needs.
    """
    _usable(these)
    with fresh() as random:
        chosen = options(these, random, model, timeout / guests.SHARE)
        name = f"boot-guest-{KIND}"
        console, log = boot(run, these, name, chosen, accel=accel, timeout=timeout)
    found = checks(console, these, ADDRESSES) + hvm_checks(console, random.digests)
    return [_told(Boot(name, found, console.seconds, log), these)]


def prove_controls(
    run: Run, these: Parts, model: Path, *, accel: str, timeout: float
) -> list[Boot]:
    """Three boots in which xl has to refuse the guest, each for its own reason.

    Xen has no IOMMU; dom0 holds the cards itself; the package's device model is missing.
    """
    boots = []
    for control in CONTROLS:
        with fresh() as random:
            full = options(these, random, model, timeout / guests.SHARE)
            chosen = replace(
                full,
                xen=f"{full.xen} {control.xen}".strip(),
                hide=full.hide if control.hidden else "",
                files=(*full.files, *control.files),
            )
            console, log = boot(run, these, control.name, chosen, accel=accel, timeout=timeout)
        said = answers(console.lines)
        none = Answer(-1, ("no answer",))
        create = said.get("create", none)
        found = (
            *checks(console, these, ADDRESSES),
            able(said.get("virt", none)),
            *guests.created(said.get("dry-run", none), create),
            _reason(create, control.reason),
        )
        wanted = frozenset({"guest is created", *control.fails})
        boots.append(_told(Boot(control.name, found, console.seconds, log, wanted), these))
    return boots


def _told(boot: Boot, these: Parts) -> Boot:
    proof.write(boot, these.packages)
    return boot


def _reason(create: Answer, pattern: str) -> Check:
    """Whether xl said why it refused the guest."""
    line = next((line for line in create.lines if re.search(pattern, line)), "")
    return Check("reason", bool(line), (line or create.text)[-90:])


def _usable(these: Parts) -> None:
    there = kconfig.options(these.config.decode("utf-8", "replace"))
    lacking = [o for o in _BUILT_IN if there.get(f"CONFIG_{o}") != "y"]
    lacking += [o for o in _NEEDED if there.get(f"CONFIG_{o}") not in ("y", "m")]
    if lacking:
        raise BuildError(
            f"no HVM guest can be tried with {these.release}: it is built without"
            f" {', '.join(f'CONFIG_{o}' for o in lacking)}",
            hint="set it in a fragment of the flavour; those of --flavour minimal have all of it",
        )


def _found(lines: tuple[str, ...], mark: str) -> str:
    return next((line.partition(mark)[2].strip() for line in lines if mark in line), "")
