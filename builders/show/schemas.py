# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON Schemas of all documents, made from their dataclasses: docs/schemas/KIND.schema.json.

`python -m tests.documents` writes the files anew; tests/unit/test_schemas.py holds them equal.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from builders.debkit.audit.document import AuditDocument
from builders.pipeline.lockfile import Lock
from builders.show import (
    bisected,
    boots,
    changes,
    farms,
    hosts,
    jobs,
    locks,
    made,
    matrices,
    rebuilds,
    recipes,
    releases,
    rules,
    stored,
    trials,
    upkeep,
)

DOCUMENTS: tuple[type, ...] = (
    made.PackagesDocument,
    matrices.MatrixDocument,
    matrices.MatrixStagesDocument,
    made.StagesDocument,
    made.SourcesDocument,
    made.ImageDocument,
    Lock,
    locks.OutdatedDocument,
    AuditDocument,
    changes.ComparisonDocument,
    rules.RulesDocument,
    trials.VerdictsDocument,
    trials.CasesDocument,
    boots.BootsDocument,
    boots.RebuildDocument,
    bisected.BisectDocument,
    releases.ReleaseDocument,
    releases.VerificationDocument,
    releases.ChangesDocument,
    rebuilds.RebuildOfReleaseDocument,
    upkeep.ChecksDocument,
    upkeep.AddressesDocument,
    upkeep.RecipesDocument,
    recipes.JoinedDocument,
    stored.StoredDocument,
    stored.StoreCheckDocument,
    stored.StoreLogDocument,
    farms.FarmDocument,
    hosts.DevicesDocument,
    hosts.MovedDocument,
    hosts.HostCheckDocument,
    hosts.SettingsDocument,
    hosts.GuestDocument,
    upkeep.RemovedDocument,
    jobs.JobDocument,
    jobs.PartsDocument,
    jobs.BenchmarksDocument,
)
_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}
_COMMON = (
    "`schema` grows when a key changes its meaning or goes; new keys come without that, so a"
    " program should pass over keys that it does not know. The keys below are all that this version"
    " writes."
)


def text(document: type) -> str:
    """The schema of the documents of a class, as its file has it."""
    return json.dumps(schema(document), indent=2) + "\n"


def schema(document: type) -> dict[str, Any]:
    """The schema of the documents of a class."""
    kind = vars(document)["kind"]
    table = _table(document)
    properties = {"schema": {"const": vars(document)["schema"]}, "kind": {"const": kind}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"--format json of kind {kind}",
        **table,
        "description": f"{table['description']} {_COMMON}",
        "required": [*properties, *table["required"]],
        "properties": {**properties, **table["properties"]},
    }


def _table(kind: type) -> dict[str, Any]:
    """The schema of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    properties: dict[str, Any] = {}
    more: Any = False
    for each in fields(kind):
        content = _of(hints[each.name])
        if each.metadata.get("flat"):
            more = content["additionalProperties"]
        else:
            properties[each.name.removesuffix("_")] = content
    # A class without a docstring of its own has one that says its arguments.
    words = (kind.__doc__ or "").split("\n\n")[0]
    about = (
        {} if words.startswith(f"{kind.__name__}(") else {"description": " ".join(words.split())}
    )
    return {
        "type": "object",
        **about,
        "required": list(properties),
        "additionalProperties": more,
        "properties": properties,
    }


def _of(hint: Any) -> dict[str, Any]:
    """The schema of one type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        words: dict[str, Any] = {}
        for each in arguments[1:]:
            words |= {"description": each} if isinstance(each, str) else each
        return {**_of(arguments[0]), **words}
    if hint is Any:
        return {}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return _union([_of(each) for each in arguments])
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of(arguments[1])}
    if origin is not None and issubclass(origin, Sequence):
        return {"type": "array", "items": _of(arguments[0])}
    if is_dataclass(hint):
        return _table(hint if isinstance(hint, type) else type(hint))
    if issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    return {"type": _NAMES[hint]}


def _union(kinds: list[dict[str, Any]]) -> dict[str, Any]:
    if all(set(kind) == {"type"} for kind in kinds):
        return {"type": [kind["type"] for kind in kinds]}
    if kinds[0].keys() == {"enum"} and kinds[1:] == [{"type": "null"}]:
        return {"enum": [*kinds[0]["enum"], None]}
    return {"anyOf": kinds}
