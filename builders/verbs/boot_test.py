# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot the packages in QEMU, a network card hidden.

Exit status 1 where a check fails (docs/boot.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.verbs.building import OfBuilt
from builders.verbs.option import OfRecipe, Reported, option

if TYPE_CHECKING:
    from builders.pipeline.run import Run
    from builders.show.outcome import Outcome

GUESTS = ("pv", "pvh")
TOOLSTACKS = ("xl", "xm")


@dataclass(frozen=True, kw_only=True)
class Options(Reported, OfBuilt, OfRecipe):
    controls: bool = option("also three boots that have to fail, each for its own reason", False)
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
    accel: str = option(
        "emulation is tcg; auto: kvm where this user may use it",
        "auto",
        choices=("auto", "kvm", "tcg"),
        what="accelerator",
    )
    timeout: float = option("until a machine that hangs is ended", 120.0, value="SECONDS")


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
    )
    return boots.boots(only(made, options.check))
