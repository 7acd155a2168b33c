# SPDX-License-Identifier: GPL-2.0-or-later
"""What a recipe says, as frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builders.debkit.corrections import Corrections
from builders.errors import BuildError
from builders.ground.sources.pins import DebianPackage, DebianSource, GitSource, Source, UrlSource
from builders.ground.suite.model import Builder, Suite

TARGETS = ("xen", "kernel")  # what a recipe may build, each a table of it
KINDS: dict[str, type[Any]] = {
    "url": UrlSource,
    "git": GitSource,
    "debian-source": DebianSource,
    "debian-package": DebianPackage,
}


@dataclass(frozen=True)
class Xen:
    """How the hypervisor and its tools are built.

    source: the source that is the tree; place: path in the tree -> another source.
    patches: a quilt series below patches/; files: path in the tree -> its content.
    configure, build: shell lines run in the tree; deb: glob of what comes out.
    makeflags: whether its make takes the shared job slots from MAKEFLAGS (GNU make 4.2 and
    newer do). Where not, the lines themselves say $JOBS.
    """

    source: str
    build: tuple[str, ...]
    deb: str
    version: str = ""  # shown to people; the package's own version decides
    configure: tuple[str, ...] = ()
    patches: str = ""
    place: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    elf: str = "dist/install"  # the installed tree that dpkg-shlibdeps reads
    makeflags: bool = True


@dataclass(frozen=True)
class Flavour:
    """One configuration of the kernel.

    base: "packaged" (the suite's own config), or a make target such as allnoconfig.
    fragments: files below configs/kernel/ put on top, later ones win.
    localversion: what sets its packages and modules apart, such as -dom0; may be empty.
    """

    base: str
    fragments: tuple[str, ...]
    localversion: str


@dataclass(frozen=True)
class Kernel:
    """How the dom0 kernel is built.

    source: the source with the tree (a linux-source package or a tarball);
    config: the source or the file in it that holds the suite's own config.
    defaults: the shell line that gives each option which is still open its default.
    build: shell lines run in the configured tree; deb: globs of what comes out.
    makeflags: as for Xen; make-kpkg(1) takes CONCURRENCY_LEVEL instead.
    """

    source: str
    build: tuple[str, ...]
    deb: tuple[str, ...]
    flavours: Mapping[str, Flavour]
    config: str = ""
    config_path: str = ""
    defaults: str = "make olddefconfig"
    patches: str = ""
    makeflags: bool = True


@dataclass(frozen=True)
class Audit:
    """What `inspect` expects of the finished packages."""

    kernel_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """All that a run needs to know. It has a hypervisor, a kernel, or both.

    timestamp: SOURCE_DATE_EPOCH, in seconds, where a source gives none.
    overrides: the `--set` of this run, in order, as they were typed.
    allow_file: addresses of sources may name files of the box; only a `--set` can say so.
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
            names = (self.xen.source, *self.xen.place.values())
        elif target == "kernel" and self.kernel:
            names = (self.kernel.source, self.kernel.config)
        return tuple(dict.fromkeys(name for name in names if name))

    def lacks(self, target: str) -> BuildError:
        """The error where the recipe is to build a target, and does not say how."""
        return BuildError(
            f"recipe {self.name} has no {target}",
            hint=f"add a table [{target}] to it, or choose another one; this one builds: "
            f"{', '.join(self.targets)}",
        )
