# SPDX-License-Identifier: GPL-2.0-or-later
"""The one exception for what a user can act on, and the exit codes."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path


class Exit(IntEnum):
    """Exit status of the tool, one per kind of outcome."""

    DONE = 0
    AUDIT = 1  # the audit found errors
    USAGE = 2  # the command line, a recipe or an input file
    SOURCE = 3  # a source could not be fetched or verified
    ENGINE = 4  # the container engine or the box
    STEP = 5  # a build step failed
    BUG = 70  # a defect of this tool (EX_SOFTWARE of sysexits.h)
    HUNG_UP = 129  # 128 + SIGHUP: the terminal is gone
    INTERRUPTED = 130  # 128 + SIGINT
    UNREAD = 141  # 128 + SIGPIPE: whoever read the output has left
    TERMINATED = 143  # 128 + SIGTERM


_MESSAGE = 4000  # characters: what a stranger's file says may be quoted in it


class BuildError(Exception):
    """A failure that the user can act on.

    message: what failed and why, one or two lines.
    hint: what to do next.
    log: the full log of the failed step, where there is one.
    excerpt: the last lines of that log.
    exit: the exit status that the tool ends with.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        log: Path | None = None,
        excerpt: str = "",
        exit: Exit = Exit.USAGE,
    ) -> None:
        message = message if len(message) <= _MESSAGE else f"{message[:_MESSAGE]}..."
        super().__init__(message)
        self.message = message
        self.hint = hint[:_MESSAGE]
        self.log = log
        self.excerpt = excerpt
        self.exit = exit


def not_installed(what: str, lock: str) -> BuildError:
    """The error where an extra is not installed: what needs which, and the lock that has it."""
    return BuildError(
        f"{what} is not installed",
        hint=f".venv/bin/python -m pip install --require-hashes --no-deps -r {lock}",
    )


class Interrupted(BaseException):
    """The user asked to stop; not an Exception, so that no handler swallows it."""
