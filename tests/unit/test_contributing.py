# SPDX-License-Identifier: GPL-2.0-or-later
"""The worked examples of CONTRIBUTING.md, put into a copy of the project and tried there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders import ROOT

pytestmark = pytest.mark.slow
BLOCK = re.compile(r"```(python|toml)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project that has the examples."""
    copy = tmp_path_factory.mktemp("contributing")
    for name in ("builders", "configs", "docs", "patches", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "fixtures")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("tasks.py", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    blocks = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    rule, cases, field, decision, call, test, verb, document = (
        b for kind, b in blocks if kind != "toml"
    )
    (recipe,) = (block for kind, block in blocks if kind == "toml")

    def insert(file: str, text: str, before: str = "") -> None:
        """Put `text` before the one place that begins with `before`, or at the end."""
        path = copy / file
        content = path.read_text(encoding="utf-8")
        assert not before or content.count(before) == 1, f"{file} has {before} not once"
        head, place, rest = content.partition(before) if before else (content + "\n\n", "", "")
        path.write_text(head + text + place + rest, encoding="utf-8")

    sentence, _, default = field.partition("    ...\n")
    insert("builders/debkit/audit/rules/files.py", rule)
    insert("tests/unit/test_audit_rules.py", cases, ']\n\n\n@pytest.mark.parametrize("case", CASES')
    insert("builders/debkit/corrections.py", sentence, "    move: old path to")
    insert("builders/debkit/corrections.py", default, "    move: Mapping")
    insert("builders/debkit/finish/members.py", decision)
    insert("builders/debkit/finish/package.py", call, "        (True, modules.links)")
    insert("tests/unit/test_corrections.py", test)
    (copy / "builders/verbs/flavours.py").write_text(verb, encoding="utf-8")
    (copy / "builders/show/flavours.py").write_text(document, encoding="utf-8")
    insert("builders/verbs/catalogue.py", '"flavours", ', '"doctor", "recipes"')
    (copy / "configs/recipes/xen-4.17-mine.toml").write_text(recipe, encoding="utf-8")
    return copy


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_rule_and_the_correction_do_what_their_tests_say(project: Path) -> None:
    files = ["tests/unit/test_audit_rules.py", "tests/unit/test_corrections.py"]
    chosen = "patch-leftover or patch_left"
    done = run(project, "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *files)
    assert "3 passed" in done.stdout, done.stdout[-3000:]


def test_the_recipe_and_the_verb_work(project: Path) -> None:
    done = run(project, "invoke", "flavours", "--recipe", "xen-4.17-mine", "--format", "json")
    assert done.returncode == 0, done.stderr
    flavours = [about["flavour"] for about in json.loads(done.stdout)["flavours"]]
    assert flavours == ["control", "debian", "host", "minimal"]
    helped = run(project, "invoke", "--help", "flavours")
    assert "List the kernel flavours of a recipe." in helped.stdout


def test_the_list_of_rules_is_written_by_the_command(project: Path) -> None:
    page = project / "docs" / "audit.md"
    assert "patch-leftover" not in page.read_text(encoding="utf-8")
    assert run(project, "tests.documents").returncode == 0
    assert "- **patch-leftover**: " in page.read_text(encoding="utf-8")
