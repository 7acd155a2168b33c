# SPDX-License-Identifier: GPL-2.0-or-later
"""What documents and comments name is there: files of the project, and headings of its pages."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import ROOT, VERSION
from builders.verbs import test
from builders.verbs.catalogue import VERBS

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FOLDERS = ("benchmarks", "builders", "configs", "docs", "patches", "tests", ".ci", ".github")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(
    r"[.\w*+/-]+\.(?:py|toml|md|sh|json|yml|config|patch|pl|js|html)|[a-z.]+(?:/[\w*.-]+)+/?"
)
# docs/NAME.md and the like: a word in capitals stands for something else.
PLACEHOLDER = re.compile(r"/[A-Z]+\b")
# A file of the project in a comment or a string.
NAMED = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS[:6])})/[\w./*-]+\.(?:py|toml|md|sh|json)\b")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def headings(page: Path) -> set[str]:
    """The anchors that a page's headings have on GitHub and GitLab."""
    titles = re.findall(r"^#+ +(.*)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The relative links of a page: the file, and the anchor in it or ""."""
    for target in LINK.findall(text(page)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield (page.parent / path if path else page), anchor


def broken_links(page: Path) -> list[str]:
    return [
        f"{path}#{anchor}"
        for path, anchor in links(page)
        if not path.exists() or (anchor and anchor not in headings(path))
    ]


def files(page: Path) -> Iterator[str]:
    """What stands in backticks, alone, and looks like a file or a folder of the project."""
    for code in CODE.findall(text(page)):
        ours = code.partition("/")[0] in FOLDERS or code.endswith(".py")
        if ours and FILE.fullmatch(code) and not PLACEHOLDER.search(code):
            yield code


def is_there(name: str) -> bool:
    """Whether a file of that name, or one that the glob matches, is in the project."""
    places = [ROOT, ROOT / "tests", ROOT / "builders"]
    if "/" not in name:
        places = [ROOT, *(ROOT / folder for folder in FOLDERS[:6])]
        return any(next(place.rglob(name), None) for place in places[1:]) or (ROOT / name).exists()
    return any(next(place.glob(name.rstrip("/")), None) for place in places)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    assert [name for name in files(page) if not is_there(name)] == []


@pytest.mark.slow
def test_files_that_the_code_names_are_there() -> None:
    paths = [
        path
        for folder in FOLDERS
        if folder != "tests"  # which name files on purpose that are not there
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".toml", ".sh", ".yml", ".config"} and path.is_file()
    ]
    names = {
        (str(path.relative_to(ROOT)), name)
        for path in [*paths, ROOT / "inv", ROOT / "tasks.py", ROOT / "pyproject.toml"]
        for name in NAMED.findall(text(path))
        if not PLACEHOLDER.search(name)
    }
    assert len(names) > 10
    assert {(path, name) for path, name in names if not is_there(name)} == set()


def test_what_is_gone_is_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One: two\n[a](gone.md) [b](#one-two) [c](#three) [d](https://example.org/x)\n"
        "`builders/gone.py` `builders/errors.py` `gone.py` `unit/test_shell.py` `/etc/x.py y`\n"
        "`configs/recipes/*.toml` `configs/recipes/*.json` `docs/NAME.md` `artifacts/x`\n"
    )
    assert broken_links(page) == [f"{tmp_path}/gone.md#", f"{page}#three"]
    gone = [name for name in files(page) if not is_there(name)]
    assert gone == ["builders/gone.py", "gone.py", "configs/recipes/*.json"]


def test_the_readme_has_every_verb() -> None:
    verbs_part = text(ROOT / "README.md").partition("\n## Verbs\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", verbs_part, re.MULTILINE)
    verbs = {name for row in rows for name in CODE.findall(row)}
    assert verbs == set(VERBS)


def test_the_hooks_before_a_commit_are_the_linters() -> None:
    entries = re.findall(
        r"^ +entry: \.venv/bin/(.*)$", text(ROOT / ".pre-commit-config.yaml"), re.M
    )
    hooks = [entry.removeprefix("python -m ") for entry in entries]
    linters = [" ".join(arguments).removesuffix(" .") for arguments in lint_commands()]
    assert hooks == linters
    assert "https:" not in text(ROOT / ".pre-commit-config.yaml")


def lint_commands() -> Iterator[list[str]]:
    """The linters as `./inv test` calls them, without the Python that runs them."""
    for command in test._PARTS["lint"]:
        if command[:2] == [sys.executable, "-m"]:
            yield command[2:]
        else:
            yield [Path(command[0]).name, *command[1:]]


def test_the_changelog_has_this_version() -> None:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    versions = re.findall(r"^## \[([^\]]+)\]", text(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert project["version"] == VERSION
    assert versions[:2] == ["Unreleased", VERSION]


def test_lines_end_as_the_editor_is_told() -> None:
    """As .editorconfig says: LF, nothing before it, and one at the end."""
    kinds = {".md", ".sh", ".toml", ".yml", ".yaml", ".py"}
    paths = [path for path in ROOT.iterdir() if path.is_file() and path.suffix in kinds]
    for folder in FOLDERS:
        paths += [p for p in (ROOT / folder).rglob("*") if p.suffix in kinds and p.is_file()]
    ours = [path for path in paths if "fixtures" not in path.parts]
    assert len(ours) > 300
    assert [path for path in ours if not whole_lines(path.read_bytes())] == []
    assert not whole_lines(b"a \n")
    assert not whole_lines(b"a\r\n")
    assert not whole_lines(b"a")


def whole_lines(content: bytes) -> bool:
    if re.search(rb"[ \t\r]\n", content):
        return False
    return content.endswith(b"\n") or not content
