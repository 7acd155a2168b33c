# SPDX-License-Identifier: GPL-2.0-or-later
"""An interactive shell in a container, through the engine's API, so that it works remotely."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Callable
from typing import TYPE_CHECKING

from builders.progress import Reporter

if TYPE_CHECKING:
    from builders.ground.engine.container import Container
    from builders.ground.engine.step import Step


def on_failure(reporter: Reporter) -> Callable[[Step], None]:
    """What opens a shell where a step failed, before its container goes."""

    def open_shell(step: Step) -> None:
        step.pause()
        reporter.line(f"{step.name} failed: a shell in its container; leave it to go on")
        interact(step.container, "/build/tree")

    return open_shell


def interact(container: Container, folder: str) -> int:
    """Hand the terminal to a shell in `folder`; its exit status."""
    shell = container.shell(folder)
    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)

    def resize(_number: int = 0, _frame: object = None) -> None:
        size = shutil.get_terminal_size()
        shell.resize(size.lines, size.columns)

    handler = signal.signal(signal.SIGWINCH, resize)
    try:
        tty.setraw(stdin)
        resize()
        _pump(stdin, sys.stdout.fileno(), shell.fileno())
    finally:
        signal.signal(signal.SIGWINCH, handler)
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)
        shell.close()
    return shell.status()


def _pump(stdin: int, stdout: int, remote: int) -> None:
    """Carry bytes both ways until the shell ends."""
    while True:
        ready, _, _ = select.select([stdin, remote], [], [])
        if remote in ready:
            data = os.read(remote, 65536)
            if not data:
                return
            os.write(stdout, data)
        if stdin in ready:
            typed = os.read(stdin, 65536)
            if not typed:
                return
            os.write(remote, typed)
