# SPDX-License-Identifier: GPL-2.0-or-later
"""What `clean` removes, and what only where it is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.pipeline import run
from builders.verbs import clean
from tests.unit.engines import Heard

ONE, TWO = "xen-4.17-bookworm", "xen-4.20-trixie"


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Artifacts of two recipes, the first with a release, and a folder that is none of ours."""
    folder = tmp_path / "artifacts"
    monkeypatch.setenv("DOM0_DEBS_ARTIFACTS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in (ONE, TWO):
        with run.alone_in(folder / name):
            (folder / name / "logs").mkdir()
            (folder / name / "logs" / "x.log").write_text("x")
            (folder / name / "x.deb").write_text("x")
            (folder / name / "link").symlink_to(tmp_path)
    (folder / ONE / "release" / "pool").mkdir(parents=True)
    (folder / "else").mkdir()
    return folder


def cleaned(heard: Heard | None = None, **options: bool | str) -> None:
    clean.clean(clean.Options(**options), heard or Heard())  # type: ignore[arg-type]


def answer(monkeypatch: pytest.MonkeyPatch, word: str | None) -> list[str]:
    """Let a person say that, or nobody be there; what was asked."""
    asked: list[str] = []

    def say(question: str) -> str:
        asked.append(question)
        assert word is not None
        return word

    monkeypatch.setattr(sys.stdin, "isatty", lambda: word is not None)
    monkeypatch.setattr("builtins.input", say)
    return asked


def test_all_recipes_go_only_where_that_is_said(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, None)
    with pytest.raises(BuildError) as caught:
        cleaned()
    assert f"every recipe: {ONE}, {TWO}" in caught.value.message
    assert "--recipe" in caught.value.hint
    cleaned(cache=True)  # nothing else was asked for
    assert (artifacts / ONE / "x.deb").exists()
    assert (artifacts / TWO / "x.deb").exists()


def test_a_person_is_asked(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for word in ("", "n", "no", "what?"):
        (question,) = [answer(monkeypatch, word)]
        with pytest.raises(BuildError, match="nothing was removed"):
            cleaned()
        assert ONE in question[0]
    assert (artifacts / TWO / "x.deb").exists()
    answer(monkeypatch, "y")
    cleaned()
    assert not (artifacts / TWO).exists()
    assert (artifacts / "else").exists()


def test_yes_asks_nobody_and_leaves_the_sources(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answer(monkeypatch, None)
    cache = artifacts.parent / "cache" / "dom0-debs"
    cache.mkdir(parents=True)
    cleaned(yes=True)
    assert not asked
    assert [path.name for path in (artifacts / ONE).iterdir()] == ["release"]
    assert not (artifacts / TWO).exists()
    assert (artifacts / "else").exists()
    assert cache.exists()


def test_a_release_is_kept_unless_it_is_named(artifacts: Path) -> None:
    heard = Heard()
    cleaned(heard, recipe=ONE)
    assert [path.name for path in (artifacts / ONE).iterdir()] == ["release"]
    assert heard.lines == [f"{ONE}: removed; its release is kept, which --release removes"]
    assert artifacts.parent.is_dir()  # where the link led
    cleaned(recipe=ONE, release=True)
    assert not (artifacts / ONE).exists()
    assert (artifacts / TWO / "x.deb").exists()


def test_old_asks_nobody(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, "n")
    cleaned(old=True)
    assert not asked
    assert (artifacts / ONE / "x.deb").exists()
