# SPDX-License-Identifier: GPL-2.0-or-later
"""What a recipe asks of the ground that it is built on: the suite, and the builder image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Suite:
    """The Debian suite that everything is built in and for.

    name: its code name, such as bookworm.
    mirror, security: where it is served; empty means what the box's own apt uses.
    components: parts of the archive that packages are taken from.
    pockets: further suites beside the main one ("updates", "security").
    security_suite: what the security pocket is called, where that is not NAME-security.
    keyring: file of the keys that may sign it; empty means the box's Debian keyring.
    signed_by: fingerprints of the keys in it that sign this suite. With these the box verifies
        the archive itself, which allows for keys that have expired since they signed.
    release_sha256: suite as sources.list(5) names it to the digest of its Release file, for a
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

    packages: what is installed, each as apt-get(8) takes it.
    build_dep: source packages of the suite whose build dependencies are installed too.
    memory: GiB that one step may use.
    pids: processes and threads of one step.
    nofile: open files of one process.
    disk: GiB that the engine's storage needs for the whole recipe.
    """

    packages: tuple[str, ...]
    build_dep: tuple[str, ...] = ()
    memory: int = 8
    pids: int = 4096
    nofile: int = 16384
    disk: int = 12
