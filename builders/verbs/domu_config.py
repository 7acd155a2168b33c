# SPDX-License-Identifier: GPL-2.0-or-later
"""Write the file of a guest for xl or xm.

Its PCI devices with it (docs/guest.md).
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.verbs.option import OfRecipe, Reported, option

if TYPE_CHECKING:
    from builders.host.devices import Machine
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
    firmware: str = option(
        "seabios or ovmf, and a file of yours for it", value="NAME[,FILE]", usual="seabios"
    )
    mmio_hole: str = option(
        "MiB below 4 GiB for devices: a number, no, or all for 64-bit BARs too",
        value="SIZE",
        usual="what 32-bit BARs need",
    )
    devices: str = option(
        "the host's devices: what devices --format json wrote there", value="FILE"
    )
    sysfs: str = option(
        "or a folder of the host, laid out like /sys", value="FOLDER", usual="this machine"
    )
    out: str = option("the file for it", value="FILE", usual="print it")


def run(options: Options) -> Outcome:
    from builders.verbs import builds

    return write(builds.begun(options, reads=True), options)


def write(it: Run, options: Options) -> Outcome:
    """Write the guest's file, or give its text where none is named."""
    from builders.host import domu, handover
    from builders.show import face, hosts
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
            firmware=options.firmware,
            hole=options.mmio_hole,
        ),
    )
    advice, known = handover.Advice(), set()
    if guest.pci or options.devices or options.sysfs:
        machine, place = host(options)
        advice = handover.advise(guest, machine, place)
        known = {device.bdf for device in machine.devices}
    warnings = [*domu.warnings(guest, known), *advice.warnings]
    for kind, lines in (("warning", warnings), ("note", advice.notes)):
        for line in lines:
            it.reporter.line(f"{kind}: {face.hang(line, len(kind) + 2)}")
    content, out = domu.text(guest, advice.hole), options.out
    text = content.rstrip("\n")
    if out:
        domu.write(content, Path(out))
        text = f"{out}\n\nlook at it, then start the guest:\n  {guest.toolstack} create {out}"
    file = str(Path(out).absolute()) if out else None
    document = hosts.GuestDocument(
        file, guest.toolstack, content, warnings, advice.notes, advice.hole, advice.below
    )
    return Outcome(document, text)


def host(options: Options) -> tuple[Machine, str]:
    """The host's devices, and what they are known from; BuildError where that cannot be read."""
    from builders.host import listed
    from builders.host.devices import Machine
    from builders.verbs.devices import looked

    if options.devices and options.sysfs:
        raise BuildError("--devices and --sysfs: one host has one list", hint="give one of the two")
    if options.devices:
        return listed.read(Path(options.devices)), options.devices
    if options.sysfs or Path("/sys/bus").is_dir():
        return looked(options.sysfs or "/sys"), options.sysfs or "this machine"
    return Machine(()), "this machine"  # a container may have no sysfs
