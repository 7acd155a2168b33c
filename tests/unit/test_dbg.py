# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel's package of debugging information; readelf(1) is the judge of build ids."""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from builders.debkit import deb, elf
from builders.debkit.corrections import Corrections
from builders.debkit.finish import finish
from builders.errors import BuildError
from builders.pipeline import kernel
from builders.pipeline.recipe import load
from tests.unit import debs
from tests.unit.debs import Item
from tests.unit.samples import Box, recipe

DEBUG = "./usr/lib/debug"
NAME = "linux-image-6.1-x-dbg"


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "build")


def test_it_is_asked_for() -> None:
    plain = kernel.describe(recipe(), "minimal")
    plan = kernel.describe(recipe("kernel.dbg=true"), "minimal")
    assert kernel.dbg(recipe()) == ["kernel.dbg=true"]
    assert plan.debs == (*plain.debs, kernel.DBG)
    names = {phase.name for phase in plan.phases} - {phase.name for phase in plain.phases}
    assert names == {"collect-dbg"}
    assert set(plan.files) - set(plain.files) == {"fragments/01-dbg.config"}
    with pytest.raises(BuildError, match="has no kernel"):
        kernel.dbg(load("hypervisor-4.22-trixie"))


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["linux-image-6.1-x-dbg_1_amd64.deb"], ""),
        ([], "nothing matches"),
        (["linux-image-6.1-x-dbg_1_amd64.deb", "linux-image-6.2-dbg_1_amd64.deb"], "two packages"),
    ],
)
def test_it_is_taken_as_it_is(names: list[str], why: str, box: Box) -> None:
    for name in names:
        box.put(name, b"package")
    phase = kernel.describe(recipe("kernel.dbg=true"), "minimal").phases[-1]
    box.put("tree/x", b"")
    # The recipe's glob for the image matched it too, and its symbols were taken out of it.
    for name in names[:1]:
        box.put(f"out/{name}", b"package")
        box.put(f"out/{name}.depends", b"libc6")
        box.put(f"out/{name}.symbols.tar", b"symbols")
    status, said = box.run(phase.script)
    assert bool(status) == bool(why)
    assert why in said
    if not why:
        assert (box.work / "out" / names[0]).read_bytes() == b"package"
        assert (box.work / "out" / f"{names[0]}.depends").read_bytes() == b""
        assert len(list((box.work / "out").iterdir())) == 2


@pytest.mark.skipif(
    not all(map(shutil.which, ("gcc", "objcopy", "readelf"))), reason="needs gcc and binutils"
)
def test_debuggers_find_it_by_build_id(tmp_path: Path) -> None:
    (tmp_path / "x.c").write_text("int x(void) { return 1; }\nint main(void) { return x(); }\n")
    built: dict[str, bytes] = {}
    for name, options in {
        "vmlinux": ["-g", "-Wl,--build-id"],
        # As a kernel's module: ld -r, which has the note in a section, and no segment at all.
        "module.ko": ["-g", "-r", "-nostdlib", "-Wl,--build-id"],
        "linked.ko": ["-g", "-r", "-nostdlib", "-Wl,--build-id", "-DLINKED", "-O2"],
        "bare.ko": ["-g", "-r", "-nostdlib", "-Wl,--build-id=none"],
    }.items():
        path = tmp_path / name
        subprocess.run(["gcc", *options, "-o", path, tmp_path / "x.c"], check=True)
        if name.endswith(".ko"):
            subprocess.run(["objcopy", "--only-keep-debug", path], check=True)
        built[name] = path.read_bytes()
    ids = {name: build_id(tmp_path / name) for name in built}
    assert [name for name, found in ids.items() if not found] == ["bare.ko"]
    folder = f"{DEBUG}/lib/modules/6.1-x"
    first, rest = ids["linked.ko"][:2], ids["linked.ko"][2:]
    items = [
        Item(f"{folder}/vmlinux", built["vmlinux"]),
        *(Item(f"{folder}/kernel/{n}", built[n]) for n in built if n.endswith(".ko")),
        Item(f"{folder}/kernel/text.ko", b"text"),
        Item(f"{folder}/kernel/damaged.ko", elf.MAGIC + b"\2\1" + b"\xff" * 100),
        debs.symlink(
            f"{DEBUG}/.build-id/{first}/{rest}.debug",
            "../../lib/modules/6.1-x/kernel/linked.ko",
        ),
        debs.symlink(f"{DEBUG}/vmlinux-6.1-x", "lib/modules/6.1-x/vmlinux"),
    ]
    raw = debs.make(tmp_path / "raw.deb", items, control={"Package": NAME})
    done = finish(raw, Corrections(), elf_depends=[], destination_dir=tmp_path, epoch=1_000_000_000)
    assert done.package == NAME
    links = {
        entry.path: posixpath.normpath(
            posixpath.join(posixpath.dirname(entry.path), entry.info.linkname)
        )
        for entry in deb.Deb.open(done.path).index.entries
        if entry.info.issym() and "/.build-id/" in entry.path
    }
    there = folder.removeprefix(".")
    wanted = {"vmlinux": f"{there}/vmlinux"}
    wanted |= {name: f"{there}/kernel/{name}" for name in ("module.ko", "linked.ko")}
    assert links == {
        f"/usr/lib/debug/.build-id/{ids[name][:2]}/{ids[name][2:]}.debug": path
        for name, path in wanted.items()
    }


def build_id(path: Path) -> str:
    said = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True)
    found = re.search(r"Build ID: ([0-9a-f]+)", said.stdout)
    return found[1] if found else ""
