# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.pipeline import doctor
from builders.show.closing import closing
from builders.verbs import builds
from builders.verbs.building import Building
from tests.unit.worlds import World, a_world

FOLDER = Path("/x/artifacts/good")


def test_what_was_made_how_long_it_took_and_what_comes_next() -> None:
    made = {"xen-build": 353.2, "xen-finish": 12.0, "kernel-minimal-build": 190.0}
    text = closing(made, 400, FOLDER, "good", ["xen", "kernel"])
    assert text.splitlines() == [
        "made in 7 min, in /x/artifacts/good:",
        "  xen-build             5:53",
        "  xen-finish            0:12",
        "  kernel-minimal-build  3:10",
        "next: ./inv install-test --recipe good",
        "      ./inv boot-test --recipe good",
    ]


def test_nothing_to_do() -> None:
    text = closing({}, 0.2, FOLDER, "good", ["xen", "kernel"])
    assert text.startswith("nothing to do: all of it was built before, in /x/artifacts/good\n")


def test_the_next_command_fits_what_was_built() -> None:
    """A boot takes a hypervisor and a kernel; of two flavours one has to be named."""
    assert "boot-test" not in closing({}, 0, FOLDER, "good", ["kernel"])
    text = closing({}, 0, FOLDER, "my folder/good.toml", ["xen", "kernel"], "minimal")
    assert "./inv boot-test --recipe 'my folder/good.toml' --flavour minimal" in text


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


@pytest.mark.slow
def test_a_build_ends_with_it_and_a_second_one_has_nothing_to_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.names = {"xen": "xen-upstream"}
    monkeypatch.setattr(builds, "begun", lambda *_, **__: world.run())
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: [])
    first = builds.make(Building(), "", ["xen"]).said("table").splitlines()
    assert first[-4].startswith("made in ")
    assert first[-3:-1] == ["  xen-build   0:00", "  xen-finish  0:00"]
    assert first[-1] == f"next: ./inv install-test --recipe {world.origin}"
    second = builds.make(Building(), "", ["xen"]).said("table").splitlines()
    assert second[-2].startswith("nothing to do: all of it was built before")
    monkeypatch.setattr(builds, "begun", lambda *_, **__: world.run())
    outcome = builds.make(Building(), "minimal")
    assert outcome.said("table").endswith(f"./inv boot-test --recipe {world.origin}")
    assert "next" not in outcome.said("json")
