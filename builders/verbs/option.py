# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of a verb: fields of a frozen dataclass, whose metadata says what each means.

Help, the command line, completion and the manual page are all made from these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from typing import Any

from builders.errors import BuildError

# One letter means the same for every verb; all else has none.
SHORT = {"recipe": "r", "set": "s", "flavour": "f", "jobs": "j", "out": "o"}
RECIPE = "xen-4.2-wheezy"  # the default one, as builders/pipeline/recipe has it: slow to load

TARGETS = ("xen", "kernel")  # of a recipe
STORE_MODES = ("both", "read", "write")  # of a store that several machines use


def option(
    help: str,
    default: Any = "",
    *,
    value: str = "",
    usual: str = "",
    choices: tuple[str, ...] = (),
    checked: bool = True,
    what: str = "",
    words: bool = False,
    hidden: tuple[str, ...] = (),
) -> Any:
    """A field of a verb's options.

    help: what it means, in a line. default: what it is where it is not given; its type is that of
    the option: text, a number, False for a switch, () for one that may be given again. MISSING: it
    has to be given, and needs no flag.
    value: what the value is called in help and in completion. usual: the default in words.
    choices: all that there are; what: what one of these is called in an error. checked: another
    value is refused before the verb runs; the verb itself does so otherwise.
    words: words without a flag are values of it. hidden: older names of its flag.
    """
    metadata = {
        "help": help,
        "value": value,
        "usual": usual,
        "choices": choices,
        "checked": checked,
        "what": what,
        "words": words,
        "hidden": hidden,
    }
    return field(default=default, metadata=metadata)


class Option:
    """One option as the command line has it; name: of its field."""

    def __init__(self, name: str, default: Any, metadata: Mapping[str, Any]) -> None:
        self.name = name
        self.default = default
        self.metadata = metadata

    @property
    def required(self) -> bool:
        return self.default is MISSING

    @property
    def kind(self) -> type:
        """str, int, float, bool, or list where it may be given again."""
        if self.required:
            return str
        return list if self.default == () else type(self.default)

    @property
    def long(self) -> str:
        """Its flag without the dashes."""
        return self.name.replace("_", "-")

    @property
    def flag(self) -> str:
        return f"--{self.long}"

    @property
    def short(self) -> str:
        """Its letter, "" where it has none."""
        return SHORT.get(self.name, "")

    @property
    def hidden(self) -> tuple[str, ...]:
        return tuple(self.metadata["hidden"])

    @property
    def words(self) -> bool:
        return bool(self.metadata["words"])

    @property
    def choices(self) -> tuple[str, ...]:
        return tuple(self.metadata["choices"])

    @property
    def value(self) -> str:
        """What its value is called; "" for a switch."""
        if self.kind is bool:
            return ""
        if self.metadata["value"]:
            return str(self.metadata["value"])
        if self.kind in (int, float):
            return "NUMBER"
        return self.long.rpartition("-")[2].upper()

    @cached_property
    def help(self) -> str:
        """What it means, with what there is to choose from, and the default."""
        notes = [" or ".join(filter(None, [", ".join(self.choices[:-1]), *self.choices[-1:]]))]
        if self.metadata["usual"]:
            notes.append(f"default: {self.metadata['usual']}")
        elif not self.required and self.default not in ("", False, ()):
            usual = f"{self.default:g}" if self.kind is float else self.default
            notes.append(f"default: {usual}")
        if self.kind is list and not self.words:
            notes.append("may be given again")
        notes = [note for note in notes if note]
        return f"{self.metadata['help']} ({'; '.join(notes)})" if notes else self.metadata["help"]

    def check(self, value: Any) -> None:
        """BuildError where the value is none of the choices."""
        if not self.choices or not self.metadata["checked"] or value == self.default:
            return
        for one in value if self.kind is list else [value]:
            if one not in self.choices:
                what = self.metadata["what"] or self.long
                raise BuildError(
                    f"{self.flag} {one}: no such {what}", hint=f"one of: {', '.join(self.choices)}"
                )


def options(kind: type) -> dict[str, Option]:
    """The options of a verb by the names of their fields; kind: its class of options.

    Words without a flag come first, then what the verb alone has, the format last.
    """
    found = [Option(each.name, each.default, each.metadata) for each in fields(kind)]
    own = kind.__annotations__

    def place(option: Option) -> tuple[bool, bool, bool]:
        word = option.required or option.words
        return not word, option.name == "format", option.name not in own

    return {option.name: option for option in sorted(found, key=place)}


@dataclass(frozen=True, kw_only=True)
class Reported:
    """Of a verb that reports."""

    format: str = option("how to say it", "table", choices=("table", "json"))


def recipe_read() -> Any:
    """The recipe of a verb that reads packages: `builders.pipeline.chosen.to_read` says which."""
    usual = f"that of dom0-debs.toml, the only one that was built, or {RECIPE}"
    return option("name of a recipe, or a .toml file", usual=usual)


@dataclass(frozen=True, kw_only=True)
class Overridden:
    """Of a verb that needs one recipe or several."""

    set: tuple[str, ...] = option(
        "override one value of the recipe for this run", (), value="KEY=VALUE"
    )


def recipe_built(default: Any = "") -> Any:
    """The recipe of a verb that builds; default: () where several may be given."""
    usual = f"that of dom0-debs.toml, or {RECIPE}"
    return option("name of a recipe, or a .toml file", default, value="RECIPE", usual=usual)


@dataclass(frozen=True, kw_only=True)
class OfRecipe(Overridden):
    """Of a verb that needs a recipe."""

    recipe: str = recipe_built()
