# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from builders.errors import BuildError, Exit
from builders.ground.sources.cache import Cache
from builders.pipeline import recipe
from builders.pipeline.run import Run
from builders.progress import Silent
from builders.proofs.boot import disk, qemu, system
from builders.proofs.boot.qemu import Console
from builders.proofs.boot.system import Disk
from tests.unit.debs import make

pytestmark = pytest.mark.slow
ANSWERS = ("grub", "grub-efi", "menu", "install")
SAID = ("SeaBIOS", "@@begin up", "yes", "@@end up 0", "@@off", "reboot: Power down")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    loaded = recipe.load("xen-4.17-bookworm")
    return Run(loaded, Silent(), tmp_path / "artifacts", Cache(tmp_path / "cache"))


@pytest.fixture
def booted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """QEMU and qemu-img do not run; what they would get, and what the machine says."""
    seen: dict[str, Any] = {"lines": SAID, "made": []}

    def boot(machine: Any, _: Path, **__: object) -> Console:
        seen["command"] = machine.command()
        words = " ".join(seen["command"])
        with tarfile.open(words.split("id=asked,file=")[1].split(",")[0]) as tar:
            seen["files"] = tar.getnames()
        return Console(tuple(seen["lines"]), 0, 1.0)

    monkeypatch.setattr(qemu, "run", boot)
    monkeypatch.setattr(system, "overlay", lambda path, below: seen["made"].append((path, below)))
    return seen


def test_what_packages_need_beside_each_other(tmp_path: Path) -> None:
    control = {"Depends": "libc6 (>= 2.36), xen-b, qemu-a | qemu-b", "Pre-Depends": "dpkg"}
    first = make(tmp_path / "a.deb", control={"Package": "xen-a", **control})
    second = make(tmp_path / "b.deb", control={"Package": "xen-b", "Depends": "xen-a | other"})
    assert disk.needs([first, second]) == ("dpkg", "libc6 (>= 2.36)", "qemu-a | qemu-b")


def test_a_boot_writes_to_an_overlay(run: Run, booted: dict[str, Any], tmp_path: Path) -> None:
    it = Disk(tmp_path / "a,b.qcow2", tmp_path / "vmlinuz", tmp_path / "initrd")
    asked = {"run.sh": b"ask up true\n", "guest.cfg": b""}
    seen = system.boot(run, it, "one", asked, cards=["-device", "e1000"], timeout=9.0)
    assert seen.text("up") == "yes"
    assert seen.text("down") == ""
    assert booted["files"] == ["run.sh", "guest.cfg"]
    assert [below for _, below in booted["made"]] == [it.path]
    command = " ".join(booted["command"])
    assert "bootindex=0" in command
    assert "-kernel" not in command
    assert "a,b" not in command
    assert "e1000" in command
    assert system.IOMMU in command


def test_work_on_a_disk_stays(run: Run, booted: dict[str, Any], tmp_path: Path) -> None:
    it = Disk(tmp_path / "a,b.qcow2", tmp_path / "vmlinuz", tmp_path / "initrd")
    asked = {"run.sh": b""}
    system.boot(run, it, "one", asked, timeout=9.0, start=system.WORK, keep=True, iommu="")
    assert booted["made"] == []
    command = " ".join(booted["command"])
    assert "a,,b.qcow2" in command  # a comma ends a value of QEMU's
    assert "init=/proof/init" in command
    assert "iommu" not in command
    assert "pflash" not in command
    assert "-smp 2" in command
    system.boot(run, it, "one", asked, timeout=9.0, start=system.PLAIN)
    assert "init=" not in " ".join(booted["command"])


def test_a_system_that_does_not_get_to_its_end(
    run: Run, booted: dict[str, Any], tmp_path: Path
) -> None:
    booted["lines"] = SAID[:3]
    it = Disk(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    with pytest.raises(BuildError, match="one: the machine ended early") as caught:
        system.boot(run, it, "one", {"run.sh": b""}, timeout=9.0)
    assert caught.value.exit == Exit.STEP


def test_a_boot_by_uefi(run: Run, booted: dict[str, Any], tmp_path: Path) -> None:
    it = Disk(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    own = tmp_path / "variables,1"
    system.boot(run, it, "one", {"run.sh": b""}, timeout=9.0, variables=own)
    command = " ".join(booted["command"])
    assert "readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd" in command
    assert f"unit=1,format=raw,file={tmp_path}/variables,,1" in command
    assert "-smp 1" in command  # two are slower with OVMF


@pytest.mark.parametrize("question", ANSWERS)
def test_packages_that_apt_cannot_install(
    run: Run, booted: dict[str, Any], tmp_path: Path, question: str
) -> None:
    (tmp_path / "vmlinuz").write_bytes(b"")
    (tmp_path / "initrd").write_bytes(b"")
    it = Disk(tmp_path / disk.DISK, tmp_path / "vmlinuz", tmp_path / "initrd")
    deb = make(tmp_path / "xen.deb")
    ended = [f"@@begin {q}\nE: broken\n@@end {q} {int(q == question)}" for q in ANSWERS]
    booted["lines"] = ["", *"\n".join(ended).split("\n"), "@@off"]
    with pytest.raises(BuildError, match=f"{question} failed") as caught:
        disk.installed(run, [deb], it)
    assert "E: broken" in caught.value.excerpt
    assert not any((run.folder / "stages" / disk.INSTALLED).glob("[0-9a-f]*"))


def test_no_overlay_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "No space left on device")

    monkeypatch.setattr(subprocess, "run", refused)
    with pytest.raises(BuildError, match="No space left") as caught:
        system.overlay(tmp_path / "a", tmp_path / "b")
    assert caught.value.exit == Exit.ENGINE
