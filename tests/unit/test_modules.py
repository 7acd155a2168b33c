# SPDX-License-Identifier: GPL-2.0-or-later
"""The modules that the boot proof loads, taken from a kernel's package."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from builders.errors import BuildError
from builders.proofs.boot import modules
from builders.proofs.boot.modules import DOM0, GUEST, Module
from tests.unit import debs
from tests.unit.debs import Item

FOLDER = "./usr/lib/modules/6.12/kernel/drivers"


def ko(depends: str) -> bytes:
    """What of a module is read: .modinfo, among its bytes."""
    return b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0"


def kernel(tmp_path: Path, **changes: bytes) -> Path:
    files = {
        "a/xenfs.ko.xz": lzma.compress(ko("xen-privcmd")),
        "b/xen-privcmd.ko.gz": gzip.compress(ko("deep,b-2")),
        "c/deep.ko": ko("b-2"),
        "c/b-2.ko.zst": zstandard.compress(ko("")),
        "c/e1000.ko": ko(""),
        **changes,
    }
    items = [Item(f"{FOLDER}/{path}", content) for path, content in files.items()]
    return debs.make(tmp_path / "linux.deb", items)


def test_what_a_module_needs_comes_with_it_and_before_it(tmp_path: Path) -> None:
    found = modules.read(kernel(tmp_path), ["xenfs"])
    assert found.keys() == {"xenfs", "xen_privcmd", "deep", "b_2"}
    assert found["xenfs"].content == ko("xen-privcmd")
    names = [m.name for m in modules.ordered(found, ["xenfs", "xen_privcmd"])]
    assert names == ["b_2", "deep", "xen_privcmd", "xenfs"]
    paths = [f.path for f in modules.files(modules.ordered(found, ["xenfs"]), "modules")]
    assert paths[0] == "modules/00-b_2.ko"
    assert paths == sorted(paths)


def test_nothing_is_read_where_all_is_built_in(tmp_path: Path) -> None:
    assert modules.read(tmp_path / "is not there", []) == {}


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="has no module xen_gntdev"):
        modules.read(kernel(tmp_path), ["e1000", "xen_gntdev"])


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_module_that_is_damaged(tmp_path: Path, suffix: str) -> None:
    package = kernel(tmp_path, **{f"d/broken.ko{suffix}": b"no archive"})
    with pytest.raises(BuildError, match=r"linux\.deb: broken: "):
        modules.read(package, ["broken"])


def test_which_are_modules_is_the_configuration_s_word() -> None:
    there = {"CONFIG_XENFS": "m", "CONFIG_XEN_PRIVCMD": "y", "CONFIG_E1000": "m"}
    assert modules.names(there, DOM0) == ["xenfs", "e1000"]
    assert modules.names(there, GUEST) == ["e1000"]


NAMES = st.sampled_from("abcdef")


@pytest.mark.slow
@given(st.dictionaries(NAMES, st.lists(NAMES)), st.lists(NAMES))
def test_every_order_ends_and_has_each_once(graph: dict[str, list[str]], asked: list[str]) -> None:
    every = {name: Module(name, b"", tuple(graph.get(name, ()))) for name in "abcdef"}
    names = [m.name for m in modules.ordered(every, asked)]
    assert len(names) == len(set(names))
    assert set(asked) <= set(names)
