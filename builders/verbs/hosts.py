# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs do that look at a Xen host and write its settings and its guests' files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.errors import BuildError
from builders.show import face
from builders.show.reports import Report
from builders.verbs.builds import known_form

if TYPE_CHECKING:
    from builders.pipeline.run import Run


def dom0_config(
    it: Run, hide: Sequence[str], asked: Mapping[str, Any], version: str, out: str
) -> Report:
    """Make the package of a host's settings; what was made and how to install it."""
    from builders.host import devices, dom0

    like = dom0.style(it.recipe)
    chosen = dom0.settings(hide, like=like, **asked)
    warnings = dom0.warnings(chosen, devices.memory())
    for warning in warnings:
        it.reporter.line(f"warning: {warning}")
    folder = Path(out) if out else it.folder / "host"
    package = dom0.package(it.recipe, chosen, folder, version=version)
    made, tells = face.near(package), dom0.tells(it.recipe, chosen)
    where = made if made.startswith("/") else f"./{made}"
    text = [
        made,
        *(f"  {line}" for line in tells),
        "",
        "on the host, with the packages of Xen and the kernel:",
        f"  apt install {where}",
    ]
    document = {
        "file": str(package.absolute()),
        "xen_options": chosen.xen_options,
        "linux_options": chosen.linux_options,
        "tells": tells,
        "warnings": warnings,
    }
    return Report("\n".join(text), document)


def domu_config(it: Run, asked: Mapping[str, Any], out: str) -> Report:
    """Write a guest file to `out`, or give its text where that is empty."""
    from builders.host import domu

    guest = domu.guest(it.recipe, domu.Asked(**asked))
    warnings = domu.warnings(guest)
    for warning in warnings:
        it.reporter.line(f"warning: {warning}")
    content = domu.text(guest)
    text = content.rstrip("\n")
    if out:
        domu.write(content, Path(out))
        text = f"{out}\n\nlook at it, then start the guest:\n  {guest.toolstack} create {out}"
    document = {
        "file": str(Path(out).absolute()) if out else None,
        "toolstack": guest.toolstack,
        "text": content,
        "warnings": warnings,
    }
    return Report(text, document)


def devices(form: str, sysfs: str) -> str:
    """The PCI devices that `sysfs` shows, and what may be hidden from dom0."""
    from builders.host import devices as host

    known_form(form)
    if not (Path(sysfs) / "bus").is_dir():
        raise BuildError(f"--sysfs {sysfs}: no sysfs there", hint="a folder that holds bus/pci")
    machine = host.look(Path(sysfs))
    return host.to_json(machine) if form == "json" else host.table(machine, face.width())
