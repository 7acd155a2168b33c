# SPDX-License-Identifier: GPL-2.0-or-later
"""Before a reboot: whether the devices that a package of settings hides are those that were meant.

What decides is the script that decides on the host, configs/dom0/dom0-check; it is given what the
package recorded, and a machine's sysfs or a copy of it. No program of the package is run.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from builders.debkit.deb import Deb, is_file
from builders.errors import BuildError
from builders.files import scratch
from builders.host import identity
from builders.host.dom0 import NAME, TEMPLATES
from builders.host.pci import Bdf
from builders.text import printable

_MEANT = f"/usr/share/{NAME}/meant"
_LARGEST = 64 << 10  # bytes of it; a device takes 80


@dataclass(frozen=True)
class Moved:
    """A device that is not the one that was meant, and why."""

    bdf: Bdf
    why: str


def moved(package: Path, sysfs: Path) -> tuple[Moved, ...]:
    """The hidden devices of a package that are others on the machine of `sysfs`.

    BuildError (USAGE) where it is no package of `dom0-config`, or an older one.
    """
    devices = _devices(package)
    with scratch("dom0-debs-devices-") as folder:
        (folder / "sys").symlink_to(sysfs.resolve())
        meant = folder / _MEANT[1:]
        meant.parent.mkdir(parents=True)
        meant.write_text("".join(f"{line}\n" for line in devices), encoding="ascii")
        done = subprocess.run(
            ["/bin/sh", str(TEMPLATES / "dom0-check"), "--wrong"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={"PATH": os.environ.get("PATH", ""), "DOM0_CHECK_ROOT": str(folder)},
            check=False,
        )
    found = []
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        address, _, why = line.partition(" ")
        if bdf := Bdf.parse(address):
            found.append(Moved(bdf, printable(why)))
    return tuple(found)


def _sound(line: str) -> bool:
    word, _, rest = line.partition(" ")
    address, _, meant = rest.partition(" ")
    bdf = Bdf.parse(address)
    known = meant == identity.NOTHING or identity.parse(meant) is not None
    return word == "device" and bdf is not None and str(bdf) == address and known


def _devices(package: Path) -> list[str]:
    try:
        for entry, content in Deb.open(package).entries():
            if entry.path == _MEANT and is_file(entry):
                lines = content.read(_LARGEST).decode("ascii", "replace").splitlines()
                devices = [line for line in lines if line.startswith("device")]
                if not all(map(_sound, devices)):
                    raise BuildError(
                        f"{printable(package.name)}: {_MEANT} is not as dom0-config writes it",
                        hint="make the package anew: ./inv dom0-config",
                    )
                return devices
    except OSError as error:
        raise BuildError(f"--check {package}: {error.strerror}", hint="name a .deb") from None
    raise BuildError(
        f"{printable(package.name)} has not recorded which devices are meant",
        hint="name a package that ./inv dom0-config made",
    )
