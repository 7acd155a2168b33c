# SPDX-License-Identifier: GPL-2.0-or-later
"""Make the package of this host's settings.

Hidden devices, dom0's memory, what boots (docs/host.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.verbs.option import OfRecipe, Reported, option

if TYPE_CHECKING:
    from builders.pipeline.run import Run
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported, OfRecipe):
    hide: tuple[str, ...] = option("a PCI device that dom0 leaves to guests", (), value="ADDRESS")
    dom0_mem: str = option("memory of dom0 with its unit, such as 4096M", value="SIZE")
    dom0_vcpus: str = option("virtual CPUs of dom0", value="NUMBER", usual="all")
    vnc_listen: str = option(
        "where xend's guests serve their screens (Xen 4.2)", value="ADDRESS", usual="127.0.0.1"
    )
    xen: tuple[str, ...] = option("one more option of Xen", (), value="OPTION[=VALUE]")
    linux: tuple[str, ...] = option("one more option of dom0's kernel", (), value="OPTION[=VALUE]")
    microcode: bool = option("have Xen load microcode from the initramfs", False)
    devices: str = option(
        "where the devices are looked up: a folder like /sys, a file of `devices`, or none",
        value="FOLDER",
        usual="/sys",
    )
    no_save: bool = option("shut guests down with the host, and do not save them", False)
    uki: bool = option("the host keeps a unified image for UEFI on its EFI system partition", False)
    efi_key: str = option(
        "the private key on the host that signs that image, for Secure Boot",
        value="KEY",
    )
    efi_cert: str = option("its certificate on the host", value="FILE")
    version: str = option("of the package", usual="1+ and a digest of the settings")
    out: str = option("the folder for the package", value="FOLDER", usual="artifacts/RECIPE/host")


def run(options: Options) -> Outcome:
    from builders.verbs import builds

    return package(builds.begun(options, reads=True), options)


def package(it: Run, options: Options) -> Outcome:
    """Make the package; what was made and how to install it."""
    from builders.host import devices, dom0
    from builders.host import options as known
    from builders.show import face, hosts
    from builders.show.outcome import Outcome

    settings = dom0.settings(
        options.hide,
        like=dom0.style(it.recipe),
        memory=options.dom0_mem,
        vcpus=options.dom0_vcpus,
        vnc=options.vnc_listen,
        save=not options.no_save,
        unified=options.uki,
        key=options.efi_key,
        certificate=options.efi_cert,
        xen=options.xen,
        linux=options.linux,
        microcode=options.microcode,
        known=known.of_tree(it) if options.xen else (),
        meant=dom0.meant(options.hide, options.devices or "/sys"),
    )
    warnings = dom0.warnings(settings, devices.memory(), options.devices or "this machine")
    for warning in warnings:
        it.reporter.line(f"warning: {warning}")
    folder = Path(options.out) if options.out else it.folder / "host"
    package = dom0.package(it.recipe, settings, folder, version=options.version)
    tells = dom0.tells(it.recipe, settings)
    text = [
        face.near(package),
        *(f"  {line}" for line in tells),
        "",
        f"on the host, which has {it.recipe.suite.name}, in a folder with this package, Xen's and",
        "the kernel's:",
        f"  apt install ./{package.name}",
    ]
    document = hosts.SettingsDocument(
        str(package.absolute()), settings.xen_options, settings.linux_options, tells, warnings
    )
    return Outcome(document, "\n".join(text))
