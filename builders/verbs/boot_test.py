# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot the packages in QEMU, a network card hidden.

Exit status 1 where a check fails (docs/boot.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.verbs.building import OfBuilt
from builders.verbs.option import OfRecipe, Reported, option

if TYPE_CHECKING:
    from builders.pipeline.run import Run
    from builders.proofs.boot.firmware import Key
    from builders.show.outcome import Outcome

GUESTS = ("pv", "pvh", "hvm")
TOOLSTACKS = ("xl", "xm")


@dataclass(frozen=True, kw_only=True)
class Options(Reported, OfBuilt, OfRecipe):
    controls: bool = option("also boots that have to fail, each for its own reason", False)
    guest: str = option(
        "also hand the card to a guest; a pvh guest gets no card",
        choices=(*GUESTS, "all"),
        what="kind",
    )
    check: tuple[str, ...] = option(
        "only checks with this word in their name decide, such as assignable", (), value="WORD"
    )
    toolstack: str = option(
        "what makes the guest; xm is of Xen before 4.5",
        "xl",
        choices=TOOLSTACKS,
        what="toolstack",
    )
    firmware: str = option(
        "efi: boot by UEFI too, by GRUB, xen.efi and a unified image; secure: and with Secure Boot",
        "bios",
        choices=("bios", "efi", "secure"),
    )
    efi_key: str = option(
        "the private key for Secure Boot, a file or pkcs11:...",
        value="KEY",
        usual="one made for this run",
    )
    efi_cert: str = option("its certificate, in PEM", value="FILE")
    accel: str = option(
        "emulation is tcg; auto: kvm where this user may use it",
        "auto",
        choices=("auto", "kvm", "tcg"),
        what="accelerator",
    )
    timeout: float = option(
        "until a machine that hangs is ended",
        0.0,
        value="SECONDS",
        usual="120, and more with a guest where the first boot was slow",
    )


def run(options: Options) -> Outcome:
    from builders.verbs import builds

    return boot(builds.begun(options, reads=True), options)


def boot(it: Run, options: Options) -> Outcome:
    """Boot what was built in that run."""
    from builders.proofs.boot.checks import only
    from builders.proofs.boot.prove import prove
    from builders.show import boots

    guests = GUESTS if options.guest == "all" else tuple(filter(None, [options.guest]))
    if options.toolstack == "xm" and guests != ("pv",):
        raise BuildError("--toolstack xm makes PV guests only", hint="add --guest pv")
    made = prove(
        it,
        options.flavour,
        accel=options.accel,
        timeout=options.timeout,
        controls=options.controls,
        guests=guests,
        toolstack=options.toolstack,
        uefi=options.firmware != "bios",
        secure=options.firmware == "secure",
        key=_key(options),
    )
    return boots.boots(only(made, options.check))


def _key(options: Options) -> Key | None:
    """The key that was named; BuildError where it can't be one."""
    from builders.proofs.boot.firmware import Key

    private, certificate = options.efi_key, options.efi_cert
    if not private and not certificate:
        return None
    if options.firmware != "secure":
        raise BuildError("--efi-key: nothing is signed", hint="--firmware secure signs")
    if not private or not certificate:
        raise BuildError(
            "a signature takes both a key and its certificate",
            hint="--efi-key FILE --efi-cert FILE",
        )
    for path in (certificate, *([] if private.startswith("pkcs11:") else [private])):
        if not Path(path).is_file():
            raise BuildError(f"{path}: no such file", hint="name a file in PEM")
    return Key(private, Path(certificate))
