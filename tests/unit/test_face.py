# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invoke.exceptions import Exit as Leave

from builders import ROOT
from builders.errors import BuildError, Exit, Interrupted
from builders.pipeline.doctor import Check
from builders.pipeline.stages import State
from builders.show import face

pytestmark = pytest.mark.slow
ERROR = BuildError(
    "xen-build: build failed with status 2",
    hint="--shell opens a shell",
    log=Path("/logs/xen-build.log"),
    excerpt="one\ntwo",
    exit=Exit.STEP,
)


class Tty(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool, bool], None]:
    """Say whether standard output and error are terminals."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def are(out: bool, error: bool) -> None:
        monkeypatch.setattr(sys, "stdout", Tty() if out else io.StringIO())
        monkeypatch.setattr(sys, "stderr", Tty() if error else io.StringIO())

    return are


Are = Callable[[bool, bool], None]


# Colour


def test_colour_on_a_terminal(tty: Are) -> None:
    tty(True, True)
    assert face.coloured()
    assert face.paint("x", "red") == "\x1b[31mx\x1b[0m"


@pytest.mark.parametrize(("out", "error"), [(True, False), (False, True), (False, False)])
def test_no_colour_where_one_of_both_is_no_terminal(tty: Are, out: bool, error: bool) -> None:
    tty(out, error)
    assert face.paint("x", "red") == "x"


@pytest.mark.parametrize(
    ("name", "value", "coloured"),
    [
        ("NO_COLOR", "1", False),
        ("NO_COLOR", "0", False),
        ("NO_COLOR", "", True),
        ("TERM", "dumb", False),
        ("TERM", "", False),
    ],
)
def test_what_the_environment_says_of_colour(
    tty: Are, monkeypatch: pytest.MonkeyPatch, name: str, value: str, coloured: bool
) -> None:
    tty(True, True)
    monkeypatch.setenv(name, value)
    assert face.coloured() is coloured


# Errors


def test_an_error_says_what_the_log_and_what_next(tty: Are) -> None:
    tty(False, False)
    assert face.present(ERROR).splitlines() == [
        "error: xen-build: build failed with status 2",
        "",
        "  | one",
        "  | two",
        "",
        "log:  /logs/xen-build.log",
        "next: --shell opens a shell",
    ]


def test_an_error_says_no_more_than_there_is(tty: Are) -> None:
    tty(False, False)
    assert face.present(BuildError("no")) == "error: no"


def test_a_coloured_error_has_the_same_words(tty: Are) -> None:
    tty(True, True)
    coloured = face.present(ERROR)
    assert coloured.startswith("\x1b[31merror: \x1b[0mxen-build")
    tty(False, False)
    for code in (*face._CODES.values(), "0"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == face.present(ERROR)


def test_an_error_fits_the_terminal_and_its_command_stays_whole(
    tty: Are, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    command = "./inv build-all --recipe xen-4.17-bookworm --flavour minimal"
    words = " ".join(f"word{n}" for n in range(30))
    error = BuildError(
        words, hint=f"wait for it, or build it again, which may take long: {command}"
    )
    tty(False, False)
    plain = face.present(error)
    assert len(plain.splitlines()) == 2
    tty(False, True)
    lines = face.present(error).splitlines()
    assert all(len(line) <= 60 for line in lines if command not in line)
    assert lines[-1].strip() == command
    assert " ".join("\n".join(lines).split()) == plain.replace("\n", " ")


# Verbs


def status(body: Callable[[], int]) -> int:
    """The exit status of a verb."""
    try:
        face.verb(body)()
    except Leave as leave:
        return leave.code
    return 0


@pytest.mark.parametrize("code", list(Exit))
def test_what_a_verb_returns_is_its_status(code: Exit) -> None:
    assert status(lambda: code) == int(code)


@pytest.mark.parametrize("code", [e for e in Exit if e])
def test_an_error_is_shown_and_gives_its_status(
    code: Exit, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> int:
        raise BuildError("what", hint="next", exit=code)

    assert status(body) == int(code)
    out, error = capsys.readouterr()
    assert out == ""
    assert error == "error: what\nnext: next\n"


@pytest.mark.parametrize(
    ("number", "paths", "said", "hint"),
    [
        (errno.EACCES, ("/x/y",), "/x/y: Permission denied", "ls -ld"),
        (errno.ENOTDIR, (b"/dev/null/x",), "/dev/null/x: Not a directory", "a part of it"),
        (errno.ELOOP, ("/x/y",), "/x/y: Too many levels of symbolic links", "namei -l"),
        (errno.EXDEV, ("/a",), "", ""),  # nobody but a programmer can mend it
        (errno.ENOENT, ("/a",), "", ""),
        (errno.ENOSPC, (), "No space left on device", "df -h"),
        (errno.EACCES, ("/a", "/b"), "/a to /b: Permission denied", "ls -ld"),
    ],
)
def test_what_the_box_refuses_is_no_bug(
    number: int,
    paths: tuple[str | bytes, ...],
    said: str,
    hint: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Wherever a file is opened: what its user can mend is said as every other error."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    names = (paths[0], None, paths[1]) if len(paths) == 2 else paths

    def body() -> int:
        raise OSError(number, os.strerror(number), *names)

    code = status(body)
    shown = capsys.readouterr().err
    if said:
        assert code == Exit.ENGINE
        assert shown.startswith(f"error: {said}\nnext: ")
        assert hint in shown
        assert not list(tmp_path.iterdir())
    else:
        assert code == Exit.BUG
        assert "this is a bug of dom0-debs" in shown


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Interrupted])
def test_a_stop_gives_130(kind: type[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> int:
        raise kind

    assert status(body) == 130
    assert "stopped: what is finished is kept" in capsys.readouterr().err


def test_a_verb_keeps_its_name_and_documentation() -> None:
    def fetch() -> int:
        """Fetch."""
        return 0

    made = face.verb(fetch)
    assert (made.__name__, made.__doc__) == ("fetch", "Fetch.")


def test_signals_are_as_before_after_a_verb() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    status(lambda: 0)
    assert [signal.getsignal(number) for number in numbers] == before


# Verbs in a process of their own

PROGRAM = """
import sys, time
from invoke.exceptions import Exit as Leave
from builders.show.face import show, verb
@verb
def body():
{body}
    return 0
try:
    body()
except Leave as leave:
    sys.exit(leave.code)
"""
WAIT = """
    print("ready", flush=True)
    time.sleep(20)
"""
STUBBORN = """
    try:
        print("ready", flush=True)
        time.sleep(20)
    except KeyboardInterrupt:
        print("stopping", flush=True)
        time.sleep(20)
"""


def start(body: str, ignored: signal.Signals | None = None) -> subprocess.Popen[str]:
    def ignore() -> None:
        if ignored:
            signal.signal(ignored, signal.SIG_IGN)

    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=ignore,
    )


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_stops_cleanly(number: signal.Signals) -> None:
    with start(WAIT) as process:
        assert heard(process) == "ready"
        process.send_signal(number)
        assert process.wait(10) == 128 + number
        assert process.stderr
        assert process.stderr.read() == "stopped: what is finished is kept\n"


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_kills(second: signal.Signals) -> None:
    with start(STUBBORN) as process:
        assert heard(process) == "ready"
        process.send_signal(signal.SIGINT)
        assert heard(process) == "stopping"
        time.sleep(0.3)  # timeout(1) sends its signal twice at once: that is one
        begun = time.monotonic()
        process.send_signal(second)
        assert process.wait(10) == 130
        assert time.monotonic() - begun < 1


def test_a_signal_that_was_ignored_before_stays_so() -> None:
    # nohup(1) ignores SIGHUP, so that work outlives the terminal.
    body = """
    print("ready", flush=True)
    time.sleep(0.3)
    print("done", flush=True)
"""
    with start(body, signal.SIGHUP) as process:
        assert heard(process) == "ready"
        process.send_signal(signal.SIGHUP)
        assert heard(process) == "done"
        assert process.wait(10) == 0


@pytest.mark.parametrize("body", ["    show('x')", "    for n in range(9999): show('x' * 99)"])
def test_a_reader_that_goes_away_is_no_error(body: str) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(body=body)],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


# Tables


def test_a_table() -> None:
    rows = [("a", "long one", "x"), ("bcd", "e", "")]
    assert face.table(rows) == "a    long one  x\nbcd  e"
    assert face.table([]) == ""
    assert face.table([("only",), ("one",)]) == "only\none"


def test_the_last_column_is_wrapped_where_the_terminal_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(face, "width", lambda: 30)
    rows = [("name", "some words that need more room"), ("x", "few")]
    assert face.table(rows) == "name  some words that need\n      more room\nx     few"
    monkeypatch.setattr(face, "width", lambda: 20)  # too narrow for columns
    assert face.table(rows).splitlines()[0] == "name  some words that need more room"


_CELLS = st.text("abc-1 ", max_size=6).map(str.strip)


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[_CELLS] * n), max_size=5)))
def test_the_columns_of_a_table_line_up(rows: list[tuple[str, ...]]) -> None:
    lines = face.table(rows).split("\n") if rows else []
    assert len(lines) == len(rows)
    for n in range(len(rows[0]) - 1 if rows else 0):
        start = sum(max(len(row[m]) for row in rows) + 2 for m in range(n))
        for line, row in zip(lines, rows, strict=True):
            assert line[start:].startswith(row[n])


def test_states_name_every_stage_its_state_and_why(tty: Are) -> None:
    tty(False, False)
    found = [State("image", "hit", "0f"), State("xen-build", "miss", "never made")]
    assert face.states(found).splitlines() == [
        "image      hit      0f",
        "xen-build  miss     never made",
    ]


def test_checks_show_a_remedy_only_where_one_is_needed(tty: Are) -> None:
    tty(False, False)
    found = [
        Check("engine", "ok", "20.10", "never shown"),
        Check("git", "fail", "not installed", "apt-get install git"),
        Check("room", "warn", "little"),
    ]
    assert face.checks(found).splitlines() == [
        "ok    engine  20.10",
        "fail  git     not installed",
        "              -> apt-get install git",
        "warn  room    little",
    ]


def test_checks_fit_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face, "width", lambda: 60)
    long = "https://download.example/an/address: " + "no answer " * 10
    lines = face.checks([Check("source x", "fail", long, "take " * 20)]).splitlines()
    assert len(lines) > 4
    assert all(len(line) <= 60 for line in lines)
    assert " ".join(" ".join(lines).split()).count("no answer") == 10


def test_an_interrupt_while_a_class_is_made_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    class Interrupting:
        def __set_name__(self, owner: type, name: str) -> None:
            raise KeyboardInterrupt

    def body() -> int:
        type("Made", (), {"field": Interrupting()})
        return 0

    assert face.status(body) == 130
    assert capsys.readouterr().err == "stopped: what is finished is kept\n"
