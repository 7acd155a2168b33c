# SPDX-License-Identifier: GPL-2.0-or-later
"""List this machine's PCI devices.

What goes together, and what dom0 can do without.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.verbs.option import Reported, option

if TYPE_CHECKING:
    from builders.host.devices import Device, Machine
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported):
    device: tuple[str, ...] = option(
        "show this one in full: BARs, reset, interrupts, link; JSON has that of all",
        (),
        value="ADDRESS",
    )
    names: str = option(
        "a list of names as in package pci.ids", value="FILE", usual="where Debian has it"
    )
    sysfs: str = option("a folder laid out like /sys, with proc beside it", "/sys", value="FOLDER")
    check: str = option(
        "say which hidden devices of this dom0-config package are not the ones that were meant",
        value="PACKAGE",
    )


def run(options: Options) -> Outcome:
    from builders.show import hosts

    if options.check:
        from builders.host import moved

        package = Path(options.check)
        return hosts.moved(package, moved.moved(package, folder(options.sysfs)))
    machine = looked(options.sysfs, options.names)
    return hosts.devices(machine, chosen(machine, options.device))


def looked(sysfs: str, ids: str = "") -> Machine:
    """The machine of a folder like /sys; BuildError where there is none, or no such list."""
    from builders.host import devices, pci

    root = folder(sysfs)
    if ids and not Path(ids).is_file():
        raise BuildError(f"--names {ids}: no such file", hint="the package pci.ids has one")
    return devices.look(root, [Path(ids)] if ids else pci.IDS)


def folder(sysfs: str) -> Path:
    """The folder like /sys; BuildError where it is none."""
    if not (Path(sysfs) / "bus").is_dir():
        raise BuildError(f"--sysfs {sysfs}: no sysfs there", hint="a folder that holds bus/pci")
    return Path(sysfs)


def chosen(machine: Machine, addresses: tuple[str, ...]) -> list[Device]:
    """The devices at these addresses; BuildError names each that is not there."""
    from builders.host.pci import read_all
    from builders.host.problems import Problems

    problems, known = Problems(), {device.bdf: device for device in machine.devices}
    bdfs = read_all(addresses, "--device", problems)
    for bdf in bdfs:
        if bdf not in known:
            problems.add(f"--device {bdf}: no such device here", "./inv devices lists all")
    problems.end()
    return [known[bdf] for bdf in bdfs]
