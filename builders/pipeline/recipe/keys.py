# SPDX-License-Identifier: GPL-2.0-or-later
"""The keys of a recipe, as its classes have them: name, type, meaning and default.

The meaning is the entry of the field in the docstring of its class: "key: text", at the margin;
further lines of it are indented. The document and the schema are made of this.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from builders.pipeline.recipe.model import KINDS, Recipe
from builders.pipeline.recipe.schema import RESERVED

_ENTRY = re.compile(r"([a-z_0-9]+(?:, [a-z_0-9]+)*): +(\S.*)")


@dataclass(frozen=True)
class Key:
    """One key of a table.

    form: its type in Python. meaning: one line. default: where it may be left out; required: where
    not.
    """

    name: str
    form: Any
    meaning: str
    default: Any = None
    required: bool = False


@dataclass(frozen=True)
class Table:
    """One table of a recipe.

    name: as it stands in brackets, a word in capitals for what the recipe names; "" above all
    tables. cls: its class. kind: of a source, else "". about: the class in a sentence or two.
    keys: those that hold values; tables in it are tables of their own. many: it is an array of
    tables.
    """

    name: str
    cls: type[Any]
    about: str
    keys: tuple[Key, ...]
    kind: str = ""
    many: bool = False


def meanings(cls: type[Any]) -> dict[str, str]:
    """What the docstring of a class says of each of its fields, on one line each."""
    names = {field.name for field in dataclasses.fields(cls)}
    texts: dict[str, str] = {}
    entry: list[str] = []
    for line in inspect.cleandoc(cls.__doc__ or "").splitlines():
        begin = _ENTRY.fullmatch(line)
        if begin and names.issuperset(begin[1].split(", ")):
            entry = begin[1].split(", ")
            texts |= dict.fromkeys(entry, begin[2])
        elif line.startswith("    "):
            texts |= {name: f"{texts[name]} {line.strip()}" for name in entry}
        else:
            entry = []
    return texts


def keys(cls: type[Any]) -> tuple[Key, ...]:
    """All keys that a table of that class may have in a file, tables among them."""
    hints, texts = typing.get_type_hints(cls), meanings(cls)
    reserved = RESERVED if cls is Recipe else {"name"} if cls in KINDS.values() else set()
    every = []
    for field in dataclasses.fields(cls):
        if field.name in reserved:
            continue
        default: Any = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        required = default is dataclasses.MISSING
        form = plain(hints[field.name])
        every.append(
            Key(field.name, form, texts[field.name], None if required else default, required)
        )
    return tuple(every)


def plain(form: Any) -> Any:
    """The type of a key that may be left out, without the None that it is then."""
    if typing.get_origin(form) in (types.UnionType, typing.Union):
        return typing.get_args(form)[0]
    return form


def is_table(form: Any) -> bool:
    """Whether a key of that type is a table, or a table of tables, with keys of its own."""
    if typing.get_origin(form) is tuple:
        return is_table(typing.get_args(form)[0])
    if is_mapping(form):
        return is_table(typing.get_args(form)[1])
    return is_source(form) or dataclasses.is_dataclass(form)


def is_source(form: Any) -> bool:
    """Whether a key of that type is a source, of a class for each kind."""
    return typing.get_args(form) == tuple(KINDS.values())


def is_mapping(form: Any) -> bool:
    """Whether a key of that type is a table whose keys the recipe names."""
    origin = typing.get_origin(form)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def tables(cls: type[Any] = Recipe, name: str = "", kind: str = "") -> Iterator[Table]:
    """The tables of a recipe, each before those in it."""
    every = keys(cls)
    values = tuple(key for key in every if not is_table(key.form))
    about = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    yield Table(name, cls, about, values, kind)
    for key in every:
        if not is_table(key.form):
            continue
        path = f"{name}.{key.name}" if name else key.name
        form = key.form
        if is_mapping(form):
            form, path = typing.get_args(form)[1], f"{path}.NAME"
        if is_source(form):
            for word, source in KINDS.items():
                yield from tables(source, path, word)
        elif typing.get_origin(form) is tuple:
            for table in tables(typing.get_args(form)[0], path):
                yield dataclasses.replace(table, many=True)
        else:
            yield from tables(form, path)
