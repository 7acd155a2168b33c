# SPDX-License-Identifier: GPL-2.0-or-later
"""Folders above paths, against the plain way to find them."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.debkit.deb.paths import above, folder_of, folders_above, nearest

PATHS = st.lists(
    st.lists(st.sampled_from(["a", "b", "ab", ".c"]), max_size=5).map(lambda p: "/" + "/".join(p)),
    max_size=12,
)


@pytest.mark.slow
@given(PATHS)
def test_the_folder_is_that_of_posixpath(paths: list[str]) -> None:
    assert [folder_of(path) for path in paths] == [posixpath.dirname(path) for path in paths]


@pytest.mark.slow
@given(PATHS)
def test_all_folders_above(paths: list[str]) -> None:
    plain = {folder for path in paths for folder in above(path) if folder != path}
    assert folders_above(paths) == plain


@pytest.mark.slow
@given(PATHS, PATHS)
def test_the_nearest_one_that_is_chosen(paths: list[str], chosen: list[str]) -> None:
    plain = [(path, next((at for at in above(path) if at in chosen), "")) for path in paths]
    assert list(nearest(paths, set(chosen))) == plain


def test_very_deep_paths_are_climbed_once() -> None:
    looked_at: list[str] = []

    class Chosen(set[str]):
        def __contains__(self, path: object) -> bool:
            looked_at.append(str(path))
            return super().__contains__(path)

    deep = "/a" * 1000
    assert list(nearest([f"{deep}/{n}" for n in range(100)], Chosen()))[-1] == (f"{deep}/99", "")
    assert len(looked_at) == 1100
