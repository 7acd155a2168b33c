# SPDX-License-Identifier: GPL-2.0-or-later
"""Every way in which a run can be ended, with real signals, terminals and pipes."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import random
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import ROOT, bug, ends
from builders.errors import Exit
from builders.show import face
from builders.show.terminal import Terminal

pytestmark = pytest.mark.slow

# A build as the signals see it: work of its own that only `Live` can end, a line now and then.
# STUCK: the main thread does not hear an exception either.
BUILD = """
import subprocess, sys, threading, time
from builders import ends
from builders.show import face
from builders.ground.engine.live import Live
from builders.show.terminal import Terminal

class Compiler:
    def __init__(self):
        self.process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    def kill(self):
        self.process.kill()
def build():
    ends.watch()
    reporter, live, compiler = Terminal(), Live(), Compiler()
    live.add(compiler)
    talks = "talk" in sys.argv
    told = ended = False
    while not ended:
        try:
            if not told:
                reporter.line(f"compiler {compiler.process.pid}")
            told = True
            while compiler.process.poll() is None:
                time.sleep(0.05)
                if talks:
                    reporter.line("x")
            ended = True
        except KeyboardInterrupt:
            if "stuck" not in sys.argv:
                reporter.line("stopping")
                raise
    if "stuck" in sys.argv:
        time.sleep(60)
    return 0
face.run(build)
"""


@contextlib.contextmanager
def build(*words: str, **streams: object) -> Iterator[subprocess.Popen[bytes]]:
    """A build that runs; it is ended after the block if it did not end."""
    process = subprocess.Popen(  # type: ignore[call-overload]
        [sys.executable, "-c", BUILD, *words], cwd=ROOT, **streams
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def begun(descriptor: int) -> int:
    """The process that compiles, as the build tells it."""
    text = b""
    while b"\n" not in text.partition(b"compiler ")[2]:
        more = os.read(descriptor, 4096)
        assert more, f"the build ended: {text!r}"
        text += more
    return int(text.partition(b"compiler ")[2].split()[0])


def gone(pid: int) -> bool:
    """Whether a process is gone, or is so once its parent asks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def ended(process: subprocess.Popen[bytes], compiler: int) -> int:
    """The exit status of a build; it and its compiler end within five seconds."""
    since = time.monotonic()
    status = process.wait(5)
    while not gone(compiler):
        assert time.monotonic() - since < 5, "the compiler goes on"
        time.sleep(0.01)
    return status


@pytest.mark.parametrize("words", [[], ["talk"], ["stuck"]], ids=["quiet", "talking", "stuck"])
def test_a_terminal_that_is_gone_ends_the_build(words: list[str]) -> None:
    master, slave = pty.openpty()
    # No session of its own: no SIGHUP is sent, only the terminal is gone.
    with build(*words, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        compiler = begun(master)
        os.close(master)
        assert ended(process, compiler) == Exit.HUNG_UP


def test_a_session_that_hangs_up_ends_the_build() -> None:
    pid, master = pty.fork()
    if pid == 0:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", BUILD, "talk"])  # noqa: S606
    compiler = begun(master)
    os.close(master)
    since = time.monotonic()
    while (waited := os.waitpid(pid, os.WNOHANG))[0] == 0:
        assert time.monotonic() - since < 5
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(waited[1]) == Exit.HUNG_UP
    assert gone(compiler)


def test_where_hangups_are_ignored_the_work_outlives_its_terminal() -> None:
    master, slave = pty.openpty()
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    with build("talk", stdin=slave, stdout=slave, stderr=slave, preexec_fn=ignore) as process:
        os.close(slave)
        compiler = begun(master)
        os.close(master)
        time.sleep(0.5)
        assert process.poll() is None
        os.kill(compiler, signal.SIGKILL)  # it is done
        assert process.wait(5) == 0


@pytest.mark.parametrize("words", [[], ["talk"]], ids=["quiet", "talking"])
@pytest.mark.parametrize("which", ["stdout", "stderr", "both"])
def test_a_reader_that_is_gone_ends_the_build(words: list[str], which: str, tmp_path: Path) -> None:
    read, write = os.pipe()
    told = (tmp_path / "told").open("w+b")
    streams = {"stdout": told, "stderr": told} | dict.fromkeys(
        ["stdout", "stderr"] if which == "both" else [which], write
    )
    with build(*words, **streams) as process:
        os.close(write)
        if which == "stdout":
            while b"\n" not in (text := (tmp_path / "told").read_bytes()):
                time.sleep(0.02)
            compiler = int(text.split()[1])
        else:
            compiler = begun(read)
        os.close(read)
        assert ended(process, compiler) == Exit.UNREAD
    told.close()
    assert b"Traceback" not in (tmp_path / "told").read_bytes()


def test_a_full_disk_below_standard_error_ends_the_build() -> None:
    with Path("/dev/full").open("wb") as full, build("talk", stderr=full) as process:
        assert process.wait(5) == Exit.ENGINE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_build_though_standard_error_is_broken(
    number: signal.Signals,
) -> None:
    read, write = os.pipe()
    with build(stderr=write) as process:
        os.close(write)
        compiler = begun(read)
        process.send_signal(number)
        os.close(read)
        # Both happen at once: whichever the tool notices first.
        assert ended(process, compiler) in (128 + number, Exit.UNREAD)


def test_a_second_hangup_is_no_kill_and_a_second_interrupt_is() -> None:
    with build("stuck", stderr=subprocess.PIPE) as process:
        assert process.stderr
        compiler = begun(process.stderr.fileno())
        process.send_signal(signal.SIGHUP)
        while not gone(compiler):
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(1) == Exit.HUNG_UP


def test_an_interrupt_while_the_tool_starts_is_no_traceback() -> None:
    # The seed is the test's own; each run is at another moment of the first 0.3 s.
    moments = random.Random(12)  # noqa: S311 - only has to vary
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) * 3:
        process = subprocess.Popen(
            [ROOT / "inv", "--no-setup", "recipes"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        time.sleep(moments.uniform(0, 0.3))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        out, said = process.communicate(timeout=5)
        assert process.returncode in (0, 128 + number, -number), said
        assert said in (b"", b"stopped: what is finished is kept\n")
        assert process.returncode != 0 or out


def test_a_signal_that_came_before_python_was_ready_is_heard() -> None:
    script = "import signal, os; os.kill(os.getpid(), signal.SIGINT)\n" + BUILD
    process = subprocess.run(
        ["env", "--block-signal=INT", sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        timeout=5,
        check=False,
    )
    assert (process.returncode, process.stderr) == (130, b"stopped: what is finished is kept\n")


# Results


RESULT = """
import sys
from builders.show import face
face.run(lambda: face.show(sys.argv[1] * int(sys.argv[2])) or int(sys.argv[3]))
"""


@pytest.mark.parametrize("times", [1, 200_000])
@pytest.mark.parametrize("status", [0, 1])
def test_a_reader_that_left_changes_no_verdict(times: int, status: int) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", RESULT, "x", str(times), str(status)],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (status, b"")


@pytest.mark.parametrize("status", [0, 1])
def test_a_result_that_cannot_be_written_is_an_error(status: int) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", RESULT, "x", "1", str(status)],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == Exit.ENGINE
    assert done.stderr.startswith(b"error: standard output cannot be written: No space left")


def test_closed_streams_are_no_error() -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "{ROOT}/inv" --no-setup recipes <&- >&- 2>&-'], timeout=10, check=False
    )
    assert done.returncode == 0


def test_what_others_said_reaches_the_terminal_without_its_escapes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile = "a\x1b[2Jb\x9b3Jc\u202ed\u2066e\x07f\x00g\udcffh\u200bi\ttab\n"
    face.show(hostile)
    face.tell(hostile)
    Terminal().line(hostile)
    out, said = capsys.readouterr()
    for text in (out, said):
        assert not set(text) & set("\x1b\x9b\u202e\u2066\x07\x00\udcff\u200b")
        assert "i\ttab" in text


# What nobody expected


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "dom0-debs"


def test_a_defect_is_told_and_written_down(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> int:
        raise ZeroDivisionError("by nought")

    assert face.status(body) == Exit.BUG
    (path,) = state.iterdir()
    assert capsys.readouterr().err.splitlines() == [
        "error: this is a bug of dom0-debs, not of yours: ZeroDivisionError: by nought",
        f"log:  {path}",
        "next: report it with what the log says",
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert 'raise ZeroDivisionError("by nought")' in path.read_text()


def test_no_secret_is_told_or_written_down(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = {
        "DOM0_DEBS_SIGN_KEY": "c2VjcmV0IGtleQ" * 9,
        "GITHUB_TOKEN": "ghp_1234567890",
        "MIRROR_PASSWORD": "one line\nanother 'line' of it",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    armored = "-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQOYBF\n-----END PGP PRIVATE KEY BLOCK-----"

    def body() -> int:
        words = " ".join(secrets.values())
        raise OSError(
            errno.ENOENT, f"{words} https://me:hunter2@example.org/?X-Sig=abcdef {armored}", words
        )

    assert face.status(body) == Exit.BUG
    (path,) = state.iterdir()
    said = capsys.readouterr().err + path.read_text()
    for secret in (*secrets.values(), "another", "hunter2", "abcdef", "lQOYBF", "ghp_"):
        assert secret not in said
    assert "example.org" in said


def test_no_secret_is_told_of_what_the_box_refuses(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "c2VjcmV0IGtleQ" * 9
    monkeypatch.setenv("DOM0_DEBS_SIGN_KEY", secret)

    def body() -> int:
        raise OSError(errno.ENAMETOOLONG, f"{secret} is too long", f"/srv/{secret}")

    assert face.status(body) == Exit.ENGINE
    assert not state.exists()
    said = capsys.readouterr().err
    assert secret[:14] not in said
    assert "File name too long" in said


def test_only_the_newest_defects_are_kept(state: Path) -> None:
    for _ in range(bug._KEPT + 5):
        bug.write(ZeroDivisionError())
    assert len(list(state.iterdir())) == bug._KEPT


def test_too_little_memory_is_no_bug(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> int:
        raise MemoryError

    assert face.status(body) == Exit.ENGINE
    assert not state.exists()
    assert "not enough memory" in capsys.readouterr().err


def test_a_guard_in_a_guard_changes_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    with ends.guard():
        inside = signal.getsignal(signal.SIGINT)
        with ends.guard():
            assert signal.getsignal(signal.SIGINT) is inside
        assert signal.getsignal(signal.SIGINT) is inside
    assert signal.getsignal(signal.SIGINT) is before


def test_the_streams_are_waited_for_by_poll() -> None:
    read, write = os.pipe()
    assert ends._has_reader(write)
    os.close(read)
    poll = select.poll()
    poll.register(write, 0)
    assert poll.poll(0)
    os.close(write)
    assert not ends._has_reader(write)
