# SPDX-License-Identifier: GPL-2.0-or-later
"""A verb as the command line has it, from the module with its `Options` and its `run`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from builders.show import face
from builders.verbs.option import Option, options

if TYPE_CHECKING:
    from builders.show.outcome import Outcome


class Command:
    """The verb `name`. Its module is loaded when one of its properties is asked for."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __deepcopy__(self, _: object) -> Command:
        """Invoke copies its tasks; a verb stays the same one."""
        return self

    @cached_property
    def _module(self) -> Any:
        return importlib.import_module(f"builders.verbs.{self.name.replace('-', '_')}")

    @property
    def kind(self) -> type:
        """The class of its options."""
        kind: type = self._module.Options
        return kind

    @cached_property
    def options(self) -> dict[str, Option]:
        """Its options, by the names of their fields; a word that has to be given comes first."""
        return options(self.kind)

    @property
    def about(self) -> str:
        """What it does: a line, and where there is more to say, paragraphs after it."""
        return (self._module.__doc__ or "").strip()

    @property
    def summary(self) -> str:
        """The first line of that."""
        return self.about.partition("\n")[0]

    def run(self, **given: Any) -> int:
        """Run it with those options, and say what it has to say; its exit status.

        BuildError where an option has a value that there is not, and where the verb fails.
        """
        chosen = self.kind(
            **{name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
        )
        for name, each in self.options.items():
            each.check(getattr(chosen, name))
        run: Callable[[Any], Outcome] = self._module.run
        outcome = run(chosen)
        face.show(outcome.said(getattr(chosen, "format", "")))
        return int(outcome.code)
