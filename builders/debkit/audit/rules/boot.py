# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on /boot."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builders.debkit import deb, kconfig
from builders.debkit.audit.facts import Facts
from builders.debkit.audit.model import Found, Needs, Severity, rule
from builders.debkit.deb.kernels import INITRAMFS, modular


@rule(
    "stray-boot-link",
    Severity.ERROR,
    explanation="A link in /boot leads to a hypervisor that lies there under its own name. GRUB"
    " offers both, and may choose the link as the newest.",
    reference="/etc/grub.d/20_linux_xen",
    remedy="name the link under remove in the recipe's corrections",
    needs=Needs.MEMBERS,
)
def _stray_boot_link(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        if entry.info.issym() and re.fullmatch(r"/boot/xen[^/]*", entry.path):
            yield Found(f"links to {entry.info.linkname}, and GRUB offers both", entry.path)


@rule(
    "xen-syms-in-boot",
    Severity.ERROR,
    explanation="The hypervisor with its symbols does not boot, but 20_linux_xen of older GRUBs"
    " offers it.",
    reference="/etc/grub.d/20_linux_xen",
    remedy="name it under remove in the recipe's corrections",
    needs=Needs.MEMBERS,
)
def _xen_syms(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        if deb.is_file(entry) and entry.path.startswith("/boot/xen-syms"):
            yield Found("GRUB may offer it as a hypervisor", entry.path)


@rule(
    "initramfs-tool-missing",
    Severity.WARNING,
    explanation="A kernel whose drivers are modules asks for nothing that makes an initramfs. On"
    " a host without such a tool it does not find its root.",
    reference="Policy 7.2; Debian's own linux-image packages",
    remedy="Depends: kmod, initramfs-tools | linux-initramfs-tool",
    needs=Needs.MEMBERS,
)
def _initramfs_tool(facts: Facts) -> Iterator[Found]:
    if facts.relations("Pre-Depends", "Depends", "Recommends").keys() & set(INITRAMFS):
        return
    for version, count in modular(entry.path for entry in facts.entries).items():
        yield Found(f"{count} modules of {version}, and nothing that makes an initramfs for them")


@rule(
    "kernel-option",
    Severity.ERROR,
    explanation="The configuration of a kernel differs from what the recipe expects, or a dom0"
    " kernel cannot hand PCI devices to guests.",
    reference="the recipe's [audit.kernel_options]; xen-pciback",
    remedy="set the option in a fragment of the flavour, and look for what it depends on",
)
def _kernel_option(facts: Facts) -> Iterator[Found]:
    texts = {p: t for p, t in facts.texts.items() if p.startswith("/boot/config-")}
    kernels = [e.path for e in facts.entries if re.match(r"/boot/vmlinu[xz]-", e.path)]
    if kernels and not texts and facts.expectations.kernel_options:
        yield Found("no /boot/config-* says how this kernel was configured", kernels[0])
    for path, text in texts.items():
        options = kconfig.assigned(text)
        for name, wanted in facts.expectations.kernel_options.items():
            option = name if name.startswith("CONFIG_") else f"CONFIG_{name}"
            value = options.get(option, "n")
            if value.strip('"') != wanted.strip('"'):
                shown = "not set" if value == "n" else value
                yield Found(f"{option} is {shown}, not {wanted}", path)
        dom0 = "y" in (options.get("CONFIG_XEN_DOM0"), options.get("CONFIG_XEN_PV_DOM0"))
        backend = "CONFIG_XEN_PCIDEV_BACKEND"
        told = {backend, backend.removeprefix("CONFIG_")} & set(facts.expectations.kernel_options)
        if dom0 and backend not in options and not told:
            yield Found(
                f"{backend} is not set, so that this dom0 cannot hand PCI devices to guests",
                path,
                Severity.WARNING,
            )
