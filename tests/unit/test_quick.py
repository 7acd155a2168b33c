# SPDX-License-Identifier: GPL-2.0-or-later
"""`inspect` without Invoke: it means the same, or is left to Invoke."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invoke.collection import Collection
from invoke.parser.parser import Parser

import tasks
from builders import ROOT, program
from builders.verbs import quick
from builders.verbs.catalogue import VERBS
from tests.unit import debs

NAMESPACE = Collection.from_module(tasks)
OPTIONS = VERBS["inspect"].options
WORDS = [option.flag for option in OPTIONS.values()]


def by_invoke(words: list[str]) -> dict[str, Any]:
    """What Invoke makes of the words after `inspect`."""
    given = program.spread(["inspect", *words], program.paths(NAMESPACE))
    (context,) = Parser(NAMESPACE.to_contexts()).parse_argv(given)
    return {argument.name: argument.value for argument in context.args.values()}


@pytest.mark.slow
@given(st.lists(st.sampled_from([*WORDS, *[f"{w}=x" for w in WORDS], "a.deb", "b", "x=y", "-h"])))
def test_it_means_what_invoke_makes_of_it(words: list[str]) -> None:
    found = quick.read(words, OPTIONS)
    if found is None:
        return
    whole = by_invoke(words)
    assert found == {name: whole[name] for name in found}
    defaults = by_invoke([])
    assert {n: v for n, v in whole.items() if n not in found} == {
        n: v for n, v in defaults.items() if n not in found
    }


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "-h",
        "--nope",
        "--fast=yes",
        "--format",
        "--format --fast",
        "--format a --format b",
    ],
)
def test_what_is_not_plain_is_left_to_invoke(words: str) -> None:
    given = [*words.split(), "a.deb"] if words != "--format" else ["--format"]
    assert quick.read(given, OPTIONS) is None
    assert quick.read([""], OPTIONS) is None
    assert quick.read(["a.deb"], VERBS["build-all"].options) is None
    assert quick.read(["--jobs", "4"], VERBS["build-all"].options) is None


@pytest.mark.slow
def test_an_audit_loads_neither_invoke_nor_what_builds_need(tmp_path: Path) -> None:
    path = debs.make(tmp_path / "a.deb")
    script = (
        "import sys\nfrom builders.program import main\ntry: main()\nexcept SystemExit as e:\n"
        "  print(e.code, *sorted({n.partition('.')[0] for n in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "inspect", "--fast", str(path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    code, *loaded = done.stdout.splitlines()[-1].split()
    assert code == "1"
    assert not {"invoke", "docker", "tqdm", "zstandard", "multiprocessing"} & set(loaded)
    assert "copyright-missing" in done.stdout
