# SPDX-License-Identifier: GPL-2.0-or-later
"""One virtual machine without a screen: started, heard on its serial console, ended in any case."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from builders.errors import BuildError, Exit, Interrupted
from builders.ground.engine import box
from builders.progress import Reporter
from builders.text import printable

ACCELS = ("auto", "kvm", "tcg")
LIMIT = 32 << 20  # bytes of console; a machine that says more is in a loop
_KVM = Path("/dev/kvm")
# Network cards: one to hide, one to leave to dom0; and an address with nothing there.
HIDDEN, OTHER, EMPTY = "0000:00:04.0", "0000:00:05.0", "0000:00:09.0"
DRIVER = "e1000"
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])|\r")


@dataclass(frozen=True)
class Card:
    """A PCI device of the machine.

    address: as dom0 has it; on bus 0 that of the card, on another bus what its root port leads to.
    model: QEMU's device with its properties. port: slot of its root port on bus 0, "" without one.
    network: of a network card, for QEMU's -netdev user; "" where its cable is not plugged in.
    """

    address: str
    model: str = f"{DRIVER},romfile="
    port: str = ""
    network: str = ""

    def words(self) -> list[str]:
        """The options of QEMU that put it in."""
        name = re.sub(r"[^0-9a-f]", "", self.address)
        bus, slot = self.address.split(":")[1:]
        words, place = [], f"addr={slot}"
        if self.port:
            words += ["-device", f"pcie-root-port,id=p{name},addr={self.port},chassis={int(bus)}"]
            place = f"bus=p{name}"
        if self.network:
            words += ["-netdev", f"user,id=n{name},restrict=on,{self.network}"]
            place += f",netdev=n{name}"
        return [*words, "-device", f"{self.model},{place}"]


CARDS = (Card(HIDDEN), Card(OTHER))


@dataclass(frozen=True)
class Multiboot:
    """QEMU itself loads Xen, as GRUB does on a PC with a BIOS.

    xen: the hypervisor, not compressed. kernel, initrd: dom0's.
    """

    xen: Path
    kernel: Path
    initrd: Path
    xen_options: str
    linux_options: str
    machine = "q35"
    cpus = 2

    def words(self) -> list[str]:
        """The options of QEMU."""
        # -initrd takes a list with commas between modules; a comma of ours is doubled.
        modules = [
            f"{doubled(self.kernel)} {self.linux_options.replace(',', ',,')}",
            doubled(self.initrd),
        ]
        return [
            *("-kernel", str(self.xen)),
            *("-append", self.xen_options),
            *("-initrd", ",".join(modules)),
        ]


class Start(Protocol):
    """How the machine comes to start Xen.

    machine: QEMU's kind of machine, with its properties. cpus: how many it has.
    """

    @property
    def machine(self) -> str: ...

    @property
    def cpus(self) -> int: ...

    def words(self) -> list[str]: ...


@dataclass(frozen=True)
class Machine:
    """A PC with an IOMMU and some cards (qemu-system(1)).

    accel: kvm or tcg. memory: in MiB.
    """

    start: Start
    accel: str
    memory: int = 1024
    cpu: str = "qemu64"
    cards: tuple[Card, ...] = CARDS

    def command(self) -> list[str]:
        """The whole command line; QEMU ends with the thread that starts it (prctl(2))."""
        tcg = self.accel == "tcg"
        # Interrupts are remapped by the IOMMU that is emulated, not by KVM.
        kind = self.start.machine if tcg else f"{self.start.machine},kernel-irqchip=split"
        words = [
            "qemu-system-x86_64",
            *("-accel", "tcg,thread=multi" if tcg else self.accel),
            *("-machine", kind),
            *("-cpu", self.cpu if tcg else "host"),
            *("-device", "intel-iommu,intremap=on"),
            *("-m", f"{self.memory}M"),
            *("-smp", str(self.start.cpus)),
            "-nodefaults",
            *("-display", "none"),
            *("-vga", "none"),
            *("-serial", "stdio"),
            "-no-reboot",
            *("-nic", "none"),
            *(word for card in self.cards for word in card.words()),
            *self.start.words(),
        ]
        return box.tethered(words, "KILL")


def doubled(path: Path) -> str:
    """A path as a value among QEMU's options, where a comma would end it."""
    return str(path).replace(",", ",,")


def accelerator(wanted: str) -> str:
    """ "kvm" or "tcg"; BuildError where the wanted one is not to be had."""
    if wanted not in ACCELS:
        raise BuildError(f"--accel {wanted}: no such one", hint=f"one of: {', '.join(ACCELS)}")
    usable = os.access(_KVM, os.R_OK | os.W_OK)
    if wanted == "kvm" and not usable:
        why = "this user may not open it" if _KVM.exists() else "this machine has none"
        raise BuildError(
            f"--accel kvm: {_KVM}: {why}",
            hint="--accel tcg emulates the processor: slower, the same proof",
            exit=Exit.ENGINE,
        )
    return "kvm" if usable and wanted != "tcg" else "tcg"


def ensure(reporter: Reporter) -> None:
    """See to it that QEMU is on this box; BuildError with the command to type where not."""
    box.ensure_tools(["qemu-system-x86_64"], reporter)


@dataclass(frozen=True)
class Console:
    """What a machine said until it ended.

    lines: without escapes. status: of QEMU, None where it was ended. why: "" where it ended
    by itself, else "time", "output" or the line that told that it was lost.
    """

    lines: tuple[str, ...]
    status: int | None
    seconds: float
    why: str = ""


class Commanded(Protocol):
    """A machine, as the command line that starts it."""

    def command(self) -> list[str]: ...


def run(
    machine: Commanded,
    log: Path,
    *,
    timeout: float,
    lost: re.Pattern[str],
    watch: Callable[[str], None],
    stop: threading.Event,
) -> Console:
    """Run `machine` to its end, at most `timeout` seconds; the whole console goes to `log`.

    lost: a line that tells that nothing good will come; a second later the machine is ended.
    watch: is handed each line. Raises Interrupted soon after `stop` is set.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    until, why = begun + timeout, "time"
    lines: list[str] = []
    rest = b""
    size = 0
    with log.open("wb", buffering=0) as out:
        try:
            process = subprocess.Popen(
                machine.command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C of the terminal is ours to hear
            )
        except FileNotFoundError as error:
            raise BuildError(
                f"{error.filename} is not installed",
                hint=box.install_command(["qemu-system-x86"]),
                exit=Exit.ENGINE,
            ) from None
        assert process.stdout is not None  # noqa: S101 - asked for above
        try:
            with selectors.DefaultSelector() as selector, process.stdout:
                selector.register(process.stdout, selectors.EVENT_READ)
                while True:
                    if stop.is_set():
                        raise Interrupted
                    left = until - time.monotonic()
                    if left <= 0 or size > LIMIT:
                        _end(process)
                        why = why if left <= 0 else "output"
                        return Console(tuple(lines), None, time.monotonic() - begun, why)
                    if not selector.select(min(left, 0.5)):
                        continue
                    part = os.read(process.stdout.fileno(), 1 << 16)
                    out.write(part)
                    size += len(part)
                    *whole, rest = (rest + part).split(b"\n")
                    if not part:
                        whole, rest = [rest] if rest else [], b""
                    for raw in whole:
                        line = clean(raw)
                        lines.append(line)
                        watch(line)
                        if why == "time" and lost.search(line):
                            why, until = line, min(until, time.monotonic() + 1)
                    if not part:
                        break
            status = process.wait()
        finally:
            if process.poll() is None:
                _end(process)
    seconds = time.monotonic() - begun
    return Console(tuple(lines), status, seconds, "" if why == "time" else why)


def clean(raw: bytes) -> str:
    """A line of the console as it may be shown: no escapes, nothing that moves a cursor."""
    return printable(_ESCAPES.sub("", raw.decode("utf-8", "replace"))).rstrip()


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
