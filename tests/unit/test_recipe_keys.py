# SPDX-License-Identifier: GPL-2.0-or-later
"""The keys of a recipe as docs/recipes.md and the schema tell them, and a recipe as it is shown."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.errors import BuildError
from builders.pipeline.recipe import Recipe, dump, keys, load, names
from builders.pipeline.recipe.files import RECIPES
from builders.pipeline.recipe.loading import join
from builders.show import recipes
from builders.verbs import recipes as verb
from tests import documents
from tests.unit.samples import WHOLE

FILES = sorted(RECIPES.rglob("*.toml"))
SCHEMA = json.loads(documents.SCHEMA.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", [documents.KEYS, documents.SCHEMA], ids=lambda path: path.name)
def test_what_is_made_of_the_classes_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == dict(documents.made())[path], documents.AGAIN


def test_every_key_that_the_reader_takes_is_told() -> None:
    tables = list(keys.tables())
    names = {table.name for table in tables}
    for table in tables:
        rows = {key.name for key in table.keys}
        fields = {field.name for field in dataclasses.fields(table.cls)}
        inner = {name for name in fields if any(f"{table.name}.{name}" in n for n in names)}
        if table.cls is not Recipe:
            assert rows | inner | ({"name"} if table.kind else set()) == fields, table.name
        assert all(key.meaning.strip() for key in table.keys)


def test_a_key_without_a_meaning_is_told() -> None:
    @dataclasses.dataclass
    class Table:
        """A table.

        one, two: what both
            are about.
        three of it: no entry.
        """

        one: str
        two: str
        three: str

    assert keys.meanings(Table) == dict.fromkeys(("one", "two"), "what both are about.")
    with pytest.raises(KeyError, match="three"):
        keys.keys(Table)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_recipe_names_the_schema_and_fits_it(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    name = first.removeprefix("#:schema ")
    assert name != first
    assert (path.parent / name).resolve() == documents.SCHEMA
    jsonschema.Draft4Validator.check_schema(SCHEMA)
    jsonschema.validate(tomllib.loads(path.read_text(encoding="utf-8")), SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        'sumary = "x"',
        "summary = 1",
        "[suite]\ntag = 'x'",
        "[sources.x]\nkind = 'git'\ntag = 'v1'",
        "[sources.x]\nkind = 'git'\nsha256 = 'v1'",
        "[sources.x]\nkind = 'svn'",
        "[xen]\nbuild = 'make'",
        "[finish.xen.modes]\n'/x' = 0o755",
        "[[finish.xen.overrides]]\ntags = 'x'",
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(text: str, tmp_path: Path) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), SCHEMA)
    (tmp_path / "good.toml").write_text(WHOLE)
    head = f"include = ['good.toml']\n{text}"
    (tmp_path / "bad.toml").write_text(head if "=" in head else text)
    with pytest.raises(BuildError):
        load("bad", folder=tmp_path)


# A recipe as it is shown


@pytest.mark.parametrize("name", names())
def test_a_recipe_that_is_shown_is_that_recipe(name: str) -> None:
    it = join(name)
    text = dump.toml(dump.values(it))
    assert tomllib.loads(text) == it.raw
    assert max(len(line) for line in text.splitlines() if line.startswith("#")) <= 80
    for value in dump.values(it):
        assert (RECIPES / value.origin).is_file()


def test_each_value_says_where_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "below.toml").write_text(WHOLE)
    (tmp_path / "top.toml").write_text(
        "include = ['below.toml']\nsummary = 'two'\n[builder]\nmemory = 4\n"
    )
    mail = 'finish.xen.maintainer="A <a@b.org>"'
    typed = ["builder.packages+=gcc", mail, "xen.files={a='1', b='2'}"]
    it = join("top", typed, tmp_path)
    values = dump.values(it, {mail: "DEBEMAIL"})
    origins = {value.key: value.origin for value in values}
    assert origins["summary"] == origins["builder.memory"] == str(tmp_path / "top.toml")
    assert origins["suite.name"] == str(tmp_path / "below.toml")
    assert origins["builder.packages"] == "--set builder.packages+=gcc"
    assert origins["finish.xen.maintainer"] == "DEBEMAIL"
    assert origins["xen.files.a"] == origins["xen.files.b"] == "--set xen.files={a='1', b='2'}"
    lines = dump.toml(values).splitlines()
    at = lines.index("memory = 4")
    assert lines[at - 1] == f"# {tmp_path}/top.toml"
    assert "# DEBEMAIL" in lines
    report = recipes.joined("top", values)
    assert json.loads(report.said("json"))["values"][0] == {
        "key": "summary",
        "value": "two",
        "origin": str(tmp_path / "top.toml"),
    }


@pytest.mark.slow
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=5),
        st.recursive(
            st.text(st.one_of(st.sampled_from('"\\\n\t #='), st.characters(codec="utf-8")))
            | st.booleans()
            | st.integers(-(1 << 40), 1 << 40),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=4,
        ),
        max_size=4,
    )
)
def test_any_value_is_written_as_what_it_is(raw: dict[str, Any]) -> None:
    values = [dump.Value((key,), value, "x") for key, value in raw.items()]
    assert tomllib.loads(dump.toml(values)) == raw


def test_the_verb_shows_a_recipe_with_the_maintainer_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEBEMAIL", "A <a@b.example>")
    options = verb.Options(show="xen-4.17-bookworm", set=("builder.memory=4",))
    outcome = verb.run(options)
    document = json.loads(outcome.said("json"))
    assert document["kind"] == "joined-recipe"
    values = {value["key"]: (value["value"], value["origin"]) for value in document["values"]}
    assert values["finish.xen.maintainer"] == ("A <a@b.example>", "DEBEMAIL")
    assert values["builder.memory"] == (4, "--set builder.memory=4")
    assert values["summary"][1] == "xen-4.17-bookworm.toml"
    with pytest.raises(BuildError, match="did you mean"):
        verb.run(verb.Options(show="xen-4.17-bookwor"))
