# SPDX-License-Identifier: GPL-2.0-or-later
"""The proof under UEFI: each way in which firmware comes to start Xen, with a hidden card.

GRUB loads xen.gz by multiboot2; the firmware starts xen.efi, which reads its configuration and
loads the kernel; or it starts one unified image, which the host's own script has made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from builders import ROOT
from builders.files import scratch
from builders.pipeline.plan import OUT
from builders.proofs.boot import firmware, initramfs, proof
from builders.proofs.boot.checks import Boot, Check, answers, checks
from builders.proofs.boot.firmware import BOOTED, Key, Uefi
from builders.proofs.boot.machine import Loaded, Options, boot, play
from builders.proofs.boot.parts import Parts, take

if TYPE_CHECKING:
    from builders.ground.suite.image import Image
    from builders.pipeline.artifacts import Package
    from builders.pipeline.run import Run

_GRUB = "grubx64.efi"
_GRUB_SCRIPT = Path(__file__).parent / "templates" / "grub.sh"
_MENU = """\
set timeout=0
menuentry xen {{
    multiboot2 /xen.gz placeholder {xen}
    module2 /vmlinuz placeholder {linux}
    module2 --nounzip /initrd
}}
"""
# docs/misc/efi.pandoc of Xen.
_XEN_CFG = """\
[global]
default=proof
[proof]
options={xen}
kernel=vmlinuz {linux}
ramdisk=initrd
"""
_REFUSALS = ("Access Denied", "Security Violation")  # in OVMF's words
_HEAD = 1 << 10  # bytes of a kernel's image by which it is found in another file
_UNIFY = ROOT / "configs" / "dom0" / "xen-uki"  # what the package of a host's settings has
_NO_TABLES = "RSDP was not found"  # what a kernel says that looks where a BIOS has them


@dataclass(frozen=True)
class Images:
    """What the firmware starts: GRUB of the suite; of the package xen.gz and xen.efi."""

    grub: Path
    packed: Path
    xen: Path


def images(run: Run, builder: Image, xen: Package, folder: Path) -> Images:
    """The images of a finished package and of its suite, those of the package in `folder`.

    Raises BuildError where the package has no xen.efi, or GRUB can't be had.
    """
    packed, _ = take(xen.path, r"/boot/xen-[0-9][^/]*\.gz", folder / "xen.gz")
    unified, _ = take(
        xen.path, r"(/usr/lib(64)?|/boot/efi)/.*xen-[0-9][^/]*\.efi", folder / "xen.efi"
    )
    return Images(_grub(run, builder), packed, unified)


def _grub(run: Run, builder: Image) -> Path:
    script = f"out={OUT} name={_GRUB}\n{_GRUB_SCRIPT.read_text(encoding='utf-8')}"
    made = initramfs.made_of_suite(
        run, builder, "grub-efi", ("grub-efi-amd64-bin", "grub-common"), script
    )
    return made / _GRUB


def by_grub(these: Images, loaded: Loaded, folder: Path) -> Uefi:
    """The disk has GRUB, its menu, and what that names."""
    return _disk(
        folder,
        {
            BOOTED: these.grub,
            "boot/grub/grub.cfg": _MENU.format(xen=loaded.xen, linux=loaded.linux).encode(),
            "xen.gz": these.packed,
            "vmlinuz": loaded.parts.kernel,
            "initrd": loaded.initrd,
        },
    )


def by_xen(these: Images, loaded: Loaded, folder: Path) -> Uefi:
    """The disk has xen.efi; its configuration has the name under which it is started."""
    return _disk(folder, _apart(these, loaded))


def _apart(these: Images, loaded: Loaded) -> dict[str, Path | bytes]:
    return {
        BOOTED: these.xen,
        "EFI/BOOT/BOOTX64.CFG": _XEN_CFG.format(xen=loaded.xen, linux=loaded.linux).encode(),
        "EFI/BOOT/vmlinuz": loaded.parts.kernel,
        "EFI/BOOT/initrd": loaded.initrd,
    }


def unified(these: Images, loaded: Loaded, folder: Path, key: Key | None = None) -> Path:
    """One image of all of it, made by the script that the host has, and signed with `key`."""
    config, out = folder / "xen.cfg", folder / "unified.efi"
    config.write_text(_XEN_CFG.format(xen=loaded.xen, linux=loaded.linux), encoding="utf-8")
    firmware.tool(
        *("/bin/sh", str(_UNIFY)),
        *("--xen", str(these.xen)),
        *("--kernel", str(loaded.parts.kernel)),
        *("--initrd", str(loaded.initrd)),
        *("--config", str(config)),
        *("--out", str(out)),
        *(("--key", key.private, "--cert", str(key.certificate)) if key else ()),
    )
    return out


def by_unified(these: Images, loaded: Loaded, folder: Path) -> Uefi:
    """The disk has one file."""
    return _disk(folder, {BOOTED: unified(these, loaded, folder)})


def _disk(folder: Path, files: dict[str, Path | bytes], keys: Path | None = None) -> Uefi:
    """The firmware with that disk. keys: a signature list, with which Secure Boot is on."""
    disk = firmware.boot_disk(folder / "esp", files)
    variables = firmware.variables(folder / "variables", [keys] if keys else [])
    return Uefi(disk, variables, secure=bool(keys))


_WAYS: dict[str, Callable[[Images, Loaded, Path], Uefi]] = {
    "boot-efi-grub": by_grub,
    "boot-efi-xen": by_xen,
    "boot-efi-unified": by_unified,
}


def prove(
    run: Run, builder: Image, these: Parts, xen: Package, *, accel: str, timeout: float
) -> list[Boot]:
    """Boot once in each way. Raises BuildError where one does not get to its end."""
    with scratch("dom0-debs-efi-") as folder:
        found = images(run, builder, xen, folder)

        def booted(name: str) -> Boot:
            options = Options(start=lambda loaded, inner: _WAYS[name](found, loaded, inner))
            return _booted(run, these, name, options, accel, timeout)

        return [booted(name) for name in _WAYS]


def prove_secure(
    run: Run,
    builder: Image,
    these: Parts,
    xen: Package,
    key: Key | None,
    *,
    accel: str,
    timeout: float,
) -> list[Boot]:
    """Boot under Secure Boot with a key of our own and no other: what is signed, and what is not.

    key: None makes one for this run. Signed, the unified image and xen.efi with its kernel have to
    boot; unsigned, or with one byte of it another one, the unified image has to be refused.
    """
    with scratch("dom0-debs-efi-") as folder:
        found = images(run, builder, xen, folder)
        key = key or firmware.new_key(folder)
        listed = key.listed(folder / "keys")

        def signed(loaded: Loaded, inner: Path) -> Uefi:
            return _disk(inner, {BOOTED: unified(found, loaded, inner, key)}, listed)

        def unsigned(loaded: Loaded, inner: Path) -> Uefi:
            return _disk(inner, {BOOTED: unified(found, loaded, inner)}, listed)

        def flipped(loaded: Loaded, inner: Path) -> Uefi:
            image = unified(found, loaded, inner, key)
            content = image.read_bytes()
            at = content.index(loaded.parts.kernel.read_bytes()[:_HEAD]) + _HEAD
            image.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            return _disk(inner, {BOOTED: image}, listed)

        def apart(loaded: Loaded, inner: Path) -> Uefi:
            kernel = key.sign(loaded.parts.kernel, inner / "vmlinuz.signed")
            image = key.sign(found.xen, inner / "xen.signed")
            parts = replace(loaded.parts, kernel=kernel)
            files = _apart(replace(found, xen=image), replace(loaded, parts=parts))
            return _disk(inner, files, listed)

        return [
            *(
                _booted(run, these, name, Options(start=start), accel, timeout)
                for name, start in (("boot-secure-unified", signed), ("boot-secure-xen", apart))
            ),
            *(
                _refused(run, these, name, Options(start=start), accel, timeout)
                for name, start in (
                    ("boot-secure-unsigned", unsigned),
                    ("boot-secure-changed", flipped),
                )
            ),
        ]


def _booted(
    run: Run, these: Parts, name: str, options: Options, accel: str, timeout: float
) -> Boot:
    console, log = boot(run, these, name, options, accel=accel, timeout=timeout)
    made = (*checks(console, these), *efi_checks(console.lines))
    booted = Boot(name, made, console.seconds, log)
    proof.write(booted, these.packages)
    return booted


def _refused(
    run: Run, these: Parts, name: str, options: Options, accel: str, timeout: float
) -> Boot:
    console, log = play(run, these, name, options, accel=accel, timeout=timeout)
    made = refusal(console.lines)
    booted = Boot(name, made, console.seconds, log, frozenset({made[0].name}))
    proof.write(booted, these.packages)
    return booted


def refusal(lines: tuple[str, ...]) -> tuple[Check, ...]:
    """What has to hold where the firmware starts nothing, and the first of it must not."""
    started = next((line for line in lines if "(XEN)" in line), "")
    said = next((line for line in lines if line.endswith(_REFUSALS)), "")
    return (
        Check("Xen is started", bool(started), started[:90] or "nothing of it"),
        Check("the firmware says why", bool(said), said[-60:] or "nothing"),
    )


def efi_checks(lines: tuple[str, ...]) -> tuple[Check, ...]:
    """What has to hold besides where UEFI started Xen."""
    said = answers(lines).get("firmware")
    told = said.text if said else "no answer"
    missed = next((line for line in lines if _NO_TABLES in line), "")
    return (
        Check("started by UEFI", told == "efi", told),
        Check("ACPI tables", not missed, missed.strip()[:90] or "found"),
    )
