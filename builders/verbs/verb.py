# SPDX-License-Identifier: GPL-2.0-or-later
"""What the project's verbs are to Invoke."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from invoke.parser.argument import Argument
from invoke.tasks import Task

from builders.errors import BuildError


class Option(Argument):
    """An option whose value is seen to be what it takes: a number is one, and no monster."""

    def set_value(self, value: Any, cast: bool = True) -> None:
        if cast and self.kind in (int, float) and not _is_number(value, self.kind):
            kind = "a whole number" if self.kind is int else "a number"
            flag = "--" + (self.name or "").rstrip("_").replace("_", "-")
            raise BuildError(f"{flag} {value}: not {kind}", hint=f"write digits: {flag} 4")
        super().set_value(value, cast)


def _is_number(value: Any, kind: type) -> bool:
    """Whether `value` is a number of a size that somebody means (ASCII, at most nine digits)."""
    form = r"-?[0-9]{1,9}" if kind is int else r"-?[0-9]{1,9}(\.[0-9]{0,9})?"
    text = str(value)
    return bool(re.fullmatch(form, text)) and math.isfinite(float(text))


class Verb(Task[Callable[..., None]]):
    """A task whose -h is always help, never short for an option.

    It tells its options as often as it is asked: Invoke's own forgets what they mean after once.
    """

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        told = dict(self.help)
        arguments: list[Argument] = super().get_arguments(ignore_unknown_help)
        self.help = told
        return [
            Option(
                names=tuple(name for name in each.names if name != "h"),
                kind=each.kind,
                default=each.default,
                help=each.help,
                positional=each.positional,
                optional=each.optional,
                incrementable=each.incrementable,
                attr_name=each.attr_name,
            )
            for each in arguments
        ]
