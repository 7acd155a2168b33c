# SPDX-License-Identifier: GPL-2.0-or-later
"""The one place where the tool prints and turns errors into exit codes."""

from __future__ import annotations

import errno
import functools
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, ParamSpec

from builders import ends
from builders.errors import BuildError, Exit, Interrupted
from builders.text import columns, cut, plain

if TYPE_CHECKING:
    from builders.pipeline.doctor import Check
    from builders.pipeline.online import Address
    from builders.pipeline.stages import State

P = ParamSpec("P")

_CODES = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


def coloured() -> bool:
    """Whether standard output and error may have colour (no-color.org)."""
    return (
        not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") not in (None, "", "dumb")
        and sys.stdout.isatty()
        and sys.stderr.isatty()
    )


def paint(text: str, colour: str) -> str:
    """`text` in a colour, where colour may be."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if coloured() else text


# Codes that this tool itself writes: colours, bold and dim, and their end.
_OURS = re.compile(r"(\x1b\[(?:[012]|(?:1;)?3[0-7])m)")


def _clean(text: str) -> str:
    """`text` as it may be written: what others said in it moves no cursor and hides nothing."""
    if "\x1b" not in text or not coloured():
        return plain(text)
    parts = _OURS.split(text)
    return "".join(part if n % 2 else plain(part) for n, part in enumerate(parts))


def show(text: str) -> None:
    """Print a result on standard output; nothing where there is nothing to say.

    A reader that left before the end, such as head(1), has what it wants: what a verb found does
    not change by that. BuildError (ENGINE) where standard output cannot be written otherwise.
    """
    if not text:
        return
    try:
        print(_clean(text).rstrip("\n"), flush=True)
    except BrokenPipeError:
        _forget(sys.stdout)
    except OSError as error:
        _forget(sys.stdout)
        raise _unwritten(error) from None


def _forget(stream: object) -> None:
    """Let a stream that can't be written lead nowhere; Python complains about it at exit."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())  # type: ignore[attr-defined]
        os.close(null)


def _unwritten(error: OSError) -> BuildError:
    return BuildError(
        f"standard output cannot be written: {error.strerror or error}",
        hint="let it lead elsewhere and run it again: what is finished is kept",
        exit=Exit.ENGINE,
    )


def tell(text: str) -> None:
    """Write lines to standard error, where anybody can be told; never an error."""
    try:
        print(_clean(text), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _forget(sys.stderr)


def near(path: Path) -> str:
    """A path as short as it can be said from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def present(error: BuildError) -> str:
    """An error as people read it: what, the log's telling lines, its path, what next.

    Message and hint are no wider than a terminal on standard error.
    """
    columns = shutil.get_terminal_size().columns if sys.stderr.isatty() else 0
    parts = [paint("error: ", "red") + _folded(error.message, len("error: "), columns)]
    if error.excerpt:
        parts += ["", *(f"  | {line}" for line in error.excerpt.splitlines()), ""]
    if error.log:
        parts.append(f"{paint('log:', 'bold')}  {error.log}")
    if error.hint:
        parts.append(f"{paint('next:', 'bold')} {_folded(error.hint, len('next: '), columns)}")
    return "\n".join(parts)


# ./inv, its verb, and after it options with their values, and files.
_COMMAND = r"\./inv [\w.-]+(?: --?[\w-]+(?: [^\s-]\S*)?| \S*[./]\S+)*"
_WORDS = re.compile(rf"{_COMMAND}\S*|\S+")


def _folded(text: str, indent: int, columns: int) -> str:
    """`text` within `columns` after `indent` of them, where there are that many.

    No word is cut, and no command of this tool either: it can be copied from the terminal.
    """
    room = columns - indent
    if room < _LEAST:
        return text
    lines: list[str] = []
    for line in text.split("\n"):
        lines.append(line if len(line) <= room else "")
        for word in _WORDS.findall(line) if len(line) > room else ():
            if lines[-1] and len(lines[-1]) + 1 + len(word) > room:
                lines.append("")
            lines[-1] += f" {word}" if lines[-1] else word
    return f"\n{' ' * indent}".join(lines)


def status(body: Callable[P, int], *args: P.args, **kwargs: P.kwargs) -> int:
    """The exit status that `body` returns, or that of the error that it raises, which is shown."""
    try:
        with ends.guard():
            return body(*args, **kwargs)
    except BuildError as error:
        tell(present(error))
        return int(error.exit)
    except (KeyboardInterrupt, Interrupted):
        return _stopped()
    except MemoryError:
        tell(present(BuildError("there is not enough memory", hint="see ulimit -v and free -m")))
        return int(Exit.ENGINE)
    except OSError as error:
        if error.errno not in _OF_THE_BOX:
            return _defect(error)
        tell(present(_refused(error)))
        return int(Exit.ENGINE)
    except Exception as error:
        # Before 3.12 Python makes a RuntimeError of what is raised while a class is made.
        if isinstance(error.__cause__, KeyboardInterrupt):
            return _stopped()
        return _defect(error)


def _stopped() -> int:
    tell(f"{paint('stopped:', 'yellow')} what is finished is kept")
    return ends.status()


# What a box may answer wherever a file is opened, and its user can mend: who may do what, a path
# that leads nowhere, a disk. A file that is not there is none of these: code has to expect it.
_OF_THE_BOX = {
    errno.EACCES: "see who may read and write it (ls -ld), or name another",
    errno.EPERM: "see who may read and write it (ls -ld, lsattr -d), or name another",
    errno.EROFS: "name one on a disk that can be written",
    errno.ELOOP: "see where its links lead (namei -l)",
    errno.ENOTDIR: "a part of it is a file where a folder has to be: name another",
    errno.ENAMETOOLONG: "name a shorter one",
    errno.ENOSPC: "make room there (df -h)",
    errno.EDQUOT: "make room in the quota",
    errno.EIO: "see what the kernel says of that disk (dmesg)",
    errno.EMFILE: "let more files be open at once (ulimit -n)",
    errno.ENFILE: "let more files be open on this box (sysctl fs.file-max)",
}


def _refused(error: OSError) -> BuildError:
    """What the box refused, as an error that a user can act on; errno: one of `_OF_THE_BOX`."""
    from builders import bug

    names = [
        os.fsdecode(n) for n in (error.filename, error.filename2) if isinstance(n, str | bytes)
    ]
    why = os.strerror(error.errno or 0)  # what stands in the exception may be anything
    return BuildError(
        cut(bug.masked(f"{' to '.join(names)}: {why}" if names else why)),
        hint=_OF_THE_BOX[error.errno or 0],
        exit=Exit.ENGINE,
    )


def _defect(error: Exception) -> int:
    """Tell of an exception that nobody expected; the exit status for it."""
    from builders import bug

    words = [
        f"{paint('error:', 'red')} this is a bug of dom0-debs, not of yours: {bug.brief(error)}"
    ]
    path = bug.write(error)
    if path:
        words.append(f"{paint('log:', 'bold')}  {path}")
    words.append(f"{paint('next:', 'bold')} report it with what the log says")
    tell("\n".join(words))
    return int(Exit.BUG)


def verb(body: Callable[P, int]) -> Callable[P, None]:
    """Make a task of a function that returns an exit status and may raise BuildError."""

    @functools.wraps(body)
    def task(*args: P.args, **kwargs: P.kwargs) -> None:
        from invoke.exceptions import Exit as Leave  # slow to import; who has tasks has it

        code = status(body, *args, **kwargs)
        if code:
            raise Leave(code=code)

    return task


def run(body: Callable[P, int], *args: P.args, **kwargs: P.kwargs) -> NoReturn:
    """Run `body` as the whole of the process, which ends with its `status`."""

    def listening() -> int:
        ends.listen()
        return body(*args, **kwargs)

    with ends.guard():
        try:
            code = status(listening)
            ends.leaving(code)
        except KeyboardInterrupt:  # between the lines above
            code = ends.status()
        _leave(code)


def _leave(code: int) -> NoReturn:
    """End the process with that status; what is still to be written is, or that is said."""
    ends.leaving(code)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _forget(sys.stdout)
    except (OSError, ValueError) as error:
        _forget(sys.stdout)
        if isinstance(error, OSError):
            tell(present(_unwritten(error)))
            code = code or int(Exit.ENGINE)
    sys.exit(code)


def width() -> int:
    """Columns of the terminal; wide where there is none."""
    return shutil.get_terminal_size((200, 24)).columns if os.isatty(1) else 200


_LEAST = 20  # columns that a wrapped text needs


def hang(text: str, indent: int) -> str:
    """`text` after `indent` columns, and below them where a terminal ends."""
    room = width() - indent
    if not _LEAST <= room < len(text):
        return text
    lines = textwrap.wrap(text, room, break_on_hyphens=False, break_long_words=False)
    return f"\n{' ' * indent}".join(lines)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns as wide as they need; the last column is wrapped where a terminal ends."""
    return "\n".join(columns(rows, hang))


def states(found: Sequence[State]) -> str:
    """What `--explain` says: a line for each stage."""
    colours = {"hit": "green", "miss": "yellow", "unknown": "dim"}
    widest = max(len(s.stage) for s in found)
    return "\n".join(
        f"{s.stage.ljust(widest)}  {paint(s.state.ljust(7), colours[s.state])}  "
        f"{hang(s.why, widest + 11)}"
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
    """What `doctor` says: each check, and its remedy below; no wider than the terminal."""
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    widest = max(len(c.name) for c in found)
    lines = []
    for check in found:
        state = paint(check.state.ljust(4), colours[check.state])
        lines.append(f"{state}  {check.name.ljust(widest)}  {hang(check.why, widest + 8)}")
        if check.remedy and check.state != "ok":
            lines.append(f"{' ' * (widest + 8)}-> {hang(check.remedy, widest + 11)}")
    return "\n".join(lines)


def addresses(found: Sequence[Address]) -> str:
    """What `doctor --online` says: each address, and below it what it serves."""
    colours = {"pinned": "green", "likely": "yellow", "failed": "red"}
    widest = max(len(a.what) for a in found)
    lines = []
    for address in found:
        state = paint(address.state.ljust(6), colours[address.state])
        lines.append(f"{state}  {address.what.ljust(widest)}  {address.url}".rstrip())
        lines.append(f"{' ' * (widest + 10)}{hang(address.why, widest + 10)}")
    return "\n".join(lines)
