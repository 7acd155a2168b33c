# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said of how long work takes: what it took here the last time, or that nobody knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.pipeline import durations
from builders.text import duration
from tests.unit.worlds import World, a_world

UNKNOWN = "never done here, so nobody knows how long it takes"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (45.4, "45 s"),
        (89.9, "90 s"),
        (90, "2 min"),
        (353, "6 min"),
        (3599, "1 h"),
        (7800, "2 h 10 min"),
        (7200, "2 h"),
    ],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.slow
def test_what_a_build_took_is_said_before_the_next_one(world: World) -> None:
    world.pipeline(targets=("xen", "kernel")).build()
    lines = world.heard.lines
    assert f"xen-build: to be done; {UNKNOWN}" in lines
    assert f"kernel-minimal-build: to be done; {UNKNOWN}" in lines
    assert "README.md, Figures, has what builds took on another box" in lines
    assert not any(line.startswith("image: to be done") for line in lines)  # the engine has one
    durations.note(world.folder, "xen-build", 353)
    lines.clear()
    world.pipeline("xen.files={a='B'}", targets=("xen", "kernel")).build()
    assert lines.index("xen-build: to be done; took 6 min the last time here") < lines.index(
        "kernel-minimal-build: done before"
    )
    assert [line for line in lines if "to be done" in line or "README" in line] == lines[:1]


def test_what_was_made_is_told_with_its_seconds(world: World) -> None:
    pipeline = world.pipeline()
    pipeline.build()
    assert set(pipeline.made) == {"xen-build", "xen-finish"}
    again = world.pipeline()
    again.build()
    assert again.made == {}


def test_a_build_that_failed_is_not_remembered(world: World) -> None:
    world.epoch = b"no time\n"
    with pytest.raises(BuildError):
        world.pipeline().build()
    assert "xen-finish" not in durations.read(world.folder)


def test_it_outlives_the_artifacts(world: World) -> None:
    durations.note(world.folder, "xen-build", 12.34)
    assert durations.file(world.folder).parent == world.folder.parent
    assert durations.read(world.folder) == {"xen-build": 12.3}


def test_what_a_killed_run_left_of_it_is_swept(world: World) -> None:
    place = durations.file(world.folder)
    left = place.with_name(f".{place.name}.new")  # as files.write calls it
    left.write_text("{")
    with world.run().alone():
        assert not left.exists()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"xen-build": "x"}', '{"xen-build": -1}', '{"xen-build": 1e999}', "1" * 70000],
)
def test_a_damaged_memory_is_none(world: World, text: str) -> None:
    durations.file(world.folder).write_text(text)
    assert durations.read(world.folder) == {}
    assert durations.expected(world.folder, "xen-build") == UNKNOWN
    durations.note(world.folder, "xen-build", 1)
    assert json.loads(durations.file(world.folder).read_text()) == {"xen-build": 1}


def test_a_memory_that_cannot_be_written_is_left(world: World) -> None:
    durations.file(world.folder).mkdir()
    durations.note(world.folder, "xen-build", 1)
    assert durations.read(world.folder) == {}


def test_a_trial_says_how_long_it_took_and_takes(world: World) -> None:
    for _ in range(2):
        with durations.timed(world.run(), "check"):
            pass
    done = "check: done in 0:00"
    assert world.heard.lines == [
        f"check: to be done; {UNKNOWN}",
        done,
        "check: to be done; took 0 s the last time here",
        done,
    ]
    world.heard.lines.clear()
    with durations.timed(world.run(), "install-test", again=False):
        pass
    assert world.heard.lines == ["install-test: done in 0:00"]
    with pytest.raises(ValueError, match="failed"), durations.timed(world.run(), "boot"):
        raise ValueError("failed")
    assert set(durations.read(world.folder)) == {"check"}
