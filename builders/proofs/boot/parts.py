# SPDX-License-Identifier: GPL-2.0-or-later
"""What is booted: the hypervisor and the kernel of two finished packages, and an initramfs."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from builders.debkit.deb import Deb, is_file
from builders.debkit.finish.signatures import MAGIC
from builders.debkit.kconfig import options
from builders.errors import BuildError
from builders.files import scratch
from builders.proofs.boot import initramfs, modules
from builders.proofs.boot.modules import Module

if TYPE_CHECKING:
    from builders.ground.suite.image import Image
    from builders.pipeline.artifacts import Package
    from builders.pipeline.run import Run


@dataclass(frozen=True)
class Parts:
    """What is booted: files of this machine, and what they should say of themselves.

    version: of the hypervisor, such as 4.17.5. release: of the kernel, as uname(1) has it.
    packages: file name -> sha256 of what they were taken from. config: the kernel's.
    drivers: its modules that dom0 loads; guest: those that a guest with this kernel loads.
    """

    xen: Path
    kernel: Path
    initrd: Path
    version: str
    release: str
    packages: Mapping[str, str] = field(default_factory=dict)
    config: bytes = b""
    drivers: tuple[Module, ...] = ()
    guest: tuple[Module, ...] = ()

    @property
    def signed(self) -> bool:
        """Whether each module that dom0 loads has a signature; not without any module."""
        return bool(self.drivers) and all(x.content.endswith(MAGIC) for x in self.drivers)


@contextmanager
def parts(run: Run, builder: Image, xen: Package, kernel: Package) -> Iterator[Parts]:
    """The parts of two finished packages, unpacked for as long as the block runs.

    builder: the image that the initramfs is made in.
    """
    initrd = initramfs.make(run, builder, xen.path, xen.sha256)
    with scratch("dom0-debs-parts-") as folder:
        hypervisor, path = take(xen.path, r"/boot/xen-[0-9][^/]*\.gz", folder / "xen")
        try:
            hypervisor.write_bytes(gzip.decompress(hypervisor.read_bytes()))
        except (OSError, EOFError, zlib.error) as error:
            raise BuildError(f"{xen.path.name}: {path}: {error}", hint="build it again") from None
        linux, _ = take(kernel.path, r"/boot/vmlinu[xz]-[^/]+", folder / "linux")
        config, _ = take(kernel.path, r"/boot/config-[^/]+", folder / "config")
        there = options(config.read_text(encoding="utf-8", errors="replace"))
        _bootable(kernel.package, there)
        dom0, guest = modules.names(there, modules.DOM0), modules.names(there, modules.GUEST)
        found = modules.read(kernel.path, {*dom0, *guest})
        release = kernel.package.removeprefix("linux-image-")
        digests = {package.path.name: package.sha256 for package in (xen, kernel)}
        yield Parts(
            hypervisor,
            linux,
            initrd,
            _upstream(xen.version),
            release,
            digests,
            config.read_bytes(),
            tuple(modules.ordered(found, dom0)),
            tuple(modules.ordered(found, guest)),
        )


def chosen(packages: Sequence[Package], prefix: str) -> Package:
    """The one to boot of the packages whose name begins as `prefix` (a pattern) says."""
    for package in packages:
        if re.match(prefix, package.package) and not package.package.endswith(("-dbgsym", "-dbg")):
            return package
    raise BuildError(f"there is no package {prefix}* to boot", hint="build both: ./inv build-all")


# Without these the first process can't ask anything; the first two have to be built in.
_BUILT_IN = ("BLK_DEV_INITRD", "DEVTMPFS")
_NEEDED = ("XENFS", "XEN_PRIVCMD", "XEN_DEV_EVTCHN", "E1000")


def _bootable(name: str, there: Mapping[str, str]) -> None:
    """BuildError where a kernel with these options has not got what the proof has to have."""
    lacking = [o for o in _BUILT_IN if there.get(f"CONFIG_{o}") != "y"]
    there = dict(there)
    if "CONFIG_XENFS" in there:
        # It selects the other one, which is a part of it in Linux before 3.3.
        there.setdefault("CONFIG_XEN_PRIVCMD", there["CONFIG_XENFS"])
    lacking += [o for o in _NEEDED if there.get(f"CONFIG_{o}") not in ("y", "m")]
    if lacking:
        raise BuildError(
            f"{name} cannot be booted here: it is built without"
            f" {', '.join(f'CONFIG_{o}' for o in lacking)}",
            hint="set it in a fragment of the flavour; those of --flavour minimal have all of it",
        )


def _upstream(version: str) -> str:
    """4.17.5 of 4.17.5+dom0.1, 4.20.4-pre of 4.20.4-pre+dom0.1: what the hypervisor says."""
    match = re.match(r"(?:\d+:)?(\d+\.\d+(?:\.\d+)?(?:-(?:pre|rc\d*|unstable))?)", version)
    return match[1] if match else version


def take(package: Path, pattern: str, target: Path) -> tuple[Path, str]:
    """The one file of a package whose path matches, as `target`; its path in the package.

    BuildError where there is none.
    """
    for entry, content in Deb.open(package).entries():
        if is_file(entry) and re.fullmatch(pattern, entry.path):
            with target.open("wb") as out:
                while part := content.chunk():
                    out.write(part)
            return target, entry.path
    raise BuildError(f"{package.name} has no {pattern}", hint="is it the right package?")
