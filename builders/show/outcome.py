# SPDX-License-Identifier: GPL-2.0-or-later
"""What a verb hands back: a document for programs, text for people, and the exit status.

A document is a frozen dataclass with two names of its class: `kind`, and `schema`, a number that
grows when a key changes its meaning or goes. All documents are said in one envelope (docs/json.md).
Its fields are the keys; what a key holds stands in its type, Annotated with words and with more of
JSON Schema (`schemas`). A field with the metadata `flat` is a table whose keys stand beside the
others; one whose name is Python's own, such as class_, loses the line below.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any, Protocol

from builders.errors import Exit


class Document(Protocol):
    """What is said for programs, as a dataclass."""

    @property
    def kind(self) -> str: ...
    @property
    def schema(self) -> int: ...


@dataclass(frozen=True)
class Outcome:
    """How a verb ended.

    document: for programs; None of a verb that only ever talks to people. text: for people.
    What is costly to make is a function, which is called where it is needed.
    code: the exit status; 1 means findings, and nothing else.
    """

    document: Document | Callable[[], Document] | None = None
    text: str | Callable[[], str] = ""
    code: int = Exit.DONE

    def said(self, form: str) -> str:
        """All of it in that form: "json", or any other for people."""
        if form != "json":
            return self.text() if callable(self.text) else self.text
        document = self.document() if callable(self.document) else self.document
        return to_json(document) if document is not None else ""


def to_json(document: Document) -> str:
    """The document in the envelope."""
    return json.dumps(
        {"schema": document.schema, "kind": document.kind, **plain(document)}, indent=2
    )


def plain(value: Any) -> Any:
    """`value` as json(3) takes it: a dataclass as a table, an enumeration by its value."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        table: dict[str, Any] = {}
        for each in fields(value):
            content = plain(getattr(value, each.name))
            if each.metadata.get("flat"):
                table |= content
            else:
                table[each.name.removesuffix("_")] = content
        return table
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, PurePath) else value
