# SPDX-License-Identifier: GPL-2.0-or-later
"""A recipe by its name, with the overrides of one run."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.debkit.corrections import Corrections
from builders.documents import toml
from builders.errors import BuildError
from builders.pipeline.recipe.checks import RECIPE_NAME, check, check_corrections
from builders.pipeline.recipe.files import RECIPES, apply, is_file, read
from builders.pipeline.recipe.model import Flavour, Recipe
from builders.pipeline.recipe.schema import RESERVED, Reader
from builders.text import nearest

DEFAULT = "xen-4.2-wheezy"
_USUAL = "debian"  # the flavour that is built where none is named


def names() -> list[str]:
    """The recipes that there are, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load(name: str, overrides: Sequence[str] = (), folder: Path = RECIPES) -> Recipe:
    """The recipe called `name` (or the .toml file of that path) with `overrides` applied.

    overrides: "key.path=value"; the value is TOML, or a bare string. "key.path+=value" adds to a
        list.
    Raises BuildError where a file, a key, a type or an override is wrong.
    """
    it = join(name, overrides, folder)
    raw, reader = it.raw, Reader(it.origins, str(it.path))
    sources = reader.table(raw, "sources")
    values: dict[str, Any] = {
        **{key: value for key, value in raw.items() if key != "sources"},
        "name": it.path.stem,
        "overrides": tuple(overrides),
    }
    for reserved in RESERVED:
        if reserved in raw:
            raise reader.error(reserved, "is not a key of a recipe", "delete it")
    recipe: Recipe = reader.read(Recipe, {**values, "sources": {}}, "")
    parsed = {key: reader.source(key, value) for key, value in sources.items()}
    recipe = dataclasses.replace(recipe, sources=parsed)
    check(recipe, reader)
    return recipe


@dataclass(frozen=True)
class Joined:
    """A recipe's files and overrides, put over each other: plain values, unchecked.

    path: of the recipe itself. raw: the values. origins: dotted key -> the file that it was written
    in, or the "--set ..." as it was typed.
    """

    path: Path
    raw: Mapping[str, Any]
    origins: Mapping[str, str]


def join(name: str, overrides: Sequence[str] = (), folder: Path = RECIPES) -> Joined:
    """What `load` reads the recipe of that name from; BuildError as there."""
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if not is_file(path) and not (name.endswith(".toml") and os.path.lexists(path)):
        there = sorted(p.stem for p in folder.glob("*.toml"))
        raise BuildError(
            f"there is no recipe {name}"
            + (", the default one" if name == DEFAULT else nearest(name, there)),
            hint=f"choose one with --recipe: {', '.join(there) or 'none is there'}",
        )
    if not RECIPE_NAME.fullmatch(path.stem):
        raise BuildError(
            f"{path}: the name of a recipe becomes part of folders and volumes",
            hint="rename it: letters, digits, '.', '_' and '-'",
        )
    origins: dict[str, str] = {}
    raw = read(path, (), origins)
    for text in overrides:
        apply(raw, text, origins)
    return Joined(path, raw, origins)


def read_corrections(path: Path) -> Corrections:
    """The corrections of a file that has the keys of a table [finish.xen], and no more.

    BuildError names the file, the key and the remedy.
    """
    reader = Reader({}, str(path))
    corrections = typing.cast("Corrections", reader.read(Corrections, toml(path), ""))
    check_corrections(corrections, "", reader)
    return corrections


def flavour(recipe: Recipe, name: str) -> Flavour:
    """The kernel flavour of that name; BuildError with the names that there are."""
    if recipe.kernel is None:
        raise recipe.lacks("kernel")
    flavours = recipe.kernel.flavours
    if name not in flavours:
        raise BuildError(
            f"recipe {recipe.name} has no flavour {name}" + nearest(name, flavours),
            hint=f"choose one with --flavour: {', '.join(sorted(flavours))}",
        )
    return flavours[name]


def default_flavour(recipe: Recipe) -> str:
    """The flavour that is built where none is named: debian, or the only one; "" without a kernel.

    Raises BuildError where there are several, and none is called debian.
    """
    flavours = recipe.kernel.flavours if recipe.kernel else {}
    if len(flavours) < 2:
        return "".join(flavours)
    flavour(recipe, _USUAL)
    return _USUAL
