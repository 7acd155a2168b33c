# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages for a suite of the tests' own: those of the box's mirror, and small new ones."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from builders.ground.suite import mirror
from builders.pipeline.recipe import load

needs_debian = pytest.mark.skipif(
    not (shutil.which("dpkg-scanpackages") and shutil.which("apt-get"))
    or platform.freedesktop_os_release().get("ID") != "debian",
    reason="needs Debian's apt and dpkg-dev",
)


def download(into: Path, state: Path, *packages: str) -> None:
    """The packages of a minimal root and `packages`, with all that they need, to `into`.

    They are bookworm's, from the box's mirror. state: a new folder for what apt keeps; nothing
    of the box's own is read, save its keys.
    """
    suite = load("xen-4.17-bookworm").suite
    (state / "lists" / "partial").mkdir(parents=True)
    (into / "partial").mkdir(parents=True)
    (state / "sources.list").write_text(
        "".join(
            line
            for line in mirror.sources_list(suite, mirror.of(suite)).splitlines(keepends=True)
            if line.startswith("deb ")
        )
    )
    own = [
        f"-oDir::Etc::SourceList={state}/sources.list",
        "-oDir::Etc::SourceParts=/dev/null",
        f"-oDir::State::Lists={state}/lists",
        f"-oDir::Cache::Archives={into}",
        "-oDir::Cache::PkgCache=",
        "-oDir::Cache::SrcPkgCache=",
        "-oDir::State::Status=/dev/null",
        "-oAPT::Sandbox::User=",
        "-oAPT::Install-Recommends=false",
        "-oDebug::NoLocking=1",
        "-oAcquire::Languages=none",
    ]
    _quietly("apt-get", *own, "update")
    wanted = ["?essential", "apt", "usrmerge-", *packages]
    _quietly("apt-get", *own, "install", "--yes", "--download-only", *wanted)
    (into / "partial").rmdir()
    for path in into.glob("usr-is-merged_*"):
        path.unlink()
    package(into, "usr-is-merged", "99")  # the real one wants what only debootstrap does


def package(
    into: Path,
    name: str,
    version: str,
    files: Mapping[str, Path] | Mapping[str, bytes] | None = None,
    architecture: str = "all",
    *,
    fields: str = "",
    postinst: str = "",
) -> Path:
    """Write a package of `files` (path in it -> content, or the file of the box) to `into`.

    fields: further lines of its control file; postinst: a script that runs at its configuration.
    """
    tree = into / name
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n"
        f"Maintainer: a <a@b.invalid>\n{fields}Description: made for a test\n"
    )
    if postinst:
        (tree / "DEBIAN" / "postinst").write_text(postinst)
        (tree / "DEBIAN" / "postinst").chmod(0o755)
    for path, content in (files or {}).items():
        target = tree / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copy(content, target)
        else:
            target.write_bytes(content)
    _quietly("dpkg-deb", "--root-owner-group", "--build", str(tree), str(into))
    shutil.rmtree(tree)
    return into / f"{name}_{version}_{architecture}.deb"


def index(pool: Path, where: str = "pool") -> bytes:
    """Packages of the .debs in `pool`, which is served as `where` below the archive's root.

    apt has the priority there that it had in wheezy, not required.
    """
    scanned = subprocess.run(
        ["dpkg-scanpackages", "--multiversion", "."], cwd=pool, capture_output=True, check=True
    ).stdout
    scanned = re.sub(rb"(Package: apt\n(?:\S.*\n| .*\n)*?Priority: )\w+", rb"\1important", scanned)
    return scanned.replace(b"Filename: ./", f"Filename: {where}/".encode())


def _quietly(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
