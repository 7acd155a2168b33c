# SPDX-License-Identifier: GPL-2.0-or-later
"""Which part of builders/ may import which: pyproject.toml says it, import-linter holds it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders import ROOT

LINTER = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(LINTER, cwd=folder, capture_output=True, text=True, check=False)


def test_arrows_point_down() -> None:
    done = linted(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("builders/debkit/codecs/model.py", "from builders.pipeline.recipe import Recipe"),
        ("builders/release/notes.py", "def late():\n    from builders.show import findings"),
        (
            "builders/ground/engine/step.py",
            "if TYPE_CHECKING:\n    from builders.pipeline import graph as pipeline",
        ),
        ("builders/ground/sources/git.py", "from builders.debkit import deb"),
        ("builders/elsewhere.py", ""),
    ],
)
def test_an_import_that_points_up_is_found(file: str, line: str, tmp_path: Path) -> None:
    """In a function, for types alone, and in a module that has no place yet, too."""
    shutil.copytree(ROOT / "builders", tmp_path / "builders")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a", encoding="utf-8") as module:
        module.write(f"\n{line}\n")
    done = linted(tmp_path)
    assert done.returncode == 1, done.stdout
    assert file.removesuffix(".py").replace("/", ".").removeprefix("builders.") in done.stdout
