# SPDX-License-Identifier: GPL-2.0-or-later
"""The one place where the tool prints, turns errors into exit codes and hears signals."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

from builders.errors import BuildError, Exit, Interrupted

if TYPE_CHECKING:
    from builders.doctor import Check
    from builders.pipeline import State

P = ParamSpec("P")

_CODES = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


def coloured() -> bool:
    """Whether standard output and error may have colour (no-color.org)."""
    return (
        not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
        and sys.stdout.isatty()
        and sys.stderr.isatty()
    )


def paint(text: str, colour: str) -> str:
    """`text` in a colour, where colour may be."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if coloured() else text


def show(text: str) -> None:
    """Print a result on standard output; nothing where there is nothing to say."""
    if not text:
        return
    print(text.rstrip("\n"), flush=True)  # so that `verb` hears of a reader that went away


def near(path: Path) -> str:
    """A path as short as it can be said from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def present(error: BuildError) -> str:
    """An error as people read it: what, the log's telling lines, its path, what next."""
    parts = [paint("error: ", "red") + error.message]
    if error.excerpt:
        parts += ["", *(f"  | {line}" for line in error.excerpt.splitlines()), ""]
    if error.log:
        parts.append(f"{paint('log:', 'bold')}  {error.log}")
    if error.hint:
        parts.append(f"{paint('next:', 'bold')} {error.hint}")
    return "\n".join(parts)


def status(body: Callable[P, int], *args: P.args, **kwargs: P.kwargs) -> int:
    """The exit status that `body` returns, or that of the error that it raises, which is shown."""
    try:
        with signals():
            return body(*args, **kwargs)
    except BuildError as error:
        print(present(error), file=sys.stderr)
        return int(error.exit)
    except (KeyboardInterrupt, Interrupted):
        print(f"{paint('stopped:', 'yellow')} what is finished is kept", file=sys.stderr)
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away; Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.DONE)


def verb(body: Callable[P, int]) -> Callable[P, None]:
    """Make a task of a function that returns an exit status and may raise BuildError."""

    @functools.wraps(body)
    def task(*args: P.args, **kwargs: P.kwargs) -> None:
        from invoke.exceptions import Exit as Leave  # slow to import; who has tasks has it

        code = status(body, *args, **kwargs)
        if code:
            raise Leave(code=code)

    return task


@contextmanager
def signals() -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP stops cleanly, a second one kills.

    One that is ignored stays so: nohup(1) and job control mean it.
    """
    caught = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal caught
        if caught:
            os._exit(int(Exit.INTERRUPTED))
        caught = True
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def width() -> int:
    """Columns of the terminal; wide where there is none."""
    return shutil.get_terminal_size((200, 24)).columns if os.isatty(1) else 200


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns as wide as they need; the last column runs free."""
    if not rows:
        return ""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]) - 1)]
    lines = [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def states(found: Sequence[State]) -> str:
    """What `--explain` says: a line for each stage."""
    colours = {"hit": "green", "miss": "yellow", "unknown": "dim"}
    widest = max(len(s.stage) for s in found)
    return "\n".join(
        f"{s.stage.ljust(widest)}  {paint(s.state.ljust(7), colours[s.state])}  {s.why}"
        for s in found
    )


def outcomes(found: Sequence[tuple[str, str]]) -> str:
    """What `install-test` says: a line for each case, what is wrong below it."""
    colours = {"ok": "green", "failed": "red", "skipped": "yellow"}
    return "\n".join(
        f"{paint(state.ljust(7), colours[state])}  {line}" if state else line
        for state, line in found
    )


def checks(found: Sequence[Check]) -> str:
    """What `doctor` says: a line for each check, its remedy below where it needs one."""
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    widest = max(len(c.name) for c in found)
    lines = []
    for check in found:
        state = paint(check.state.ljust(4), colours[check.state])
        lines.append(f"{state}  {check.name.ljust(widest)}  {check.why}")
        if check.remedy and check.state != "ok":
            lines.append(f"{' ' * (widest + 8)}-> {check.remedy}")
    return "\n".join(lines)
