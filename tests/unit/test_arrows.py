# SPDX-License-Identifier: GPL-2.0-or-later
"""Which part of builders/ may import which: pyproject.toml says it, import-linter holds it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders import ROOT

pytestmark = pytest.mark.slow
LINTER = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(LINTER, cwd=folder, capture_output=True, text=True, check=False)


def test_arrows_point_down() -> None:
    done = linted(ROOT)
    assert done.returncode == 0, done.stdout


def test_imports_that_point_up_are_found(tmp_path: Path) -> None:
    """In a function and for types alone, too."""
    shutil.copytree(ROOT / "builders", tmp_path / "builders")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    imports = {
        ("debkit.codecs.model", "pipeline.recipe"): "from builders.pipeline.recipe import Recipe",
        ("release.notes", "show.findings"): "def late():\n    from builders.show import findings",
        ("ground.engine.step", "pipeline.graph"): (
            "if TYPE_CHECKING:\n    from builders.pipeline import graph as pipeline"
        ),
        ("ground.sources.git", "debkit.deb"): "from builders.debkit import deb",
    }
    for (importer, _), line in imports.items():
        path = tmp_path / "builders" / f"{importer.replace('.', '/')}.py"
        with path.open("a", encoding="utf-8") as module:
            module.write(f"\n{line}\n")
    done = linted(tmp_path)
    assert done.returncode == 1, done.stdout
    for importer, imported in imports:
        assert f"builders.{importer} -> builders.{imported}" in done.stdout


def test_a_module_that_has_no_place_is_found(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "builders", tmp_path / "builders")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "builders/elsewhere.py").touch()
    done = linted(tmp_path)
    assert done.returncode == 1, done.stdout
    assert "elsewhere" in done.stdout
