# SPDX-License-Identifier: GPL-2.0-or-later
"""Which package is likely to have a library: looked up, against comparing one by one."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.debkit.audit.rules import depends
from builders.debkit.audit.rules.depends import Bringers

STEMS = st.sampled_from(["libx", "libxenctrl", "libicu", "libicuuc", "libboost-thread", "liba_b"])
VERSIONS = st.sampled_from(["", "1", "72", "4.17", "1.74.0", "2t64", "2g"])
SONAMES = st.builds(
    lambda stem, version, form: form.format(stem, version),
    STEMS,
    VERSIONS,
    st.sampled_from(["{}.so.{}", "{}-{}.so", "{}.so", "{}"]),
)
PACKAGES = st.builds(
    lambda stem, dash, version: f"{stem.replace('_', '-')}{dash}{version}",
    STEMS,
    st.sampled_from(["", "-"]),
    VERSIONS,
)


def one_by_one(soname: str, relations: Iterable[str]) -> bool:
    """The same judgement, each relation compared with the library."""
    names = {*depends._names(soname), depends._ODD_NAMES.get(soname, "")}
    stem, version = depends._parts(soname)
    for name in relations:
        plain = re.sub(r"(t64|g|c2a?|v5|ldbl|gf|(?<=[0-9])[a-z])$", "", name)
        if name in names or plain in names:
            return True
        match = re.match(r"(lib[a-z-]*[a-z])-?([0-9][0-9.]*)?", name)
        if match is None or len(match[1]) < 6:
            continue
        shared = len(posixpath.commonprefix([match[1], stem]))
        least = 4 if "." in version else 6
        if stem.startswith(match[1]) or (shared >= least and version and match[2] == version):
            return True
    return False


@pytest.mark.slow
@given(SONAMES, st.lists(PACKAGES, max_size=5))
def test_looked_up_as_compared(soname: str, relations: list[str]) -> None:
    assert Bringers(relations).may_bring(soname) is one_by_one(soname, relations)


@pytest.mark.parametrize(
    ("relations", "brought", "version", "spare"),
    [
        (["libc6", "libhyperscan5"], [], "5", 1),
        (["libc6", "libyajl2"], ["libyajl.so.2"], "2", 0),  # liblzo2-2 is missing
        (["libopenmpi40t64"], [], "40", 1),
        (["libphobos2-ldc-shared110"], ["libphobos2-ldc-shared.so.110"], "110", 0),
        (["python3", "zlib1g"], [], "1", 0),
    ],
)
def test_a_package_may_be_called_otherwise_than_its_library(
    relations: list[str], brought: list[str], version: str, spare: int
) -> None:
    assert depends._spare(relations, brought)[version] == spare
