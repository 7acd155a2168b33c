# SPDX-License-Identifier: GPL-2.0-or-later
"""What the project's verbs are to Invoke."""

from __future__ import annotations

from collections.abc import Callable

from invoke.parser.argument import Argument
from invoke.tasks import Task


class Verb(Task[Callable[..., None]]):
    """A task whose -h is always help, never short for an option.

    It tells its options as often as it is asked: Invoke's own forgets what they mean after once.
    """

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        told = dict(self.help)
        arguments: list[Argument] = super().get_arguments(ignore_unknown_help)
        self.help = told
        for argument in arguments:
            argument.names = tuple(name for name in argument.names if name != "h")
        return arguments
