# SPDX-License-Identifier: GPL-2.0-or-later
"""A real build whose terminal, reader or process goes: its containers go with it."""

from __future__ import annotations

import os
import pty
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builders import ROOT
from builders.errors import Exit
from tests.engine.conftest import FILES, Box

WITHIN = 5  # seconds from the end of whoever watched to that of the last container


def command(box: Box) -> list[str]:
    return [str(ROOT / "inv"), "build-xen", "--recipe", str(box.recipe), "--set", FILES]


def compiling(box: Box) -> None:
    """Wait until the step's script runs."""
    until = time.monotonic() + 120
    log = box.artifacts / "tiny" / "logs" / "xen-build.log"
    while not (log.exists() and "+ sleep 600" in log.read_text(errors="replace")):
        assert time.monotonic() < until, "the build did not begin"
        time.sleep(0.1)


def gone(containers: Callable[[], list[str]], since: float) -> None:
    while found := containers():
        assert time.monotonic() - since < WITHIN, found
        time.sleep(0.1)


def hang_up(box: Box) -> tuple[int, float]:
    """Run a build in a terminal of its own and close that; its status, and when that was."""
    pid, master = pty.fork()
    if pid == 0:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.execve(command(box)[0], command(box), box.environment())  # noqa: S606
    os.set_blocking(master, False)
    until = time.monotonic() + 120
    log = box.artifacts / "tiny" / "logs" / "xen-build.log"
    while not (log.exists() and "+ sleep 600" in log.read_text(errors="replace")):
        assert time.monotonic() < until, "the build did not begin"
        try:
            os.read(master, 1 << 16)  # so that its terminal is not full
        except BlockingIOError:
            time.sleep(0.1)
    os.close(master)
    since = time.monotonic()
    while (waited := os.waitpid(pid, os.WNOHANG))[0] == 0:
        assert time.monotonic() - since < WITHIN
        time.sleep(0.05)
    return os.waitstatus_to_exitcode(waited[1]), since


def test_a_closed_terminal_ends_the_containers(
    box: Box, containers: Callable[[], list[str]]
) -> None:
    box.xen_build = "sleep 600"
    box.write()
    status, since = hang_up(box)
    assert status == Exit.HUNG_UP
    gone(containers, since)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_broken_standard_error_keeps_nothing_running(
    box: Box, containers: Callable[[], list[str]], number: signal.Signals
) -> None:
    box.xen_build = "sleep 600"
    box.write()
    read, write = os.pipe()
    with subprocess.Popen(
        command(box), env=box.environment(), stdin=subprocess.DEVNULL, stderr=write
    ) as process:
        os.close(write)
        compiling(box)
        since = time.monotonic()
        process.send_signal(number)
        os.close(read)
        status = process.wait(WITHIN)
    assert status in (128 + number, -number, Exit.UNREAD)
    gone(containers, since)


def test_signals_at_any_time_leave_nothing_that_runs(
    box: Box, containers: Callable[[], list[str]], tmp_path: Path
) -> None:
    # The seed is the test's own; the moments lie anywhere in the start and in the build.
    moments = random.Random(7)  # noqa: S311 - only has to vary
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL) * 2:
        said = tmp_path / "said"
        with said.open("wb") as out:
            process = subprocess.Popen(
                command(box),
                env=box.environment(),
                stdin=subprocess.DEVNULL,
                stderr=out,
                stdout=out,
            )
            time.sleep(moments.uniform(0, 4))
            since = time.monotonic()
            process.send_signal(number)
            status = process.wait(WITHIN)
        assert status in (0, 128 + number, -number), said.read_text()
        assert "Traceback" not in said.read_text()
        gone(containers, since)
    subprocess.run(command(box), env=box.environment(), check=True, capture_output=True)
