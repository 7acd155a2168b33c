# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import re
from pathlib import Path

import pytest

from builders import ci, testing
from builders.errors import BuildError, Exit
from builders.progress import Silent
from builders.recipe import ROOT, load, names


def test_a_stage_that_fails_is_in_the_summary_and_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "summary.md"
    monkeypatch.setenv(ci.SUMMARY, str(place))
    summary = ci.Summary("a recipe")
    assert ci._stage(summary, Silent(), "audit", lambda: (Exit.DONE, "3 | packages <b>")) == 0

    def fails() -> tuple[int, str]:
        raise BuildError("no disk", exit=Exit.ENGINE)

    with pytest.raises(BuildError, match="no disk"):
        ci._stage(summary, Silent(), "build", fails)
    lines = place.read_text().splitlines()
    assert lines[0] == "## a recipe"
    assert any(
        re.match(r"\| audit \| passed \| \S+ \| 3 \\\| packages &lt;b> \|$", x) for x in lines
    )
    assert any(x.startswith("| build | failed |") and "no disk" in x for x in lines)


def test_no_page_for_a_summary_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ci.SUMMARY, str(tmp_path / "gone" / "x"))
    ci.Summary("x").write()
    monkeypatch.delenv(ci.SUMMARY)
    ci.Summary("x").write()


def test_an_unknown_part() -> None:
    with pytest.raises(BuildError, match="--part x"):
        ci.run("x", "xen-4.17-bookworm", "minimal", [], Silent())


def test_tests_are_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool]] = []

    def run(_: object, only: str, *, build: bool) -> int:
        asked.append((only, build))
        return 0

    monkeypatch.setattr(testing, "run", run)
    assert ci.run("tests", "", "", [], Silent()) == 0
    assert asked == [("", True)]


def test_a_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ci.KEY, " 0123ABCD ")
    with ci._key() as key:
        assert key == "0123ABCD"
    monkeypatch.setenv(ci.KEY, "-----BEGIN PGP PRIVATE KEY BLOCK-----\nsecret\n")
    with ci._key() as key:
        path = Path(key)
        assert "secret" in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()
    monkeypatch.delenv(ci.KEY)
    with ci._key() as key:
        assert key == ""


@pytest.mark.parametrize("name", [".github/workflows/ci.yml", ".gitlab-ci.yml"])
def test_the_workflows_name_what_there_is_and_call_nothing_else(name: str) -> None:
    text = (ROOT / name).read_text()
    (recipes,) = re.findall(r"(?i)recipe: \[(.*)\]", text)
    (flavours,) = re.findall(r"(?i)flavour: \[(.*)\]", text)
    for recipe in recipes.split(", "):
        assert recipe in names()
        assert set(flavours.split(", ")) <= set(load(recipe).kernel.flavours)
    calls = re.findall(r"^[^#\n]*(\./inv .*)", text, re.MULTILINE)
    assert calls
    assert all(re.match(r"\./inv ci --part (tests|release)", call) for call in calls)
    used = re.findall(r"uses: (\S+)", text)
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)
