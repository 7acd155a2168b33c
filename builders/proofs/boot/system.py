# SPDX-License-Identifier: GPL-2.0-or-later
"""One boot of a disk in QEMU: a whole system, which is asked over its serial console.

What it is asked is a shell script, run.sh, with files beside it. It comes on a second disk, which
is a plain tar; templates/disk/run.sh runs it when the system is up.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.files import scratch
from builders.ground.engine import box
from builders.proofs.boot import firmware, qemu
from builders.proofs.boot.checks import Answer, answers
from builders.proofs.boot.machine import LOST, lost
from builders.proofs.boot.qemu import Console

if TYPE_CHECKING:
    from builders.pipeline.run import Run

OFF = "@@off"  # what a system says that has answered everything
_LINUX = "root=/dev/vda2 ro console=ttyS0 quiet panic=-1"
IOMMU = "intel-iommu,intremap=on"
GRUB, PLAIN, WORK = "grub", "plain", "work"  # how a disk is started


@dataclass(frozen=True)
class Disk:
    """A disk that boots, and the suite's kernel and initramfs, which boot it without GRUB."""

    path: Path
    kernel: Path
    initrd: Path


@dataclass(frozen=True)
class Seen:
    """What a system said: its answers by name, and the whole console, which lies in `log`."""

    answers: Mapping[str, Answer]
    console: Console
    log: Path

    def text(self, name: str) -> str:
        """An answer in one line; "" where there is none."""
        return self.answers[name].text if name in self.answers else ""


def boot(
    run: Run,
    disk: Disk,
    name: str,
    files: Mapping[str, bytes | Path],
    *,
    cards: Sequence[str] = (),
    iommu: str = IOMMU,
    memory: int = 1024,
    cpu: str = "qemu64",
    timeout: float,
    start: str = GRUB,
    keep: bool = False,
    variables: Path | None = None,
) -> Seen:
    """Boot the disk once, to its end; what it said.

    files: run.sh, a shell script that may use `ask NAME COMMAND`, and what it needs.
    cards: words of QEMU's command line, for what is in the machine. iommu: its device, "" for
    none. memory: in MiB. cpu: as QEMU has it. start: GRUB, or with the suite's own kernel and no
    Xen PLAIN, or WORK, which has no systemd. keep: what is written to the disk stays. variables:
    of OVMF, which starts the machine by UEFI then. Raises BuildError (STEP) where the system does
    not get to its end in `timeout` seconds.
    """
    log = run.logs / f"{name}.log"
    with ExitStack() as stack:
        folder = stack.enter_context(scratch("dom0-debs-system-"))
        asked = folder / "asked"
        _tar(asked, files)
        path = disk.path
        if not keep:
            path = folder / "disk.qcow2"
            overlay(path, disk.path.resolve())
        words = ["-device", iommu] if iommu else []
        words += _drive("disk", path, "qcow2", "10", ",bootindex=0" if start == GRUB else "")
        words += _drive("asked", asked, "raw", "11")
        if start != GRUB:
            line = f"{_LINUX} init=/proof/init" if start == WORK else _LINUX
            words += ["-kernel", str(disk.kernel), "-initrd", str(disk.initrd), "-append", line]
        if variables:
            words += firmware.flash(firmware.PLAIN, variables)
        task = stack.enter_context(run.reporter.work(name))
        console = qemu.run(
            _Machine((*words, *cards), memory, cpu, 1 if variables else 2),
            log,
            timeout=timeout,
            lost=LOST,
            watch=lambda line: task.show("boot", line),
            stop=run.live.stopping,
        )
    if OFF not in console.lines:
        raise lost(name, console, log, timeout)
    return Seen(answers(console.lines), console, log)


@dataclass(frozen=True)
class _Machine:
    words: tuple[str, ...]
    memory: int
    cpu: str
    cpus: int

    def command(self) -> list[str]:
        words = [
            "qemu-system-x86_64",
            *("-accel", "tcg,thread=multi"),
            *("-machine", "q35"),
            *("-cpu", self.cpu),
            *("-m", f"{self.memory}M"),
            *("-smp", str(self.cpus)),
            "-nodefaults",
            *("-display", "none"),
            *("-vga", "none"),
            *("-serial", "stdio"),
            "-no-reboot",
            *("-nic", "none"),
            *self.words,
        ]
        return box.tethered(words, "KILL")


def _drive(name: str, path: Path, form: str, slot: str, more: str = "") -> list[str]:
    file = str(path).replace(",", ",,")
    return [
        "-drive",
        f"if=none,id={name},file={file},format={form},cache=unsafe",
        "-device",
        f"virtio-blk-pci,drive={name},addr={slot}{more}",
    ]


def overlay(path: Path, below: Path) -> None:
    """Make `path` a disk that begins as `below`, which stays as it is.

    below: seen from the folder of `path`, where it is not absolute.
    """
    made = subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(below), str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise BuildError(
            f"qemu-img made no disk: {made.stderr.strip()[:500]}",
            hint="is there room for it?",
            exit=Exit.ENGINE,
        )


def _tar(path: Path, files: Mapping[str, bytes | Path]) -> None:
    """The files as a tar, of whole sectors as a disk has them."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            if isinstance(content, Path):
                tar.add(content, name)
            else:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o644
                tar.addfile(entry, io.BytesIO(content))
