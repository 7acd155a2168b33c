# SPDX-License-Identifier: GPL-2.0-or-later
"""The series below patches/: whole, each patch with its reason, and as patch(1) reads it."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest
from debian.deb822 import Deb822

from builders import ROOT
from builders.pipeline import recipe
from builders.pipeline.plan import patch_files

PATCHES = ROOT / "patches"
SERIES = sorted(path.parent.name for path in PATCHES.glob("*/series"))
FILES = [(name, file) for name in SERIES for file, _ in patch_files(name) if file != "series"]
HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


def parts(series: str, name: str) -> tuple[Deb822, list[str]]:
    """The DEP-3 header of a patch, and the lines of its diff."""
    text = (PATCHES / series / name).read_text(encoding="utf-8")
    header, _, diff = text.partition("\n\n")
    return Deb822(header), diff.splitlines()


def hunks(diff: list[str]) -> list[list[str]]:
    """The lines of each hunk, its @@ line first."""
    found: list[list[str]] = []
    for line in diff:
        if line.startswith("@@"):
            found.append([line])
        elif line.startswith(("--- ", "+++ ")):
            found.append([])
        elif found:
            found[-1].append(line)
    return [hunk for hunk in found if hunk]


def test_there_are_series() -> None:
    assert SERIES == ["linux-3.2", "xen", "xen-4.2.0"]


@pytest.mark.parametrize("series", SERIES)
def test_series_names_every_patch_and_a_recipe_uses_it(series: str) -> None:
    there = {p.name for p in Path(PATCHES / series).iterdir()} - {"series"}
    assert there == {name for of, name in FILES if of == series}
    used = [recipe.load(name) for name in recipe.names()]
    assert series in {each.patches for r in used for each in (r.xen, r.kernel) if each}


@pytest.mark.parametrize(("series", "name"), FILES)
def test_header_says_why(series: str, name: str) -> None:
    """DEP-3: Description, Author or Origin, Forwarded, Last-Update (YYYY-MM-DD)."""
    header, _ = parts(series, name)
    synopsis, _, why = header["Description"].partition("\n")
    assert synopsis.strip()
    assert why.strip()
    assert header.get("Author") or header.get("Origin")
    assert header["Forwarded"] in ("no", "not-needed", "yes") or "://" in header["Forwarded"]
    datetime.date.fromisoformat(header["Last-Update"])


@pytest.mark.parametrize(("series", "name"), FILES)
def test_each_hunk_has_as_many_lines_as_it_says(series: str, name: str) -> None:
    _, diff = parts(series, name)
    found = hunks(diff)
    assert found
    for head, *lines in found:
        match = HUNK.match(head)
        assert match
        old, new = (int(group or 1) for group in match.groups())
        assert old == sum(line[0] in " -" for line in lines)
        assert new == sum(line[0] in " +" for line in lines)
