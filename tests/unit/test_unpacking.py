# SPDX-License-Identifier: GPL-2.0-or-later
"""Members of one path: what dpkg 1.21.22 did with each of these was seen (tests/differential)."""

from __future__ import annotations

from tarfile import FIFOTYPE

import pytest

from builders.debkit.deb.unpacking import FILE, FOLDER, LINK, refusals

_LEFT = "nothing is left of it when it is to get its name"
_FOLDER = "a folder is there when it is to get its name"
_ASIDE = "its folder is moved aside before"


@pytest.mark.parametrize(
    ("members", "refused"),
    [
        ([("a", FILE), ("a", FILE)], []),
        ([("a", FOLDER), ("a", FILE)], []),
        ([("a", FILE), ("a", FOLDER)], [("a", _LEFT)]),
        ([("a", FILE), ("a", FOLDER), ("a", FILE)], []),
        ([("a", FOLDER), ("a", FILE), ("a", LINK)], [("a", _FOLDER)]),
        ([("a", FILE), ("a", LINK), ("a", FOLDER)], [("a", _LEFT)]),
        ([("a", LINK), ("a", FOLDER)], []),
        ([("a", FOLDER), ("a/in", FILE), ("a", FILE)], [("a/in", _LEFT)]),
        ([("a", FOLDER), ("a", FILE), ("a/in", FILE)], [("a/in", _ASIDE)]),
        ([("a", FOLDER), ("a/in", FILE), ("a", FOLDER), ("a", LINK)], []),
        ([("a", FIFOTYPE), ("a", FOLDER), ("a", FIFOTYPE)], []),
        ([("a", FILE), ("b//a", FILE), ("b/a", FILE)], [("b/a", _LEFT)]),
    ],
)
def test_members_of_one_path(
    members: list[tuple[str, bytes]], refused: list[tuple[str, str]]
) -> None:
    assert list(refusals(members)) == refused


@pytest.mark.slow
def test_folders_that_are_moved_aside_again_and_again_cost_no_product() -> None:
    inside = [(f"a/{number}", FOLDER) for number in range(50_000)]
    moves = [("a", kind) for _ in range(25_000) for kind in (FILE, FOLDER)]
    assert len(list(refusals([("a", FOLDER), *inside, *moves]))) == 1
