# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from builders.errors import BuildError
from builders.pipeline import recipe
from builders.verbs import maintainer


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"DEBEMAIL": "a@b.example", "DEBFULLNAME": "A B"}, "A B <a@b.example>"),
        ({"DEBEMAIL": "C D <a@b.example>"}, "C D <a@b.example>"),
        ({"DEBEMAIL": "C D <a@b.example>", "DEBFULLNAME": "A B"}, "A B <a@b.example>"),
        ({"DEBEMAIL": "a@b.example", "NAME": "E F"}, "E F <a@b.example>"),
        ({"DEBEMAIL": "a@b.example", "DEBFULLNAME": "Ä ß"}, "Ä ß <a@b.example>"),
    ],
)
def test_the_builder_is_the_maintainer(environment: dict[str, str], expected: str) -> None:
    overrides = maintainer.overrides(environment, recipe.TARGETS)
    loaded = recipe.load("xen-4.17-bookworm", overrides)
    assert {c.maintainer for c in loaded.finish.values()} == {expected}
    assert loaded.overrides == tuple(overrides)  # which the manifest tells


def test_without_an_address_the_recipe_decides() -> None:
    assert maintainer.overrides({"DEBFULLNAME": "A B", "NAME": "x"}, ["xen"]) == []


@pytest.mark.parametrize(
    "environment",
    [
        {"DEBEMAIL": "a@b.example"},
        {"DEBEMAIL": "nobody", "DEBFULLNAME": "A B"},
        {"DEBEMAIL": "a@b.example", "DEBFULLNAME": "A <B>"},
        {"DEBEMAIL": "a b@c@d", "DEBFULLNAME": "A"},
    ],
)
def test_half_a_maintainer_is_an_error(environment: dict[str, str]) -> None:
    with pytest.raises(BuildError, match="no maintainer"):
        maintainer.overrides(environment, recipe.TARGETS)
