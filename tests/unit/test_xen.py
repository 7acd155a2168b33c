# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from builders.pipeline import xen
from builders.pipeline.plan import Plan
from builders.pipeline.recipe import load, names
from tests.unit.samples import Box, recipe, xen_of

FILES = """
[xen.files]
".config" = "PYTHON_PREFIX_ARG=--install-layout=deb\\n"
"tools/a dir/it's" = "x"
"""


def script(plan: Plan, phase: str) -> str:
    (found,) = [p.script for p in plan.phases if p.name == phase]
    return found


@pytest.fixture
def box(tmp_path: Path) -> Box:
    it = Box(tmp_path / "build")
    it.put("epoch", "86400\n")
    return it


def place(box: Box, plan: Plan) -> tuple[int, str]:
    for path, content in plan.files.items():
        box.put(path, content)
    return box.run(script(plan, "place"))


def tree() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("seabios/Makefile", "seabios/src/boot.c"):
            tar.addfile(tarfile.TarInfo(name))
    return out.getvalue()


def test_a_source_is_unpacked_into_a_folder(box: Box) -> None:
    box.put("in/seabios/seabios.tar", tree())
    assert place(box, xen.describe(recipe())) == (0, "")
    placed = box.work / "tree/tools/firmware/seabios-dir"
    assert sorted(str(p.relative_to(placed)) for p in placed.rglob("*")) == [
        "Makefile",
        "src",
        "src/boot.c",
    ]


def test_a_source_is_copied_to_a_file(box: Box) -> None:
    box.put("in/seabios/ipxe-git-9a93.tar.gz", b"as it is")
    plan = xen.describe(recipe("xen.place={'tools/firmware/etherboot/ip xe.tar.gz'='seabios'}"))
    assert place(box, plan) == (0, "")
    target = box.work / "tree/tools/firmware/etherboot/ip xe.tar.gz"
    assert target.read_bytes() == b"as it is"


def test_files_are_written(box: Box) -> None:
    plan = xen.describe(recipe("xen.place={}", more=FILES))
    assert place(box, plan) == (0, "")
    config = box.work / "tree/.config"
    assert config.read_text() == "PYTHON_PREFIX_ARG=--install-layout=deb\n"
    assert (box.work / "tree/tools/a dir/it's").read_text() == "x"


def test_a_damaged_source_fails(box: Box) -> None:
    box.put("in/seabios/seabios.tar", b"no tar")
    assert place(box, xen.describe(recipe()))[0]


def test_nothing_to_place_is_no_phase() -> None:
    plan = xen.describe(recipe("xen.place={}"))
    assert [p.name for p in plan.phases] == ["unpack", "build", "collect"]


def test_the_sources_are_the_tree_and_what_is_placed_once_each() -> None:
    places = "xen.place={a='seabios', b='seabios', c='linux'}"
    assert xen.describe(recipe(places)).sources == ("xen", "seabios", "linux")


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("xen.build=make world", {"script build"}),
        ("xen.configure=./configure", {"script configure"}),
        ("xen.deb=*.deb", {"script collect"}),
        ("xen.source=tree", {"script unpack", "script collect"}),  # its copyright and changelog
        ("xen.place={x='seabios'}", {"script place"}),
        ("xen.files={x='y'}", {"script place", "file files/0"}),
        ("kernel.build=x", set()),
        ("finish.xen.revision=x", set()),
        ("xen.version=x", set()),
    ],
)
def test_a_change_changes_the_inputs_that_it_concerns(override: str, changed: set[str]) -> None:
    before, after = (
        xen.describe(recipe()).record().inputs(),
        xen.describe(recipe(override)).record().inputs(),
    )
    assert {n for n in before | after if before.get(n) != after.get(n)} == changed


def test_the_dates_of_a_build_are_those_of_the_source(box: Box) -> None:
    build = 'xen.build=["echo on $XEN_BUILD_DATE at $XEN_BUILD_TIME by $XEN_WHOAMI"]'
    status, said = box.run(script(xen.describe(recipe(build)), "build"))
    assert status == 0
    assert "\non 1970-01-02 at 00:00:00 by builder\n" in said


@pytest.mark.parametrize("name", [name for name in names() if load(name).xen])
def test_the_shipped_xens_can_be_planned(name: str) -> None:
    it = load(name)
    plan = xen.describe(it)
    assert plan.sources[0] == xen_of(it).source
    assert set(plan.sources) <= set(it.sources)
    assert len({phase.name for phase in plan.phases}) == len(plan.phases)
