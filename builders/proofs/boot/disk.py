# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks with a system of the suite on them: a Debian host that QEMU boots by its own GRUB, by
BIOS or by UEFI.

`base` has systemd, GRUB's packages and the suite's own kernel. `installed` has the finished
packages on top: in a boot of that disk grub-install put GRUB on it, and the suite's apt installed
them, so that their maintainer scripts, update-grub and grub-probe met a real disk. Nothing is
mounted on the box, and no program of the suite runs as its root: the root is bootstrapped in a
user namespace, and all else happens in QEMU. Both are stages: several boots take one disk, each
with an overlay.
"""

from __future__ import annotations

import hashlib
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

from builders.debkit.deb import Deb
from builders.debkit.deb.relations import read_relations
from builders.errors import BuildError, Exit, Interrupted
from builders.files import link, of_file, scratch
from builders.ground.engine import box, step
from builders.ground.suite import image, namespace
from builders.pipeline.stages import STAGES, Output, Store
from builders.proofs.boot import system
from builders.proofs.boot.system import Disk

if TYPE_CHECKING:
    from builders.pipeline.run import Run

BASE, INSTALLED = "host-disk", "host-installed"  # the stages
TOOLS = ("mmdebstrap", "mke2fs", "sgdisk", "mtools", "qemu-img", "qemu-system-x86_64")
DISK = "disk.qcow2"
SIZE = 3072  # MiB of the root; what is not used takes no room on the box
# GPT: a partition for GRUB's core image (BIOS boot), one for UEFI (FAT), then the root.
_BIOS, _UEFI, _ROOT = 2048, 4096, 4096 + (64 << 11)  # sectors of 512 bytes
# Of a host that an installer made, and what a proof asks with.
PACKAGES = (
    "systemd-sysv",
    "udev",
    "kmod",
    "initramfs-tools",
    "grub-pc",
    "grub-efi-amd64-bin",
    "linux-image-amd64",
    "e2fsprogs",
    "iproute2",
    "pciutils",
)
_TIMEOUT = 1200.0  # seconds, of a boot in which packages are installed; a busy box took over 600
_SATISFY = ("apt-get", "satisfy", "--yes", "--no-install-recommends", "--")
_TEMPLATES = Path(__file__).parent / "templates" / "disk"
_MADE = ("root.sh", "init.sh", "run.sh", "proof.service", "serial.cfg")


def needs(debs: Iterable[Path]) -> tuple[str, ...]:
    """What these packages need that none of them is, as relations of deb-control(5), sorted."""
    opened = [Deb.open(deb).control for deb in debs]
    own = {control["Package"] for control in opened}
    found = set()
    for control in opened:
        for field in ("Pre-Depends", "Depends"):
            for group in read_relations(field, control.get(field, ""))[0]:
                if not own & {one.name for one in group.choices}:
                    found.add(str(group))
    return tuple(sorted(found))


def base(run: Run, wanted: Sequence[str] = (), packages: Sequence[str] = ()) -> Disk:
    """A system of the suite with its own kernel, without GRUB on the disk; made where missing.

    wanted: relations, as `needs` gives them: the suite's apt installs what satisfies them, as the
    machine has no network later. packages: of the suite, installed beside PACKAGES. Raises
    BuildError.
    """
    names = sorted({*PACKAGES, *packages})
    inputs = {
        "root": image.root_key(run.recipe.suite),
        "packages": " ".join(names),
        "relations": ", ".join(wanted),
        "scripts": _digest(*(path.read_bytes() for path in map(_TEMPLATES.joinpath, _MADE))),
        "size": str(SIZE),
    }
    store = Store(run.folder / STAGES)
    made = store.find(BASE, inputs)
    if made is None:
        box.ensure_tools(TOOLS, run.reporter)
        with store.make(BASE, inputs) as making:
            _base(run, making.folder, names, wanted)
        made = store.made(BASE, inputs)
    return _disk(made)


def installed(run: Run, debs: Sequence[Path], on: Disk | None = None) -> Disk:
    """That host after its apt has installed `debs`; made where it is missing.

    on: the disk that they are installed on; by default the base with what they need. Raises
    BuildError (STEP) where apt or a maintainer script fails.
    """
    on = on or base(run, needs(debs))
    script = b"".join((_TEMPLATES / name).read_bytes() for name in ("grub.sh", "install.sh"))
    inputs = {
        "disk": on.path.parent.name,
        "packages": " ".join(f"{deb.name}={of_file(deb)}" for deb in debs),
        "script": _digest(script),
    }
    store = Store(run.folder / STAGES)
    made = store.find(INSTALLED, inputs)
    if made is None:
        box.ensure_tools(TOOLS, run.reporter)
        with store.make(INSTALLED, inputs) as making:
            # By a path that holds wherever the artifacts lie: both are stages of one folder.
            below = Path("..", "..", on.path.parent.parent.name, on.path.parent.name, DISK)
            system.overlay(making.folder / DISK, below)
            for file in (on.kernel, on.initrd):
                link(file, making.folder / file.name)
            _work(
                run,
                Disk(making.folder / DISK, on.kernel, on.initrd),
                "host-install",
                {"run.sh": script, **{deb.name: deb for deb in debs}},
                ("grub", "grub-efi", "menu", "install"),
            )
        made = store.made(INSTALLED, inputs)
    return _disk(made)


def _disk(made: Output) -> Disk:
    return Disk(made.folder / DISK, made.folder / "vmlinuz", made.folder / "initrd")


def _digest(*contents: bytes) -> str:
    return hashlib.sha256(b"\0".join(contents)).hexdigest()


def _base(run: Run, folder: Path, names: Sequence[str], wanted: Sequence[str]) -> None:
    satisfy = [*_SATISFY, ", ".join(wanted)]
    hooks = [f'--customize-hook=chroot "$1" {shlex.join(satisfy)}'] if wanted else []
    log = run.logs / "host-disk.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        task = stack.enter_context(run.reporter.work("host-disk"))
        out = stack.enter_context(log.open("wb"))
        scratched = stack.enter_context(scratch("dom0-debs-disk-"))
        # The root of the namespace is nobody here: it gets a folder that anybody may write to,
        # in one that only this user can list.
        scratched.chmod(0o711)
        inside = scratched / "disk"
        inside.mkdir()
        inside.chmod(0o777)
        for name in _MADE:
            (inside / name).write_bytes((_TEMPLATES / name).read_bytes())
        task.show("bootstrap", run.recipe.suite.name)
        root = scratched / "root.tar"
        command = stack.enter_context(image.bootstrapping(run, include=names, options=hooks))
        with root.open("wb") as tar:
            _ran(run, command, "mmdebstrap", log, out, stdout=tar)
        task.show("file system")
        sizes = [str(_ROOT * 512), str((SIZE << 10) - _ROOT // 2 - 1024)]
        with root.open("rb") as tar:
            made = namespace.inside(["/bin/sh", str(inside / "root.sh"), str(inside), *sizes])
            _ran(run, made, "mke2fs", log, out, stdin=tar)
        root.unlink()
        raw = scratched / "raw"
        (inside / "disk").rename(raw)
        parts = [
            *("-n", f"1:{_BIOS}:{_UEFI - 1}", "-t", "1:ef02"),
            *("-n", f"3:{_UEFI}:{_ROOT - 1}", "-t", "3:ef00"),
            *("-n", f"2:{_ROOT}", "-t", "2:8304"),
        ]
        _ran(run, [box.command("sgdisk") or "sgdisk", *parts, str(raw)], "sgdisk", log, out)
        at, sectors = f"{raw}@@{_UEFI * 512}", str(_ROOT - _UEFI)
        _ran(run, ["mformat", "-i", at, "-F", "-T", sectors, "::"], "mformat", log, out)
        convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(folder / DISK)]
        _ran(run, convert, "qemu-img", log, out)
        for name in ("vmlinuz", "initrd"):
            (folder / name).write_bytes((inside / name).read_bytes())


def _ran(
    run: Run,
    command: Sequence[str],
    name: str,
    log: Path,
    out: IO[bytes],
    *,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
) -> None:
    """Run a program of the box to its end; BuildError (ENGINE) where it fails."""
    with subprocess.Popen(
        # Its own session: the terminal's Ctrl-C reaches this tool alone, which then ends it.
        box.tethered_group(command) if stdin is None else box.tethered(command),
        stdin=stdin or subprocess.DEVNULL,
        stdout=stdout or out,
        stderr=out,
        env=namespace.environment(),
        cwd="/",
        start_new_session=True,
    ) as process:
        group = image.Group(process)
        run.live.add(group)
        try:
            process.wait()
        finally:
            run.live.discard(group)
            group.kill()
    if run.live.stopping.is_set():
        raise Interrupted
    if process.returncode:
        raise BuildError(
            f"making the disk of a host failed: {name} ended with {process.returncode}",
            hint="the log tells why; is the mirror right, and is there room? (./inv doctor)",
            log=log,
            excerpt=step.excerpt(log),
            exit=Exit.ENGINE,
        )


def _work(
    run: Run, disk: Disk, name: str, files: Mapping[str, bytes | Path], asked: Sequence[str]
) -> None:
    """Boot the disk without systemd, have it run run.sh, and keep what that writes to it.

    asked: questions that have to be answered with status 0.
    """
    seen = system.boot(run, disk, name, files, timeout=_TIMEOUT, start=system.WORK, keep=True)
    for question in asked:
        answer = seen.answers.get(question)
        if answer is None or answer.status:
            tail = "\n".join(answer.lines[-15:]) if answer else "no answer"
            raise BuildError(
                f"{name}: {question} failed on the disk of a host",
                hint="the log has the whole console",
                log=seen.log,
                excerpt=tail,
                exit=Exit.STEP,
            )
