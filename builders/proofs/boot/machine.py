# SPDX-License-Identifier: GPL-2.0-or-later
"""One boot of the parts in QEMU, to its end or to an error that shows the console.

Nothing of this box runs inside: the tools come from the finished package, their libraries from
the suite. Every answer comes over the serial console, between marks that the initramfs sets.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.files import scratch
from builders.proofs.boot import cpio, modules, proof, qemu
from builders.proofs.boot.parts import Parts
from builders.proofs.boot.qemu import (
    CARDS,
    HIDDEN,
    OTHER,
    Card,
    Console,
    Machine,
    Multiboot,
    Start,
)

if TYPE_CHECKING:
    from builders.pipeline.run import Run

_INIT = Path(__file__).parent / "templates" / "dom0-init.sh"
_TAIL = 25  # lines of the console that an error shows
KVM_FAILS = r"KVM internal error|failed to set MSR|kvm_buf_set_msrs|failed to initialize kvm"
LOST = re.compile(
    rf"{KVM_FAILS}|Panic on CPU|Kernel panic|Attempted to kill init|too old to load a ram"
    r"|Could not construct d|^qemu-system-x86_64: (?!warning)|Not a Xen-ELF image"
    # Firmware that starts nothing waits for a key, and so does GRUB; Xen tells of a kernel.
    r"|BdsDxe: No bootable|: (Security Violation|Access Denied)$|Hardware Dom0 halted"
    r"|^error: (file|you need|no such)"
)


# Of the kernel: a module that is not signed by a key it knows is refused.
_ENFORCED = " module.sig_enforce=1"


@dataclass(frozen=True)
class Loaded:
    """What is loaded in one boot: the parts, the whole initramfs, and both command lines."""

    parts: Parts
    initrd: Path
    xen: str
    linux: str

    def multiboot(self) -> Multiboot:
        """QEMU loads it."""
        return Multiboot(self.parts.xen, self.parts.kernel, self.initrd, self.xen, self.linux)


@dataclass(frozen=True)
class Options:
    """One boot: what is written behind Xen and Linux, and files that are laid over the initramfs.

    A file proof/NAME.sh is run by dom0 after its own questions; it may use `ask NAME COMMAND`.
    hide: addresses with spaces between. tools: a compressed initramfs that is put behind that of
    the parts; None where there is none.
    """

    xen: str = "com1=115200,8n1 console=com1 dom0_mem=512M,max:512M loglvl=all"
    linux: str = "console=hvc0 earlyprintk=xen panic=-1"
    hide: str = HIDDEN
    files: tuple[cpio.File, ...] = ()
    cpu: str = "qemu64"
    cards: tuple[Card, ...] = CARDS
    tools: Path | None = None
    start: Callable[[Loaded, Path], Start] = lambda loaded, _: loaded.multiboot()

    @property
    def command_line(self) -> str:
        """Linux's, with the devices that are hidden."""
        hidden = "".join(f"({address})" for address in self.hide.split())
        return f"{self.linux} xen-pciback.hide={hidden}" if hidden else self.linux

    @property
    def meant(self) -> tuple[str, ...]:
        """The cards that are to be hidden, by their addresses: whether they are is the question."""
        return tuple(card.address for card in self.cards if card.address != OTHER)


def boot(
    run: Run, parts: Parts, name: str, options: Options, *, accel: str, timeout: float
) -> tuple[Console, Path]:
    """Boot once; the console and its log. BuildError (STEP) where it never got to its end.

    A machine that hangs is ended after `timeout` seconds, one that panics at once.
    """
    console, log = play(run, parts, name, options, accel=accel, timeout=timeout)
    if "@@off" not in console.lines:
        raise lost(name, console, log, timeout)
    return console, log


def play(
    run: Run, parts: Parts, name: str, options: Options, *, accel: str, timeout: float
) -> tuple[Console, Path]:
    """The same, wherever it got to."""
    log = run.logs / f"{name}.log"
    proof.keep_good(log)
    files = (
        cpio.File("init", _INIT.read_bytes()),
        cpio.File("boot/config", parts.config, 0o644),
        cpio.File("boot/hidden", "".join(f"{x}\n" for x in options.meant).encode(), 0o644),
        *modules.files(parts.drivers, "modules"),
        *options.files,
    )
    with ExitStack() as stack:
        folder = stack.enter_context(scratch("dom0-debs-machine-"))
        initrd = folder / "initrd"
        with initrd.open("wb") as out:
            for part in (parts.initrd, *([options.tools] if options.tools else [])):
                out.write(part.read_bytes())
            out.write(gzip.compress(cpio.archive(files), 1))
        task = stack.enter_context(run.reporter.work(name))
        linux = options.command_line + (_ENFORCED if parts.signed else "")
        start = options.start(Loaded(parts, initrd, options.xen, linux), folder)
        machine = Machine(start, accel, cpu=options.cpu, cards=options.cards)
        console = qemu.run(
            machine,
            log,
            timeout=timeout,
            lost=LOST,
            watch=lambda line: task.show("boot", line),
            stop=run.live.stopping,
        )
    return console, log


def lost(name: str, console: Console, log: Path, timeout: float) -> BuildError:
    tail = "\n".join(console.lines[-_TAIL:])
    if console.why == "time":
        what = f"{name}: the machine did not get to its end in {timeout:.0f} s"
        hint = "a busy box needs longer: --timeout SECONDS"
    elif console.why == "output":
        what, hint = f"{name}: the machine said too much", "the log tells what it repeats"
    elif console.why:
        what, hint = f"{name}: {console.why.strip()}", "the log has the whole console"
    else:
        what = f"{name}: the machine ended early, with status {console.status}"
        hint = "the log has the whole console"
    return BuildError(what, hint=hint, log=log, excerpt=tail, exit=Exit.STEP)
