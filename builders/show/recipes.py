# SPDX-License-Identifier: GPL-2.0-or-later
"""A recipe as it is read, and the keys that one may have.

The keys are a part of docs/recipes.md, for people, and a schema, for editors. Both are made of the
classes that a recipe is read into: `python -m tests.documents` writes them anew.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from builders.pipeline.recipe.dump import Value, toml
from builders.pipeline.recipe.keys import Key, Table, is_mapping, is_source, is_table, keys, tables
from builders.pipeline.recipe.model import KINDS, Recipe
from builders.show.outcome import Outcome

_PLAIN: dict[Any, tuple[str, str]] = {  # in words, and in a schema
    str: ("string", "string"),
    int: ("number", "integer"),
    bool: ("true, false", "boolean"),
}
_INCLUDE = "files that this one is put over, in order, each relative to this one"


@dataclass(frozen=True)
class ValueEntry:
    key: Annotated[str, "dotted, as TOML writes it"]
    value: Any
    origin: Annotated[str, "a file, the --set as it was typed, or a variable of the environment"]


@dataclass(frozen=True)
class JoinedDocument:
    """A recipe as a run reads it, all its files and overrides joined."""

    kind: ClassVar[str] = "joined-recipe"
    schema: ClassVar[int] = 1
    recipe: str
    values: Sequence[ValueEntry]


def joined(name: str, values: Sequence[Value]) -> Outcome:
    """The values of the recipe of that name, each with where it comes from."""
    entries = [ValueEntry(v.key, v.value, v.origin) for v in values]
    return Outcome(JoinedDocument(name, entries), toml(values))


def markdown() -> str:
    """A part of docs/recipes.md: a table of keys for each table of a recipe."""
    lines: list[str] = []
    for table in tables():
        lines += [f"### {_heading(table)}", "", table.about, ""]
        lines += ["| key | type | meaning | default |", "| --- | --- | --- | --- |"]
        lines += [_row(name, *rest) for name, *rest in _rows(table)]
        lines.append("")
    return "\n".join(lines)


def _heading(table: Table) -> str:
    brackets = f"`[[{table.name}]]`" if table.many else f"`[{table.name}]`"
    return (
        f'{brackets}, kind = "{table.kind}"'
        if table.kind
        else brackets
        if table.name
        else "Above all tables"
    )


def _rows(table: Table) -> Iterator[tuple[str, str, str, str]]:
    if not table.name:
        yield "include", "list of strings", _INCLUDE, "`[]`"
    if table.kind:
        yield "kind", "string", f'`"{table.kind}"`', "must be there"
    for key in table.keys:
        default = "must be there" if key.required else f"`{_toml(key.default)}`"
        yield key.name, _words(key.form), key.meaning.rstrip("."), default


def _row(name: str, form: str, meaning: str, default: str) -> str:
    meaning = meaning.replace("|", "\\|")
    if meaning.count("`") == 0:
        meaning = meaning.replace("*", "\\*").replace("<", "\\<").replace("_", "\\_")
    return f"| `{name}` | {form} | {meaning} | {default} |"


def _words(form: Any) -> str:
    """A type in words."""
    if is_mapping(form):
        return f"table of {_PLAIN[typing.get_args(form)[1]][0]}s"
    if typing.get_origin(form) is tuple:
        return f"list of {_PLAIN[typing.get_args(form)[0]][0]}s"
    return _PLAIN[form][0]


def _toml(value: Any) -> str:
    if value is None:
        return "none"
    return "{}" if value == {} else json.dumps(value)


def schema() -> dict[str, Any]:
    """The schema of one file of a recipe, in JSON Schema draft 4, which Taplo reads.

    No key is required: a file may be one part of a recipe, and another file has the rest.
    """
    document = _object(Recipe)
    document["properties"] = {
        "include": {
            "type": "array",
            "items": {"type": "string"},
            "description": f"{_INCLUDE[0].upper()}{_INCLUDE[1:]}.",
        },
        **document["properties"],
    }
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": "A recipe of dom0-debs, or a file that one includes",
        **document,
    }


def schema_text() -> str:
    """The schema as it lies in docs/schemas/recipe.schema.json."""
    return json.dumps(schema(), indent=2) + "\n"


def _object(cls: type[Any], **more: Any) -> dict[str, Any]:
    """A table with the keys of that class and no other. more: keys that the class has not."""
    described = {key.name: _described(key) for key in keys(cls)}
    return {"type": "object", "properties": {**more, **described}, "additionalProperties": False}


def _described(key: Key) -> dict[str, Any]:
    text = f"{key.meaning[0].upper()}{key.meaning[1:].rstrip('.')}."
    about: dict[str, Any] = {"description": text, **_form(key.form)}
    if not key.required and not is_table(key.form) and key.default is not None:
        about["default"] = key.default
    return about


def _form(form: Any) -> dict[str, Any]:
    if is_source(form):
        return _source()
    if is_mapping(form):
        return {"type": "object", "additionalProperties": _form(typing.get_args(form)[1])}
    if typing.get_origin(form) is tuple:
        return {"type": "array", "items": _form(typing.get_args(form)[0])}
    return {"type": _PLAIN[form][1]} if form in _PLAIN else _object(form)


def _source() -> dict[str, Any]:
    """A source: of one kind, or without a kind what is put over a source of another file."""
    ours = [
        {**_object(cls, kind={"enum": [kind]}), "required": ["kind"]} for kind, cls in KINDS.items()
    ]
    merged: dict[str, Any] = {}
    for cls in KINDS.values():
        merged |= _object(cls)["properties"]
    return {
        "anyOf": [
            *ours,
            {"type": "object", "properties": merged, "additionalProperties": False},
        ]
    }
