# SPDX-License-Identifier: GPL-2.0-or-later
"""Write the file of a guest for xl or xm.

Its PCI devices with it (docs/guest.md).
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.verbs.option import OfRecipe, Reported, option

if TYPE_CHECKING:
    from builders.pipeline.run import Run
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported, OfRecipe):
    name: str = option("what the guest is called", MISSING)
    memory: str = option("with its unit, such as 4096M", value="SIZE")
    vcpus: str = option("virtual CPUs", "1", value="NUMBER")
    disk: tuple[str, ...] = option(
        "a disk; FORMAT is raw, qcow2, vhd or cdrom", (), value="PATH[,FORMAT[,VDEV[,r or w]]]"
    )
    pci: tuple[str, ...] = option(
        "a PCI device, such as 02:00.0,permissive=1", (), value="ADDRESS[,OPTION=VALUE]..."
    )
    type: str = option("kind of guest", "hvm", choices=("hvm", "pv", "pvh"), checked=False)
    toolstack: str = option("xm only with Xen 4.2", "xl", choices=("xl", "xm"), checked=False)
    vnc: str = option(
        "where its screen is served, or no", value="ADDRESS[:DISPLAY]", usual="127.0.0.1"
    )
    bridge: tuple[str, ...] = option(
        "a network card on this bridge of the host", (), value="BRIDGE[,MAC]"
    )
    usb: tuple[str, ...] = option(
        "tablet, mouse, keyboard or host:VENDOR:PRODUCT", (), value="DEVICE"
    )
    kernel: str = option("of a PV or PVH guest", value="FILE", usual="pygrub looks on its disk")
    ramdisk: str = option("for that kernel", value="FILE")
    extra: str = option("options for that kernel", value="OPTIONS")
    windows: bool = option("local time, Hyper-V's interfaces and a tablet", False)
    gfx_passthru: bool = option(
        "the PCI graphics card is the guest's primary one (xl.cfg(5))", False
    )
    out: str = option("the file for it", value="FILE", usual="print it")


def run(options: Options) -> Outcome:
    from builders.verbs import builds

    return write(builds.begun(options, reads=True), options)


def write(it: Run, options: Options) -> Outcome:
    """Write the guest's file, or give its text where none is named."""
    from builders.host import domu
    from builders.show import hosts
    from builders.show.outcome import Outcome

    guest = domu.guest(
        it.recipe,
        domu.Asked(
            name=options.name,
            memory=options.memory,
            vcpus=options.vcpus,
            disks=options.disk,
            pci=options.pci,
            type=options.type,
            toolstack=options.toolstack,
            vnc=options.vnc,
            bridges=options.bridge,
            usb=options.usb,
            kernel=options.kernel,
            ramdisk=options.ramdisk,
            extra=options.extra,
            windows=options.windows,
            primary=options.gfx_passthru,
        ),
    )
    warnings = domu.warnings(guest)
    for warning in warnings:
        it.reporter.line(f"warning: {warning}")
    content, out = domu.text(guest), options.out
    text = content.rstrip("\n")
    if out:
        domu.write(content, Path(out))
        text = f"{out}\n\nlook at it, then start the guest:\n  {guest.toolstack} create {out}"
    file = str(Path(out).absolute()) if out else None
    return Outcome(hosts.GuestDocument(file, guest.toolstack, content, warnings), text)
