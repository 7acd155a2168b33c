# SPDX-License-Identifier: GPL-2.0-or-later
"""What a recipe says, as frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builders.debkit.corrections import Corrections
from builders.errors import BuildError
from builders.ground.sources.pins import (
    DebianPackage,
    DebianSource,
    GitSource,
    Source,
    TreeSource,
    UrlSource,
)
from builders.ground.suite.model import Builder, Suite

TARGETS = ("xen", "kernel")  # what a recipe may build, each a table of it
KINDS: dict[str, type[Any]] = {
    "url": UrlSource,
    "git": GitSource,
    "debian-source": DebianSource,
    "debian-package": DebianPackage,
    "tree": TreeSource,
}


@dataclass(frozen=True)
class Xen:
    """How the hypervisor and its tools are built.

    source: the source that is the tree.
    build: shell lines run in the tree, which leave the package.
    deb: glob of the package that comes out.
    version: shown to people; the package's own version decides.
    configure: shell lines run in the tree before `build`.
    patches: a quilt series, a folder below patches/.
    apply: names of sources that are patches, put on top of that in their order; --patch adds one.
    place: path in the tree to the name of another source, which is put there; where the path ends
        in "/" it is unpacked, otherwise its file is copied.
    files: path in the tree to the content of a new file.
    elf: the installed tree that dpkg-shlibdeps reads.
    makeflags: whether its make takes the shared job slots from MAKEFLAGS (GNU make 4.2 and newer
        do). Where not, the lines themselves say $JOBS.
    """

    source: str
    build: tuple[str, ...]
    deb: str
    version: str = ""
    configure: tuple[str, ...] = ()
    patches: str = ""
    apply: tuple[str, ...] = ()
    place: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    elf: str = "dist/install"
    makeflags: bool = True


@dataclass(frozen=True)
class Flavour:
    """One configuration of the kernel.

    base: "packaged" (the suite's own config), or a make target such as allnoconfig.
    fragments: files in configs/kernel/ put on top, later ones win.
    localversion: what sets its packages and modules apart, such as "-dom0"; may be empty.
    keep: files in configs/kernel/ with names of modules. Where there are any, of the modules of the
        base only these stay, and those of `kernel.loaded` (make localmodconfig).
    """

    base: str
    fragments: tuple[str, ...]
    localversion: str
    keep: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kernel:
    """How the dom0 kernel is built.

    source: the source with the tree (a linux-source package or a tarball).
    build: shell lines run in the configured tree.
    deb: globs of the packages that come out.
    flavours: a table for each flavour, by its name.
    config: the source that has the suite's own config; needed where a flavour's base is "packaged".
    config_path: the file in that source, such as "/boot/config-3.2.0-4-amd64".
    defaults: the shell line that gives each option which is still open its default.
    patches: a quilt series, a folder below patches/.
    apply: as for Xen.
    makeflags: as for Xen; make-kpkg(1) takes CONCURRENCY_LEVEL instead.
    loaded: the modules that the host has loaded, for a flavour with `keep`; `--lsmod` states them.
    dbg: a package with debugging information too, NAME-dbg; `--dbg` states it. For trees whose
        bindeb-pkg makes one.
    certificate: in PEM, of the key that signs the modules; `--module-key` states it.
    """

    source: str
    build: tuple[str, ...]
    deb: tuple[str, ...]
    flavours: Mapping[str, Flavour]
    config: str = ""
    config_path: str = ""
    defaults: str = "make olddefconfig"
    patches: str = ""
    apply: tuple[str, ...] = ()
    makeflags: bool = True
    loaded: tuple[str, ...] = ()
    dbg: bool = False
    certificate: str = ""


@dataclass(frozen=True)
class Audit:
    """What `inspect` expects of the finished packages.

    kernel_options: an option of the kernel's final .config to its value.
    """

    kernel_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """All that a run needs to know. It has a hypervisor, a kernel, or both.

    name: that of its file, without ".toml".
    summary: one line that says what it builds.
    suite: what everything is built in and for.
    builder: the image that it is built in.
    sources: a table for each source, by its name.
    finish: how packages are corrected, a table for each target.
    xen: how the hypervisor is built; without it there is none.
    kernel: how the kernel is built; without it there is none.
    audit: what `inspect` expects.
    allow_file: addresses of sources may name files of the box; only a `--set` can say so.
    overrides: the `--set` of this run, in order, as they were typed.
    """

    name: str
    summary: str
    suite: Suite
    builder: Builder
    sources: Mapping[str, Source]
    finish: Mapping[str, Corrections] = field(default_factory=dict)
    xen: Xen | None = None
    kernel: Kernel | None = None
    audit: Audit = Audit()
    allow_file: bool = False
    overrides: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """What it builds: "xen", "kernel", or both."""
        return tuple(name for name in TARGETS if getattr(self, name))

    def reads(self, target: str) -> tuple[str, ...]:
        """The sources that a target is built from, the tree's first; a kernel in any flavour."""
        names: tuple[str, ...] = ()
        if target == "xen" and self.xen:
            names = (self.xen.source, *self.xen.place.values(), *self.xen.apply)
        elif target == "kernel" and self.kernel:
            names = (self.kernel.source, self.kernel.config, *self.kernel.apply)
        return tuple(dict.fromkeys(name for name in names if name))

    def lacks(self, target: str) -> BuildError:
        """The error where the recipe is to build a target, and does not say how."""
        return BuildError(
            f"recipe {self.name} has no {target}",
            hint=f"add a table [{target}] to it, or choose another one; this one builds: "
            f"{', '.join(self.targets)}",
        )
