# SPDX-License-Identifier: GPL-2.0-or-later
"""The proof with a guest: the hidden card is handed to it, and comes back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builders.pipeline.run import Run
from builders.proofs.boot import cpio, modules, proof
from builders.proofs.boot.checks import Answer, Boot, Check, answers, checks
from builders.proofs.boot.machine import Options, boot
from builders.proofs.boot.modules import Module
from builders.proofs.boot.parts import Parts
from builders.proofs.boot.qemu import DRIVER, HIDDEN, Console

KINDS = ("pv", "pvh")
TOOLSTACKS = ("xl", "xm")
_TEMPLATES = Path(__file__).parent / "templates"
_CARD = f"0x8086 0x100e {DRIVER}"
_SHORT = HIDDEN.removeprefix("0000:")
# xl.cfg(5), xmdomain.cfg(5). A PV guest has no IOMMU of its own: its DMA goes through bounce
# buffers.
_CONFIG = """\
name = "proof"
type = "{kind}"
kernel = "/guest/vmlinuz"
ramdisk = "/guest/initrd"
extra = "console=hvc0 panic=-1 {options}"
memory = 128
vcpus = 1
on_reboot = "restart"
on_crash = "destroy"
{pci}
"""


def options(
    kind: str, kernel: Path, drivers: Sequence[Module] = (), xend: Path | None = None
) -> Options:
    """The boot in which a guest of that kind is tried.

    kernel: dom0's, which the guest has too; drivers: its modules that the guest loads.
    xend: the initramfs with xend and xm, where xm is to make the guest, and not xl.
    """
    card = kind == "pv"
    # xend has a file of its own for that.
    permissive = "" if xend else ",permissive=1"
    config = _CONFIG.format(
        kind=kind,
        options="iommu=soft" if card else "",
        pci=f'pci = ["{_SHORT}{permissive}"]' if card else "",
    )
    files: tuple[cpio.File, ...] = (
        cpio.File("guest/proof.cfg", config.encode(), 0o644),
        cpio.File("guest/toolstack", b"xm\n" if xend else b"xl\n", 0o644),
        cpio.File("guest/vmlinuz", kernel.read_bytes(), 0o644),
        cpio.File("guest/root/init", (_TEMPLATES / "guest-init.sh").read_bytes()),
        cpio.File("proof/guest.sh", (_TEMPLATES / "guest.sh").read_bytes(), 0o644),
        *modules.files(drivers, "guest/root/modules"),
    )
    if card:
        # A guest with a device of the machine's can't be brought back from a file.
        files += (cpio.File("proof/no-save", b"", 0o644),)
    # A PVH guest needs a processor that can virtualise memory.
    return Options(files=files, cpu="qemu64" if card else "qemu64,+svm,+npt", tools=xend)


def guest_checks(console: Console, kind: str, toolstack: str = "xl") -> tuple[Check, ...]:
    """What the proof asserts of a guest."""
    said = answers(console.lines)

    def answer(name: str) -> Answer:
        return said.get(name, Answer(-1, ("no answer",)))

    def came_up(name: str) -> Check:
        there = answer(name)
        card = any(x.endswith(_CARD) for x in there.lines if x.startswith("@@card"))
        net = any(x.startswith("@@net") and "eth0" in x for x in there.lines)
        good = there.status == 0 and (kind != "pv" or (card and net))
        return Check(_NAMES[name], good, there.text[:90])

    created, dry = answer("create"), answer("dry-run")
    made = [
        Check("guest's file is understood", dry.status == 0, f"{toolstack} create -n"),
        Check("guest is created", created.status == 0, created.text[-60:]),
        came_up("first"),
        came_up("second"),
    ]
    if toolstack == "xm":
        running = answer("xm-list")
        good = answer("xend").status == 0 and running.status == 0 and "Domain-0" in running.text
        made.insert(0, Check("xend answers", good, running.text[-60:]))
    if kind == "pv":
        returned, bound = answer("returned"), answer("bound")
        made += [
            Check("card is the guest's", _SHORT in answer("given").text, answer("given").text[:60]),
            Check(
                "card is the guest's again",
                _SHORT in answer("given-again").text,
                answer("given-again").text[:60],
            ),
            Check(
                "card comes back",
                returned.status == 0
                and HIDDEN in returned.text.split()
                and bound.text == "pciback",
                f"{returned.text[:40]} {bound.text}",
            ),
        ]
    stopped, left = answer("xendomains"), answer("left")
    gone = stopped.status == 0 and left.status == 0 and "proof" not in left.text
    if kind == "pv":
        ended = answer("ended").status == 0
        made.append(Check("xendomains shuts it down", gone and ended, stopped.text[-60:]))
    else:
        saved = "proof" in answer("saved").text.split()
        made.append(Check("xendomains saves it", gone and saved, stopped.text[-60:]))
    return tuple(made)


_NAMES = {"first": "guest comes up", "second": "guest comes up again"}


def prove_guest(
    run: Run, these: Parts, kind: str, *, accel: str, timeout: float, xend: Path | None = None
) -> Boot:
    """Boot once with a guest of that kind. xend: as for `options`."""
    toolstack = "xm" if xend else "xl"
    name = f"boot-guest-{kind}" + ("-xm" if xend else "")
    chosen = options(kind, these.kernel, these.guest, xend)
    console, log = boot(run, these, name, chosen, accel=accel, timeout=timeout)
    found = checks(console, these)
    made = Boot(name, found + guest_checks(console, kind, toolstack), console.seconds, log)
    proof.write(made, these.packages)
    return made
