# SPDX-License-Identifier: GPL-2.0-or-later
"""The proof in QEMU: the finished hypervisor and kernel boot, and a device can be hidden."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from builders.debkit.deb import Deb
from builders.errors import BuildError, Exit
from builders.pipeline import doctor, durations
from builders.pipeline.current import Current, current, named, nothing_built
from builders.pipeline.graph import Pipeline
from builders.pipeline.recipe import TARGETS
from builders.pipeline.supplies import Supplies
from builders.proofs.boot import efi, firmware, hvm, initramfs, proof, qemu
from builders.proofs.boot.checks import Boot, checks
from builders.proofs.boot.firmware import Key
from builders.proofs.boot.guests import prove_guest
from builders.proofs.boot.machine import KVM_FAILS, Options, boot
from builders.proofs.boot.parts import Parts, chosen, parts
from builders.proofs.boot.qemu import EMPTY

if TYPE_CHECKING:
    from builders.pipeline.artifacts import Package
    from builders.pipeline.run import Run

TIMEOUT = 120.0  # seconds; an idle box needs under 15
# A later boot may take as many times what the first one took; one with an HVM guest takes 15 to 30.
_FACTOR = 60
CONTROL = "control"  # the flavour without the PCI back end


def prove(
    run: Run,
    flavour: str,
    *,
    accel: str = "auto",
    timeout: float = 0,
    controls: bool = False,
    guests: Sequence[str] = (),
    toolstack: str = "xl",
    uefi: bool = False,
    secure: bool = False,
    key: Key | None = None,
) -> list[Boot]:
    """Boot the packages that were built and check all that the proof asserts.

    flavour: of the kernel, as `current` takes it.
    timeout: seconds of one boot; 0 is TIMEOUT, and more for the later ones where the first showed
    that this machine is slow.
    controls: boot three times more, once with nothing hidden, once with an address where there
    is no device, and once with a kernel that has no PCI back end: each has to fail in its way. With
    an HVM guest three times more again (`hvm.prove_controls`).
    guests: kinds of guest, each tried in a boot of its own. uefi: boot by UEFI too, in each way.
    secure: and under Secure Boot, signed with `key`, or with one that is made for it.
    toolstack: what makes the guests, xl or xm.
    Raises BuildError where a machine hangs or panics, or something can't be built.
    """
    qemu.accelerator(accel)
    built = current(run, flavour)
    run = built.run
    _whole(built)
    work = [
        "boot-test",
        *(["--controls"] if controls else []),
        *guests,
        *([toolstack] if toolstack != "xl" else []),
        *(["uefi"] if uefi else []),
        *(["secure"] if secure else []),
    ]
    with run.alone(), durations.timed(run, " ".join(work)):
        packages = built.packages()
        xen, kernel = chosen(packages, r"xen-"), chosen(packages, r"linux-image-")
        if toolstack == "xm":
            has_xm(xen)
        qemu.ensure(run.reporter)
        if uefi:
            firmware.ensure(run.reporter, secure=secure)
        doctor.for_image(run)
        builder = Supplies(run).image()
        xend = None
        if toolstack == "xm":
            xend = initramfs.xend(run, builder, xen.path, xen.sha256)
        with parts(run, builder, xen, kernel) as these:
            accel, first = _first(run, these, accel, timeout or TIMEOUT)
            timeout = later(timeout, first.seconds)
            boots = [first]
            for kind in guests:
                if kind == hvm.KIND:
                    model = initramfs.device_model(run, builder, xen.path, xen.sha256)
                    tried = hvm.prove_guest(run, these, model, accel=accel, timeout=timeout)
                    if controls:
                        tried += hvm.prove_controls(run, these, model, accel=accel, timeout=timeout)
                    boots += tried
                else:
                    guest = prove_guest(run, these, kind, accel=accel, timeout=timeout, xend=xend)
                    boots.append(guest)
            if uefi:
                boots += efi.prove(run, builder, these, xen, accel=accel, timeout=timeout)
            if secure:
                boots += efi.prove_secure(
                    run, builder, these, xen, key, accel=accel, timeout=timeout
                )
            if not controls:
                return boots
            unbound = {"hidden card is assignable", "hidden card's driver"}
            for name, hide in (("boot-nothing-hidden", ""), ("boot-wrong-address", EMPTY)):
                options = Options(hide=hide)
                boots.append(_checked(run, these, name, options, unbound, accel, timeout))
        # In a folder of its own: it is no package of the recipe's.
        aside = dataclasses.replace(run, folder=run.folder / CONTROL)
        without = chosen(Pipeline(aside, CONTROL, ["kernel"]).build(), r"linux-image-")
        failing = {*unbound, "kernel option"}
        with parts(run, builder, xen, without) as these:
            name = "boot-without-back-end"
            boots.append(_checked(run, these, name, Options(), failing, accel, timeout))
    return boots


def later(timeout: float, first: float) -> float:
    """How many seconds each later boot has, where the first one took `first`.

    timeout: what was asked for; 0 leaves it to what this machine can do.
    """
    return timeout or max(TIMEOUT, _FACTOR * first)


def _whole(built: Current) -> None:
    """BuildError where there is no hypervisor or no kernel to boot."""
    recipe = built.run.recipe
    there = {target.partition("-")[0] for target in built.targets}
    for target in TARGETS:
        if target not in recipe.targets:
            raise BuildError(
                f"recipe {recipe.name} has no {target}: a boot takes a hypervisor and a kernel",
                hint=f"add a table [{target}] to it; without one, `check` and `install-test` try "
                "what it has",
            )
        if target not in there:
            raise nothing_built(built.run.folder, named(built.run), target)


def has_xm(xen: Package) -> None:
    """BuildError where a package of Xen has no xm."""
    if not any(entry.path == "/usr/sbin/xm" for entry, _ in Deb.open(xen.path).entries()):
        raise BuildError(
            f"{xen.path.name} has no xm, which is of Xen before 4.5",
            hint="leave --toolstack out: xl makes the guest then",
        )


def _first(run: Run, these: Parts, accel: str, timeout: float) -> tuple[str, Boot]:
    """The first boot, and the accelerator that did it.

    A machine may have a KVM that does not work, as virtual ones do, or a processor that an old
    Xen hangs on; unless KVM was asked for by name, the processor is emulated then.
    """
    chosen = qemu.accelerator(accel)
    try:
        return chosen, _checked(run, these, "boot", Options(), set(), chosen, timeout)
    except BuildError as error:
        if accel != "auto" or chosen != "kvm" or error.exit != Exit.STEP:
            raise
        broken = re.search(KVM_FAILS, error.message)
        why = "KVM is here and does not work" if broken else f"with KVM, {error.message}"
        run.reporter.line(f"boot: {why}; the processor is emulated")
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
    made = Boot(
        name, checks(console, these, options.meant), console.seconds, log, frozenset(wanted)
    )
    proof.write(made, these.packages)
    return made
