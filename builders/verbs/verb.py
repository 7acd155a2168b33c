# SPDX-License-Identifier: GPL-2.0-or-later
"""What the project's verbs are to Invoke: tasks that are made from their options."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit as Leave
from invoke.parser.argument import Argument
from invoke.tasks import Task

from builders.errors import BuildError
from builders.show import face
from builders.text import cut, printable
from builders.verbs.catalogue import VERBS, Group
from builders.verbs.command import Command
from builders.verbs.option import Option


class Value(Argument):
    """An option whose value is seen to be what it takes: a number is one, and no monster."""

    def set_value(self, value: Any, cast: bool = True) -> None:
        if cast and self.kind in (int, float) and not _is_number(value, self.kind):
            flag = f"--{self.names[0]}"
            error = BuildError(
                f"{flag} {cut(printable(str(value)))}: {_wrong(str(value), self.kind)}",
                hint=f"write digits: {flag} 4",
            )
            # As Invoke takes it: it prints the words, and ends with the code.
            raise Leave(face.present(error), int(error.exit))
        super().set_value(value, cast)


def _wrong(text: str, kind: type) -> str:
    """Why `text` is no such number."""
    if re.fullmatch(r"-?[0-9]{10,}", text):
        return "a number with more than nine digits"
    return f"not a {'whole ' if kind is int and _is_number(text, float) else ''}number"


def _is_number(value: Any, kind: type) -> bool:
    """Whether `value` is a number of a size that somebody means (ASCII, at most nine digits)."""
    form = r"-?[0-9]{1,9}" if kind is int else r"-?[0-9]{1,9}(\.[0-9]{0,9})?"
    text = str(value)
    return bool(re.fullmatch(form, text)) and math.isfinite(float(text))


class Verb(Task[Callable[..., None]]):
    """The task of a verb; the verb's own module is loaded when Invoke asks for its options."""

    def __init__(self, command: Command) -> None:
        self.command = command

        def body(_: Context, **given: Any) -> None:
            run(**given)

        @face.verb
        def run(**given: Any) -> int:
            return command.run(**given)

        super().__init__(body, name=command.name, positional=(), auto_shortflags=False)

    @property
    def __doc__(self) -> str:
        return self.command.about

    @__doc__.setter
    def __doc__(self, text: str) -> None:
        """Invoke copies that of a function here; a verb has its own."""

    def argspec(self, body: Callable[..., Any]) -> inspect.Signature:  # noqa: ARG002
        return inspect.Signature()

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:  # noqa: ARG002
        return [_argument(each) for each in self.command.options.values()]


def _argument(option: Option) -> Argument:
    names = [option.long, *filter(None, [option.short]), *option.hidden]
    return Value(
        names=names,
        kind=option.kind,
        default=None if option.required or option.kind is list else option.default,
        help=option.help,
        positional=option.required,
        # Invoke can't copy an argument whose second name is the first.
        attr_name=option.name if option.name != option.long else None,
    )


def collect(groups: Iterable[Group]) -> Collection:
    """The verbs of the groups as tasks, and in the collections of the groups that have one."""
    root = Collection()
    for group in groups:
        part = Collection(group.collection)
        for name in group.names:
            task = Verb(VERBS[name])
            root.add_task(task)
            part.add_task(task, name=group.within(name))
        if group.collection:
            root.add_collection(part)
    return root
