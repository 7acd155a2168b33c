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
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported):
    sysfs: str = option("a folder laid out like /sys, with proc beside it", "/sys", value="FOLDER")


def run(options: Options) -> Outcome:
    from builders.host import devices
    from builders.show import hosts

    sysfs = Path(options.sysfs)
    if not (sysfs / "bus").is_dir():
        raise BuildError(
            f"--sysfs {options.sysfs}: no sysfs there", hint="a folder that holds bus/pci"
        )
    return hosts.devices(devices.look(sysfs))
