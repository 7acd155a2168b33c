# SPDX-License-Identifier: GPL-2.0-or-later
"""The artifacts folder of a recipe: its finished packages, and the manifest that lists them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builders.errors import BuildError, Exit
from builders.recipe import Recipe
from builders.stages import Output


@dataclass(frozen=True)
class Package:
    """One finished package in the artifacts folder."""

    path: Path
    package: str
    version: str
    architecture: str
    sha256: str
    notes: tuple[str, ...]


def publish(folder: Path, recipe: Recipe, outputs: Mapping[str, Output]) -> list[Package]:
    """Put the packages into `folder`, each whole, and then the manifest.

    outputs: what is built ("xen", "linux") -> its finished stage. Packages of an earlier run that
    these replace are removed. Raises BuildError where the folder can't be written.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        before = {n: set(slot["packages"]) for n, slot in manifest["targets"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        manifest, before = {"targets": {}}, {}
    published: list[Package] = []
    for name, output in outputs.items():
        for file, about in output.notes["packages"].items():
            _link(output.folder / file, folder / file)
            published.append(
                Package(
                    folder / file,
                    about["package"],
                    about["version"],
                    about["architecture"],
                    output.files[file],
                    tuple(about["notes"]),
                )
            )
        manifest["targets"][name] = {
            "stage": output.key,
            "overrides": list(recipe.overrides),
            "packages": {
                file: {**about, "sha256": output.files[file]}
                for file, about in output.notes["packages"].items()
            },
        }
    manifest |= {"recipe": recipe.name, "suite": recipe.suite.name}
    _write(path, json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    now = {file for slot in manifest["targets"].values() for file in slot["packages"]}
    for gone in set().union(*before.values()) - now:
        if Path(gone).name == gone:  # never outside of the folder
            (folder / gone).unlink(missing_ok=True)
    return published


def _link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, at once."""
    try:
        if target.exists() and target.samefile(source):
            return
        fresh = target.with_name(f".{target.name}.new")
        fresh.unlink(missing_ok=True)
        os.link(source, fresh)
        fresh.replace(target)
    except OSError as error:
        raise BuildError(f"{target}: {error.strerror}", exit=Exit.ENGINE) from None


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
