# SPDX-License-Identifier: GPL-2.0-or-later
"""What the project's verbs are to Invoke."""

from __future__ import annotations

from collections.abc import Callable

from invoke.parser.argument import Argument
from invoke.tasks import Task


class Verb(Task[Callable[..., None]]):
    """A task whose -h is always help, never short for an option."""

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        arguments: list[Argument] = super().get_arguments(ignore_unknown_help)
        for argument in arguments:
            argument.names = tuple(name for name in argument.names if name != "h")
        return arguments
