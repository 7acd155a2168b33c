# SPDX-License-Identifier: GPL-2.0-or-later
"""What a recipe says, as frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builders.corrections import Corrections


@dataclass(frozen=True)
class UrlSource:
    """A file served at several addresses, the first that serves the right bytes wins."""

    name: str
    urls: tuple[str, ...]
    sha256: str
    size: int | None = None  # bytes
    filename: str = ""  # default: the last part of the first address


@dataclass(frozen=True)
class GitSource:
    """A tree at one commit (40 hexadecimal digits) of a git repository."""

    name: str
    urls: tuple[str, ...]
    commit: str


@dataclass(frozen=True)
class Pooled:
    """A tarball that mirrors may have after their lists have gone on to a newer version.

    version: of the source package; path: of the tarball below the main archive's address.
    """

    version: str
    path: str
    sha256: str


@dataclass(frozen=True)
class DebianSource:
    """The upstream tarball of a source package; `version` is exact, or a glob such as 4.17.*.

    pooled: one more version that may be taken, where `version` admits it.
    """

    name: str
    package: str
    version: str
    pooled: Pooled | None = None


@dataclass(frozen=True)
class DebianPackage:
    """A binary package of the suite; `version` is exact, or a glob such as 6.1.*."""

    name: str
    package: str
    version: str


Source = UrlSource | GitSource | DebianSource | DebianPackage

KINDS: dict[str, type[Any]] = {
    "url": UrlSource,
    "git": GitSource,
    "debian-source": DebianSource,
    "debian-package": DebianPackage,
}


@dataclass(frozen=True)
class Suite:
    """The Debian suite that everything is built in and for.

    mirror, security: where it is served; empty means what the box's own apt uses.
    pockets: further suites beside the main one ("updates", "security").
    security_suite: what the security pocket is called, where that is not NAME-security.
    keyring: file of the keys that may sign it; empty means the box's Debian keyring.
    signed_by: fingerprints of the keys in it that sign this suite. With these the box verifies
    the archive itself, which allows for keys that have expired since they signed.
    release_sha256: suite as sources.list(5) names it -> digest of its Release file, for a
    suite that does not change any more.
    image: a registry image by digest (name@sha256:...), used where it can be had.
    vsyscall: its glibc needs the kernel's vsyscall page (glibc before 2.14).
    """

    name: str
    mirror: str = ""
    security: str = ""
    components: tuple[str, ...] = ("main",)
    pockets: tuple[str, ...] = ("updates", "security")
    security_suite: str = ""
    keyring: str = ""
    signed_by: tuple[str, ...] = ()
    release_sha256: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    vsyscall: bool = False


@dataclass(frozen=True)
class Builder:
    """The builder image: packages on top of the clean root, and limits for a step.

    build_dep: source packages of the suite whose build dependencies are installed too.
    memory: GiB for one step; pids: processes and threads; nofile: open files;
    disk: GiB that the engine's storage needs for the whole recipe.
    """

    packages: tuple[str, ...]
    build_dep: tuple[str, ...] = ()
    memory: int = 8
    pids: int = 4096
    nofile: int = 16384
    disk: int = 12


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
    """All that a run needs to know.

    timestamp: SOURCE_DATE_EPOCH, in seconds, where a source gives none.
    overrides: the `--set` of this run, in order, as they were typed.
    allow_file: addresses of sources may name files of the box; only a `--set` can say so.
    """

    name: str
    summary: str
    suite: Suite
    builder: Builder
    sources: Mapping[str, Source]
    xen: Xen
    kernel: Kernel
    finish: Mapping[str, Corrections]
    audit: Audit = Audit()
    allow_file: bool = False
    overrides: tuple[str, ...] = ()
