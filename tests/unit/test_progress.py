# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import io
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from builders.progress import Silent
from builders.show.terminal import _LOCK, Terminal, _Slots
from builders.text import clock, printable


class Tty(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0:00"),
        (0.9, "0:00"),
        (59.99, "0:59"),
        (60, "1:00"),
        (754, "12:34"),
        (3599.9, "59:59"),
        (3600, "1:00:00"),
        (36061, "10:01:01"),
    ],
)
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@given(st.text())
def test_printable_text_has_no_control_characters_and_its_length(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert printable(shown) == shown
    assert all(new in (old, " ") for old, new in zip(text, shown, strict=True))


def test_printable_takes_escapes_apart() -> None:
    assert printable("a\x1b[2Jb\rc\nd\te\x7f\x9bz\u202e") == "a [2Jb c d e  z "


def work(reporter: Terminal | Silent) -> None:
    with reporter.work("xen-build") as task:
        task.total(1)
        task.show("configure", "checking for gcc")
        task.advance(1)
    with reporter.transfer("xen.tar.gz") as task:
        task.total(100)
        task.advance(100)
        task.show("verify")


def test_the_lock_of_what_moves_is_there_before_the_first_line() -> None:
    Terminal(Tty()).line("x")
    assert vars(tqdm)["_lock"] is _LOCK


def test_where_nobody_looks_only_lines_are_written() -> None:
    stream = io.StringIO()
    reporter = Terminal(stream)
    work(reporter)
    assert stream.getvalue() == ""
    reporter.line("xen-build: done in 1:59")
    assert stream.getvalue() == "xen-build: done in 1:59\n"


def test_a_dumb_terminal_is_treated_as_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Tty()
    work(Terminal(stream))
    assert stream.getvalue() == ""


def test_no_thread_is_started_where_nobody_looks() -> None:
    before = threading.active_count()
    with Terminal(io.StringIO()).work("x"):
        assert threading.active_count() == before


def test_silent_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    work(Silent())
    Silent().line("x")
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_the_phase_and_the_last_line_are_shown() -> None:
    stream = Tty()
    with Terminal(stream).work("xen-build") as task:
        task.show("build", "CC xl.o\x1b[2J\r")
        deadline = time.monotonic() + 5
        while "CC xl.o" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)  # the row is drawn by its own clock
    shown = stream.getvalue()
    assert "xen-build  0:00  " in shown
    assert "build  CC xl.o [2J" in shown
    assert "\x1b[2J" not in shown


def test_a_row_is_not_wider_than_the_terminal() -> None:
    stream = Tty()
    with Terminal(stream).work("xen-build") as task:
        task.show("build", "x" * 500)
        task.__enter__()  # draws it at once
    rows = stream.getvalue().replace("\n", "\r").split("\r")
    assert max(len(row) for row in rows) <= 60
    assert any("xxx" in row for row in rows)


def test_a_row_ends_with_its_task() -> None:
    before = threading.active_count()
    with Terminal(Tty()).work("x"):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_on_a_terminal_bytes_are_counted() -> None:
    stream = Tty()
    with Terminal(stream).transfer("xen.tar.gz") as task:
        task.total(2048)
        task.advance(1024)
        task.show("again", "2nd try\x07")
        task.advance(1024)
    shown = stream.getvalue()
    assert "xen.tar.gz" in shown
    assert "2.00k" in shown
    assert "\x07" not in shown


def test_a_line_stays_above_the_rows() -> None:
    stream = Tty()
    reporter = Terminal(stream)
    with reporter.work("x"):
        reporter.line("a line that stays")
    assert "a line that stays\n" in stream.getvalue()


@pytest.mark.slow
@given(st.lists(st.integers(0, 6), max_size=30))
def test_every_task_has_a_row_of_its_own_and_rows_stay_low(moves: list[int]) -> None:
    slots, taken = _Slots(), list[int]()
    for move in moves:
        if move < 4 or not taken:
            slot = slots.take()
            assert slot == min(set(range(len(taken) + 1)) - set(taken))
            taken.append(slot)
        else:
            slots.give(taken.pop(move % len(taken)))
