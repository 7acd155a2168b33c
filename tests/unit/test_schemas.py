# SPDX-License-Identifier: GPL-2.0-or-later
"""The schemas of docs/schemas are those of the documents, and every document has one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import jsonschema

from builders import ROOT
from builders.debkit.audit import Severity
from builders.show import schemas
from builders.show.outcome import Outcome, to_json
from tests import documents


def test_the_files_are_what_is_made_from_the_dataclasses() -> None:
    files = {path.name: path.read_text() for path in documents.SCHEMAS.iterdir()}
    assert files == documents.files(), "run python -m tests.documents"


def test_the_page_has_every_kind_and_no_other() -> None:
    table = (ROOT / "docs/json.md").read_text(encoding="utf-8")
    named = re.findall(r"\[([a-z0-9-]+)\]\(schemas/([a-z0-9-]+)\.schema\.json\)", table)
    assert {kind for kind, _ in named} == {vars(each)["kind"] for each in schemas.DOCUMENTS}
    assert all(kind == file for kind, file in named)


@dataclass(frozen=True)
class Inner:
    """An inner table."""

    class_: Annotated[int, "a word of Python's own", {"minimum": 0}]
    more: Mapping[str, float] = field(metadata={"flat": True})


@dataclass(frozen=True)
class Sample:
    """A sample."""

    kind: ClassVar[str] = "sample"
    schema: ClassVar[int] = 3
    inner: Sequence[Inner]
    state: Literal["a", "b"]
    severity: Severity | None
    number: int | None
    any: Mapping[str, Any]


def test_a_document_is_as_its_schema_says() -> None:
    sample = Sample([Inner(1, {"load": 1.5})], "a", Severity.INFO, None, {"x": ["y"]})
    document = json.loads(to_json(sample))
    assert document == {
        "schema": 3,
        "kind": "sample",
        "inner": [{"class": 1, "load": 1.5}],
        "state": "a",
        "severity": "info",
        "number": None,
        "any": {"x": ["y"]},
    }
    schema = schemas.schema(Sample)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    wrong: list[dict[str, Any]] = [
        {"schema": 2},
        {"kind": "other"},
        {"inner": [{"class": -1, "load": 1.5}]},
        {"inner": [{"class": 1, "load": "x"}]},
        {"state": "c"},
        {"severity": "bad"},
        {"number": 1.5},
        {"other": 1},
    ]
    for change in wrong:
        assert not jsonschema.Draft202012Validator(schema).is_valid(document | change), change


def test_what_is_costly_is_made_only_where_it_is_needed() -> None:
    def never() -> Any:
        raise AssertionError

    assert Outcome(never, "text").said("table") == "text"
    sample = Sample([], "a", None, 1, {})
    assert json.loads(Outcome(lambda: sample, never).said("json"))["kind"] == "sample"
    assert Outcome(code=2).said("json") == ""
