# SPDX-License-Identifier: GPL-2.0-or-later
"""The real thing: both packages of a recipe from real sources, seen by Debian's own tools."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from builders import ROOT

RECIPE = "xen-4.17-bookworm"
ARTIFACTS = ROOT / "artifacts" / RECIPE
BUILD = ["build-all", "--recipe", RECIPE, "--flavour", "minimal"]


def inv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "inv"), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def output(*command: str | Path) -> str:
    return subprocess.run(
        [str(c) for c in command], check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def built() -> dict[str, Path]:
    """The finished packages, by the beginning of their name, from one build-all."""
    begun = time.monotonic()
    done = inv(*BUILD)
    print(f"\nbuild-all took {time.monotonic() - begun:.0f} s\n{done.stdout}")
    assert done.returncode == 0, done.stdout
    manifest = json.loads((ARTIFACTS / "manifest.json").read_text())
    names = [
        file
        for target in ("xen", "kernel-minimal")
        for file in manifest["targets"][target]["packages"]
    ]
    found = {name.split("_")[0]: ARTIFACTS / name for name in names}
    assert all(path.is_file() for path in found.values())
    return found


def fields(deb: Path) -> dict[str, str]:
    text = output("dpkg-deb", "-f", deb)
    pairs = (line.split(": ", 1) for line in text.splitlines() if line[:1] not in (" ", ""))
    return dict(pair for pair in pairs if len(pair) == 2)


def xen(built: dict[str, Path]) -> Path:
    return built["xen-upstream"]


def kernel(built: dict[str, Path]) -> Path:
    return next(path for name, path in built.items() if name.startswith("linux-image-"))


def test_xen_says_what_it_needs(built: dict[str, Path]) -> None:
    control = fields(xen(built))
    needed = {relation.split()[0] for relation in control["Depends"].split(",")}
    assert needed >= {"libc6", "libyajl2", "liblzo2-2", "zlib1g", "libuuid1", "python3"}
    assert control["Architecture"] == "amd64"
    assert "dom0-debs" in control["Maintainer"]
    raw = next(ARTIFACTS.glob("stages/xen-build/*/*.deb"))
    newer = ["dpkg", "--compare-versions", control["Version"], "gt", fields(raw)["Version"]]
    assert subprocess.run(newer, check=False).returncode == 0
    assert xen(built).name == f"xen-upstream_{control['Version']}_amd64.deb"


def test_xen_leaves_one_hypervisor_in_boot(built: dict[str, Path]) -> None:
    listing = output("dpkg-deb", "-c", xen(built)).splitlines()
    boot = [line.split()[5] for line in listing if line.split()[5].startswith("./boot/x")]
    assert [name for name in boot if name.endswith(".gz")] == [boot[-1]]
    assert not [line for line in listing if "xen-syms" in line]
    assert not [line for line in listing if " ./usr/local/" in line]


@pytest.mark.parametrize("which", [xen, kernel])
def test_dpkg_reads_it_and_every_digest_is_right(
    built: dict[str, Path], which: object, tmp_path: Path
) -> None:
    assert callable(which)
    deb = which(built)
    output("dpkg-deb", "-R", deb, tmp_path / "x")
    sums = (tmp_path / "x" / "DEBIAN" / "md5sums").read_text().splitlines()
    files = {
        str(path.relative_to(tmp_path / "x"))
        for path in (tmp_path / "x").rglob("*")
        if path.is_file() and not path.is_symlink() and "DEBIAN" not in path.parts
    }
    conffiles = tmp_path / "x" / "DEBIAN" / "conffiles"
    listed = set(conffiles.read_text().split()) if conffiles.exists() else set()
    assert {f"/{name}" for name in files if name.startswith("etc/")} == listed
    assert ("/etc/xen/xl.conf" in listed) is (which is xen)
    # dpkg keeps the digests of conffiles itself (dh_md5sums(1)).
    assert {line.split("  ", 1)[1] for line in sums} == files - {n[1:] for n in listed}
    for line in sums:
        digest, name = line.split("  ", 1)
        content = (tmp_path / "x" / name).read_bytes()
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == digest
    # As dpkg-gencontrol(1) counts: each file once, however many names it has.
    objects = {
        os.lstat(path).st_ino: path
        for path in (tmp_path / "x").rglob("*")
        if "DEBIAN" not in path.parts
    }
    size = sum(
        -(-os.lstat(path).st_size // 1024) if path.is_file() and not path.is_symlink() else 1
        for path in objects.values()
    )
    assert abs(int(fields(deb)["Installed-Size"]) - size) <= 1


def test_the_kernel_has_the_pci_back_end_built_in(built: dict[str, Path], tmp_path: Path) -> None:
    output("dpkg-deb", "-x", kernel(built), tmp_path)
    config = next((tmp_path / "boot").glob("config-*")).read_text()
    assert "CONFIG_XEN_PCIDEV_BACKEND=y\n" in config
    assert next((tmp_path / "boot").glob("vmlinuz-*")).stat().st_size > 1 << 20


def test_inspect_finds_no_error(built: dict[str, Path]) -> None:
    done = inv("inspect", *(str(path) for path in built.values()))
    assert done.returncode == 0, done.stdout


def test_inspect_finds_what_the_raw_packages_lack(built: dict[str, Path]) -> None:
    assert built
    raw = next(ARTIFACTS.glob("stages/xen-build/*/*.deb"))
    done = inv("inspect", "--format", "json", str(raw))
    assert done.returncode == 1, done.stdout
    rules = {
        f["rule"] for report in json.loads(done.stdout)["packages"] for f in report["findings"]
    }
    assert {"missing-dependency", "stray-boot-link"} <= rules


def test_a_second_run_has_nothing_to_do(built: dict[str, Path]) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.values()}
    # Nothing answers there: a run that asked for an engine would fail.
    done = subprocess.run(
        [str(ROOT / "inv"), *BUILD],
        env={**os.environ, "DOCKER_HOST": "tcp://127.0.0.1:1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert {path: path.stat().st_mtime_ns for path in built.values()} == before
