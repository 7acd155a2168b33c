# SPDX-License-Identifier: GPL-2.0-or-later
"""The proof in QEMU: the finished hypervisor and kernel boot, and a device can be hidden.

Nothing of this box runs inside: the tools come from the finished package, their libraries from
the suite. Every answer comes over the serial console, between marks that the initramfs sets.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from builders import cpio, initramfs, proof, qemu
from builders.deb import Deb, is_file
from builders.errors import BuildError, Exit
from builders.kernel import options
from builders.pipeline import Package, Pipeline
from builders.qemu import Console, Machine

if TYPE_CHECKING:
    from builders.run import Run

HIDDEN, OTHER, EMPTY = "0000:00:04.0", "0000:00:05.0", "0000:00:09.0"
DRIVER = "e1000"
BACKEND = "CONFIG_XEN_PCIDEV_BACKEND"
TIMEOUT = 120.0  # seconds; an idle box needs under 15
CONTROL = "control"  # the flavour without the PCI back end
_INIT = Path(__file__).parent / "templates" / "dom0-init.sh"
_TAIL = 25  # lines of the console that an error shows
_KVM_FAILS = r"KVM internal error|failed to set MSR|kvm_buf_set_msrs|failed to initialize kvm"
_LOST = re.compile(
    rf"{_KVM_FAILS}|Panic on CPU|Kernel panic|Attempted to kill init|too old to load a ram"
    r"|Could not construct d|^qemu-system-x86_64: (?!warning)|Not a Xen-ELF image"
)


@dataclass(frozen=True)
class Parts:
    """What is booted: files of this machine, and what they should say of themselves.

    version: of the hypervisor, such as 4.17.5. release: of the kernel, as uname(1) has it.
    packages: file name -> sha256 of what they were taken from.
    """

    xen: Path
    kernel: Path
    initrd: Path
    version: str
    release: str
    packages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """One boot: what is written behind Xen and Linux, and files that are laid over the initramfs.

    A file proof/NAME.sh is run by dom0 after its own questions; it may use `ask NAME COMMAND`.
    """

    xen: str = "com1=115200,8n1 console=com1 dom0_mem=512M,max:512M loglvl=all"
    linux: str = "console=hvc0 earlyprintk=xen panic=-1"
    hide: str = HIDDEN
    files: tuple[cpio.File, ...] = ()
    cpu: str = "qemu64"

    @property
    def command_line(self) -> str:
        """Linux's, with the device that is hidden."""
        return f"{self.linux} xen-pciback.hide=({self.hide})" if self.hide else self.linux


@dataclass(frozen=True)
class Check:
    """One thing that was asserted: whether it holds, and what was seen."""

    name: str
    good: bool
    seen: str


@dataclass(frozen=True)
class Boot:
    """One boot: its checks, how long it took in seconds, and its whole console.

    wanted: names of the checks that must fail; a negative control has some.
    """

    name: str
    checks: tuple[Check, ...]
    seconds: float
    log: Path
    wanted: frozenset[str] = field(default_factory=frozenset)

    @property
    def good(self) -> bool:
        """Whether all hold that should, and just those fail that must."""
        return {check.name for check in self.checks if not check.good} == self.wanted


# What the console says


@dataclass(frozen=True)
class Answer:
    """What one command in dom0 said, and its status."""

    status: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.lines).strip()


def answers(lines: Sequence[str]) -> dict[str, Answer]:
    """The answers between the marks, by name; one that has no end is left out.

    A line of the hypervisor may come between the lines of dom0: it is no part of an answer.
    """
    found: dict[str, Answer] = {}
    name: str | None = None
    said: list[str] = []
    for line in lines:
        if match := re.search(r"@@begin (\S+)$", line):
            name, said = match[1], []
        elif (match := re.search(r"@@end (\S+) (\d+)$", line)) and name == match[1]:
            found[match[1]] = Answer(int(match[2]), tuple(said))
            name = None
        elif name and not line.startswith("(XEN)"):
            said.append(line)
    return found


def checks(console: Console, parts: Parts) -> tuple[Check, ...]:
    """What the proof asserts of a console."""
    said = answers(console.lines)

    def answer(name: str) -> Answer:
        return said.get(name, Answer(-1, ("no answer",)))

    banner = next((x for x in console.lines if "Xen version " in x), "no banner")
    version = re.search(r"Xen version (\S+)", banner)
    info, listed = answer("info"), answer("list")
    assignable, hidden, other = answer("assignable"), answer("hidden"), answer("other")
    off = "@@off" in console.lines and console.status == 0 and not console.why
    return (
        Check(
            "hypervisor",
            bool(version) and version[1] == parts.version if version else False,
            banner.removeprefix("(XEN)").strip()[:60],
        ),
        Check("dom0", answer("uname").text == parts.release, answer("uname").text),
        Check(
            "xl info",
            info.status == 0 and any(x.startswith("xen_version ") for x in info.lines),
            next((x for x in info.lines if x.startswith("xen_version ")), info.text)[:60],
        ),
        Check(
            "xl list",
            listed.status == 0 and "Domain-0" in listed.text,
            next((x for x in listed.lines if "Domain-0" in x), listed.text)[:60],
        ),
        Check("kernel option", answer("option").text == f"{BACKEND}=y", answer("option").text),
        Check(
            "hidden card is assignable",
            assignable.status == 0 and HIDDEN in assignable.text.split(),
            assignable.text[:60] or "none is",
        ),
        Check("hidden card's driver", hidden.text == "pciback", hidden.text),
        Check("other card's driver", other.text == DRIVER, other.text),
        Check("power-off", off, "clean" if off else console.why or f"status {console.status}"),
    )


# The files that are booted


@contextmanager
def parts(run: Run, pipeline: Pipeline, xen: Package, kernel: Package) -> Iterator[Parts]:
    """The parts of two finished packages, unpacked for as long as the block runs."""
    initrd = initramfs.make(run, pipeline.image(), xen.path, xen.sha256)
    with tempfile.TemporaryDirectory(prefix="dom0-debs-boot-") as name:
        folder = Path(name)
        hypervisor, found = _take(xen.path, r"/boot/xen-[0-9][^/]*\.gz", folder / "xen")
        try:
            hypervisor.write_bytes(gzip.decompress(hypervisor.read_bytes()))
        except (OSError, EOFError, zlib.error) as error:
            raise BuildError(f"{xen.path.name}: {found}: {error}", hint="build it again") from None
        linux, _ = _take(kernel.path, r"/boot/vmlinu[xz]-[^/]+", folder / "linux")
        config, _ = _take(kernel.path, r"/boot/config-[^/]+", folder / "config")
        _built_in(kernel.package, config.read_text(encoding="utf-8", errors="replace"))
        release = kernel.package.removeprefix("linux-image-")
        digests = {package.path.name: package.sha256 for package in (xen, kernel)}
        yield Parts(hypervisor, linux, initrd, _upstream(xen.version), release, digests)


def _package(packages: Sequence[Package], prefix: str) -> Package:
    for package in packages:
        if re.match(prefix, package.package) and not package.package.endswith(("-dbgsym", "-dbg")):
            return package
    raise BuildError(f"there is no package {prefix}* to boot", hint="build both: build-all")


# Without these the first process can't ask anything.
_NEEDED = ("BLK_DEV_INITRD", "DEVTMPFS", "XENFS", "XEN_PRIVCMD", "XEN_DEV_EVTCHN", "E1000")


def _built_in(name: str, config: str) -> None:
    """BuildError where the kernel has as a module, or not at all, what the proof has to have."""
    there = options(config)
    lacking = [f"CONFIG_{o}" for o in _NEEDED if there.get(f"CONFIG_{o}") != "y"]
    if lacking:
        raise BuildError(
            f"{name} cannot be booted here: {', '.join(lacking)} is not built in, and the proof's"
            " initramfs has no modules",
            hint="--flavour minimal has all of it built in",
        )


def _upstream(version: str) -> str:
    """4.17.5 of 4.17.5+dom0.1, 4.20.4-pre of 4.20.4-pre+dom0.1: what the hypervisor says."""
    match = re.match(r"(?:\d+:)?(\d+\.\d+(?:\.\d+)?(?:-(?:pre|rc\d*|unstable))?)", version)
    return match[1] if match else version


def _take(package: Path, pattern: str, target: Path) -> tuple[Path, str]:
    """The one file of a package whose path matches, as `target`; its path in the package."""
    for entry, content in Deb.open(package).entries():
        if is_file(entry) and re.fullmatch(pattern, entry.path):
            with target.open("wb") as out:
                while part := content.chunk():
                    out.write(part)
            return target, entry.path
    raise BuildError(f"{package.name} has no {pattern}", hint="is it the right package?")


# Booting


def boot(
    run: Run, parts: Parts, name: str, options: Options, *, accel: str, timeout: float
) -> tuple[Console, Path]:
    """Boot once; the console and its log. BuildError (STEP) where it never got to its end.

    A machine that hangs is ended after `timeout` seconds, one that panics at once.
    """
    log = run.logs / f"{name}.log"
    files = (cpio.File("init", _INIT.read_bytes()), *options.files)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dom0-debs-boot-")))
        initrd = folder / "initrd"
        initrd.write_bytes(parts.initrd.read_bytes() + gzip.compress(cpio.archive(files), 1))
        task = stack.enter_context(run.reporter.work(name))
        machine = Machine(
            parts.xen,
            parts.kernel,
            initrd,
            options.xen,
            options.command_line,
            accel,
            cpu=options.cpu,
        )
        console = qemu.run(
            machine,
            log,
            timeout=timeout,
            lost=_LOST,
            watch=lambda line: task.show("boot", line),
            stop=run.live.stopping,
        )
    if "@@off" not in console.lines:
        raise _lost(name, console, log, timeout)
    return console, log


def _lost(name: str, console: Console, log: Path, timeout: float) -> BuildError:
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


def prove(
    run: Run,
    flavour: str,
    *,
    accel: str = "auto",
    timeout: float = TIMEOUT,
    controls: bool = False,
    guests: Sequence[str] = (),
) -> list[Boot]:
    """Boot the recipe's packages and check all that the proof asserts.

    controls: boot three times more, once with nothing hidden, once with an address where there
    is no device, and once with a kernel that has no PCI back end: each has to fail in its way.
    guests: kinds of guest, each tried in a boot of its own.
    Raises BuildError where a machine hangs or panics, or something can't be built.
    """
    from builders.guests import prove_guest

    qemu.accelerator(accel)
    qemu.ensure(run.reporter)
    with run.alone():
        pipeline = Pipeline(run, flavour)
        packages = pipeline.build()
        xen, kernel = _package(packages, r"xen-"), _package(packages, r"linux-image-")
        with parts(run, pipeline, xen, kernel) as these:
            chosen, first = _first(run, these, accel, timeout)
            boots = [first]
            for kind in guests:
                boots.append(prove_guest(run, these, kind, accel=chosen, timeout=timeout))
            if not controls:
                return boots
            unbound = {"hidden card is assignable", "hidden card's driver"}
            for name, hide in (("boot-nothing-hidden", ""), ("boot-wrong-address", EMPTY)):
                options = Options(hide=hide)
                boots.append(_checked(run, these, name, options, unbound, chosen, timeout))
        # In a folder of its own: it is no package of the recipe's.
        aside = dataclasses.replace(run, folder=run.folder / CONTROL)
        (without,) = Pipeline(aside, CONTROL, ["kernel"]).build()
        failing = {*unbound, "kernel option"}
        with parts(run, pipeline, xen, without) as these:
            name = "boot-without-back-end"
            boots.append(_checked(run, these, name, Options(), failing, chosen, timeout))
    return boots


def _first(run: Run, these: Parts, accel: str, timeout: float) -> tuple[str, Boot]:
    """The first boot, and the accelerator that did it.

    A machine may have a KVM that does not work, as virtual ones do; unless it was asked for
    by name, it is emulated then.
    """
    chosen = qemu.accelerator(accel)
    try:
        return chosen, _checked(run, these, "boot", Options(), set(), chosen, timeout)
    except BuildError as error:
        if accel != "auto" or chosen != "kvm" or not re.search(_KVM_FAILS, error.message):
            raise
        run.reporter.line("boot: KVM is here and does not work; the processor is emulated")
    return "tcg", _checked(run, these, "boot", Options(), set(), "tcg", timeout)


def _checked(
    run: Run,
    these: Parts,
    name: str,
    options: Options,
    wanted: set[str],
    accel: str,
    timeout: float,
) -> Boot:
    console, log = boot(run, these, name, options, accel=accel, timeout=timeout)
    made = Boot(name, checks(console, these), console.seconds, log, frozenset(wanted))
    proof.write(made, these.packages)
    return made


# What is said about it


def report(boots: Sequence[Boot]) -> str:
    """The boots and their checks, for people."""
    lines = []
    for each in boots:
        kind = "a negative control" if each.wanted else "the proof"
        state = "passed" if each.good else "FAILED"
        lines.append(f"{each.name}: {state}, {kind}, {each.seconds:.1f} s")
        for check in each.checks:
            fails = "fails, as it must" if check.name in each.wanted else "FAILS"
            holds = "HOLDS, and must not" if check.name in each.wanted else "holds"
            lines.append(f"  {check.name:<28}{holds if check.good else fails:<20}{check.seen}")
        if not each.good:
            lines.append(f"  the whole console: {each.log}")
    return "\n".join(lines)


def verb(
    run: Run,
    flavour: str,
    accel: str,
    timeout: float,
    form: str,
    *,
    controls: bool = False,
    guest: str = "",
) -> tuple[str, int]:
    """What `prove` found, as a table or json, and the exit status: 1 where a check failed."""
    if form not in ("table", "json"):
        raise BuildError(f"--format {form}: no such format", hint="table or json")
    from builders.guests import KINDS

    wanted = KINDS if guest == "all" else [guest] if guest else []
    if guest and not set(wanted) <= set(KINDS):
        known = ", ".join(KINDS)
        raise BuildError(f"--guest {guest}: no such kind", hint=f"one of: {known}, all")
    boots = prove(run, flavour, accel=accel, timeout=timeout, controls=controls, guests=wanted)
    good = all(each.good for each in boots)
    if form == "table":
        return report(boots), Exit.DONE if good else Exit.AUDIT
    documents = [
        {
            "name": each.name,
            "good": each.good,
            "seconds": round(each.seconds, 1),
            "log": str(each.log),
            "must_fail": sorted(each.wanted),
            "checks": [asdict(check) for check in each.checks],
        }
        for each in boots
    ]
    return json.dumps(documents, indent=2), Exit.DONE if good else Exit.AUDIT
