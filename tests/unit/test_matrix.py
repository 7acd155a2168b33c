# SPDX-License-Identifier: GPL-2.0-or-later
"""Several recipes as one graph: what a matrix file may say, how many at once, how it is shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.errors import BuildError, Exit, Interrupted
from builders.pipeline import matrix
from builders.pipeline.graph import Spell
from builders.pipeline.matrix import Cell, Part
from builders.pipeline.steps import slots
from builders.pipeline.steps.slots import Turns
from builders.show import matrices, timeline
from tests.unit.worlds import World, a_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


TEXT = """
[[build]]
recipe = "xen-4.17-bookworm"
flavours = ["minimal"]

[[build]]
recipe = "mine.toml"
set = ["builder.memory=4"]

[[build]]
recipe = "xen-4.17-bookworm"
flavours = ["debian", "minimal"]
"""


def test_a_file_has_recipes_flavours_and_overrides(tmp_path: Path) -> None:
    path = tmp_path / "matrix.toml"
    path.write_text(TEXT)
    assert matrix.read(path) == [
        Cell("xen-4.17-bookworm", ("minimal", "debian")),
        Cell(str(tmp_path / "mine.toml"), (), ("builder.memory=4",)),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no list of tables"),
        ("build = 1", "has no list of tables"),
        ("build = [1]", "has no list of tables"),
        ("build = []", "from 1 to 500 recipes"),
        ("builds = []", "builds: is not a known key (did you mean build?)"),
        ("[[build]]\nrecipes = 'a'", "build[0].recipes: is not a known key (did you mean recipe?)"),
        ("[[build]]", "build[0].recipe: must be a string"),
        ("[[build]]\nrecipe = ''", "build[0].recipe: must be a string"),
        ("[[build]]\nrecipe = 'a'\nflavours = 'b'", "build[0].flavours: must be a list"),
        ("[[build]]\nrecipe = 'a'\nset = [1]", "build[0].set: must be a string"),
        ('[[build]]\nrecipe = "a\\u001b"', "build[0].recipe: has the character"),
        ("[[build]]\nrecipe = 'a'\n[[build]]\nrecipe = 'a'\nset = ['b=1']", "a is there twice"),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "matrix.toml"
    path.write_text(text)
    with pytest.raises(BuildError) as error:
        matrix.read(path)
    assert why in error.value.message
    assert error.value.hint
    assert error.value.exit is Exit.USAGE


def test_there_are_bounds() -> None:
    cells = [Cell(f"r{number}") for number in range(matrix.MOST + 1)]
    with pytest.raises(BuildError, match="from 1 to 500 recipes"):
        matrix.merged(cells, "here")
    with pytest.raises(BuildError, match="500 flavours at most"):
        matrix.merged([Cell("r", tuple(map(str, range(501))))], "here")


@pytest.mark.parametrize(
    ("jobs", "available", "builds", "expected"),
    [(4, 64, 8, 4), (16, 20, 8, 2), (16, 3, 8, 1), (8, 640, 3, 3), (1, 640, 3, 1)],
)
def test_as_many_compile_at_once_as_slots_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch, jobs: int, available: float, builds: int, expected: int
) -> None:
    def run(memory: int) -> Any:
        recipe = SimpleNamespace(builder=SimpleNamespace(memory=memory))
        return SimpleNamespace(recipe=recipe, jobs=jobs)

    monkeypatch.setattr(matrix, "memory", {"MemAvailable": available}.__getitem__)
    assert matrix.at_once([run(4), run(8)], builds) == expected


def part(name: str, make: Callable[[], list[Any]], *spells: Spell) -> Part:
    """A part whose pipeline does nothing but stop."""
    stopping = threading.Event()
    live = SimpleNamespace(stop=stopping.set, stopping=stopping)
    folder = Path("artifacts") / name
    pipeline = SimpleNamespace(
        run=SimpleNamespace(live=live, folder=folder), spells=list(spells), targets=["xen"]
    )
    return Part(name, cast("Any", pipeline), make)


def failing() -> list[Any]:
    raise BuildError("it is broken", hint="mend it", exit=Exit.STEP)


def waiting(stopping: Callable[[], threading.Event]) -> Callable[[], list[Any]]:
    def make() -> list[Any]:
        if stopping().wait(10):
            raise Interrupted
        return []

    return make


def test_a_failure_stops_the_others_and_is_the_exit_status() -> None:
    other = part("other", list)
    other.make = waiting(lambda: other.pipeline.run.live.stopping)
    parts = [other, part("bad", failing), part("good", list)]
    matrix.build(parts)
    assert [matrices.state(each) for each in parts] == ["stopped", "failed", "finished"]
    outcome = matrices.built(parts, 1.0)
    assert outcome.code == Exit.STEP
    text = outcome.said("table")
    assert "error: it is broken" in text
    assert "1 of 3 finished" in text
    assert '"state": "stopped"' in outcome.said("json")


def test_with_keep_going_the_others_end() -> None:
    other = part("other", list)

    def make() -> list[Any]:
        time.sleep(0.3)
        return waiting(lambda: other.pipeline.run.live.stopping)() if _stopped(other) else []

    other.make = make
    parts = [part("bad", failing), other]
    matrix.build(parts, keep_going=True)
    assert [matrices.state(each) for each in parts] == ["failed", "finished"]


def _stopped(part: Part) -> bool:
    return part.pipeline.run.live.stopping.is_set()


def test_a_defect_is_not_hidden_in_a_table() -> None:
    def defect() -> list[Any]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        matrix.build([part("bad", defect), part("good", list)])


# Turns


class Keeper:
    """In place of the slots' container: counts what is given and taken."""

    def __init__(self, *_: object) -> None:
        self.free = 0

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_: object) -> None:
        self.free = -100

    def give(self) -> None:
        self.free += 1

    def take(self) -> None:
        self.free -= 1


def test_no_more_than_so_many_have_a_turn_and_slots_are_neither_lost_nor_made(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    monkeypatch.setattr(slots, "Slots", Keeper)
    turns, now, most, lock = Turns(2), 0, 0, threading.Lock()

    runs = [world.run() for _ in range(6)]

    def build(seconds: float) -> None:
        nonlocal now, most
        with turns.turn(runs.pop(), "image"):
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(seconds)
            with lock:
                now -= 1

    threads = [threading.Thread(target=build, args=(0.05 * n,)) for n in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2
    keeper = cast("Keeper", turns.slots)
    assert keeper.free == 2, "both have been given to whoever else compiles"
    build(0)
    assert keeper.free == 2
    turns.close()
    assert turns.slots is None


def test_who_waits_for_a_turn_can_be_stopped(world: World) -> None:
    turns, run = Turns(1), world.run()
    with turns.turn(world.run(), "image"):
        run.live.stop()
        with pytest.raises(Interrupted), turns.turn(run, "image"):
            pytest.fail("it had no turn")


# The page


def test_the_page_has_a_line_for_each_machine() -> None:
    parts = [
        part("a", list, Spell("xen-build", 100, 200, "w1"), Spell("kernel-build", 150, 400, "w2")),
        part("<b>", list, Spell("xen-build", 150, 250, "w1"), Spell("xen-finish", 250, 260, "w1")),
    ]
    lanes, begun, whole = timeline.lanes(parts)
    assert (begun, whole) == (100, 300)
    assert [(lane.machine, lane.first, len(lane.bars)) for lane in lanes] == [
        ("w1", True, 2),
        ("w1", False, 1),
        ("w2", True, 1),
    ]
    page = timeline.page(parts)
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert page.count('class="bar') == 4


@given(
    st.lists(
        st.tuples(st.floats(0, 1e10), st.floats(0, 1e6), st.sampled_from(["", "w1", "w2"])),
        max_size=30,
    )
)
def test_no_two_bars_of_a_line_overlap(times: list[tuple[float, float, str]]) -> None:
    spells = [Spell("s", begun, begun + took, where) for begun, took, where in times]
    lanes, _, _ = timeline.lanes([part("a", list, *spells)])
    assert sum(len(lane.bars) for lane in lanes) == len(spells)
    for lane in lanes:
        for one, two in zip(lane.bars, lane.bars[1:], strict=False):
            assert one.left <= two.left


def test_nothing_made_is_said_so() -> None:
    parts = [part("a", list)]
    matrix.build(parts)
    assert "all of it was built before" in matrices.built(parts, 0.1).said("table")
    assert "Nothing had to be made" in timeline.page(parts)
