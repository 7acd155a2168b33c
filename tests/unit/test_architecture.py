# SPDX-License-Identifier: GPL-2.0-or-later
"""The picture in docs/architecture.md is that of the contracts in pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from builders import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "importlinter"
]
CONTRACTS: list[dict[str, Any]] = LINTER["contracts"]
ROWS = TEXT.partition("```text\n")[2].partition("\n```")[0].splitlines()


def outer() -> list[str]:
    """The rows of the picture that are about builders/ itself, without their remarks."""
    return [re.split(" {2,}", row)[0] for row in ROWS if not row.startswith(" ")]


def inner(wing: str) -> list[str]:
    """The rows that are about the inside of a wing."""
    return [row.split(maxsplit=1)[1] for row in ROWS if row.startswith(f"  {wing} ")]


def layers(package: str) -> list[str]:
    (contract,) = (c for c in CONTRACTS if c.get("containers") == [package])
    rows: list[str] = contract["layers"]
    return rows


def test_the_rows_are_the_layers_from_top_to_bottom() -> None:
    assert outer() == layers("builders")


def test_the_inside_of_a_wing_is_that_of_its_contract() -> None:
    wings = [c["containers"][0] for c in CONTRACTS if c["type"] == "layers"]
    assert "builders" in wings
    for package in wings:
        if package != "builders":
            assert inner(package.removeprefix("builders.")) == layers(package), package
    (independent,) = (c["modules"] for c in CONTRACTS if c["type"] == "independence")
    proofs = [module.removeprefix("builders.proofs.") for module in independent]
    assert inner("proofs") == [" | ".join(proofs)]
    drawn = {row.split()[0] for row in ROWS if row.startswith(" ")}
    assert drawn == {"proofs", *(p.removeprefix("builders.") for p in wings if "." in p)}


def test_every_wing_is_described() -> None:
    """A folder of builders/ has a paragraph of its own, and each paragraph a folder."""
    folders = {path.parent.name for path in (ROOT / "builders").glob("*/__init__.py")}
    assert set(re.findall(r"^\*\*`builders/(\w+)/`\*\*", TEXT, re.MULTILINE)) == folders


def test_functions_are_where_the_document_says() -> None:
    """`name` (`file`) and `name` in `file`: the file has it."""
    named = re.findall(r"`([A-Za-z_.]+)`\s+(?:\(|in\s+)`(builders/[\w/]+\.py)`", TEXT)
    assert len(named) > 25
    for name, file in named:
        source = (ROOT / file).read_text(encoding="utf-8")
        for part in name.split("."):
            assert re.search(rf"^\s*(def|class) {part}\b|^{part}\b.* = ", source, re.MULTILINE), (
                f"{file} has no {part}"
            )
