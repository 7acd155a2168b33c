# SPDX-License-Identifier: GPL-2.0-or-later
"""Which recipe and flavour are meant where a command line names none, and why these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builders.errors import BuildError
from builders.ground import defaults
from builders.pipeline import artifacts, recipe, run
from builders.pipeline.recipe import Recipe

_KERNEL = "kernel-"  # before the flavour, in the name of a target


@dataclass(frozen=True)
class Chosen:
    """A value, and why it was chosen; why is "" where the command line has it."""

    value: str
    why: str = ""


def to_build(option: str) -> Chosen:
    """The recipe to build: as the command line has it, else dom0-debs.toml, else the usual one."""
    if option:
        return Chosen(option)
    if default := defaults.read().recipe:
        return Chosen(default.value, str(default))
    return Chosen(recipe.DEFAULT, "the default")


def to_read(option: str) -> Chosen:
    """The recipe whose packages are read: where none is named, rather one of which there are any.

    That is what `to_build` says where something was built of it. Otherwise it is the only one that
    was built. Where there are several, or none, it is what `to_build` says: then the error is about
    that one, and names the others.
    """
    first = to_build(option)
    if not first.why:
        return first
    there = built()
    if recipe_name(first.value) in there:
        return first
    ours = sorted(there.keys() & set(recipe.names()))
    if len(there) == 1 and ours:
        return Chosen(ours[0], "the only one that was built")
    return first


def recipe_name(option: str) -> str:
    """The name of a recipe that is given by its name or its file."""
    return Path(option).stem if option.endswith(".toml") else option


def built(artifacts_folder: Path | None = None) -> Mapping[str, list[str]]:
    """The recipes of which there are finished packages, each with its targets, sorted."""
    found: dict[str, list[str]] = {}
    for folder in sorted((artifacts_folder or run.artifacts()).glob("*/")):
        try:
            manifest = artifacts.read(folder)
        except artifacts.DamagedManifestError:
            continue
        if manifest and manifest.targets:
            found[folder.name] = sorted(manifest.targets)
    return found


def flavours(targets: list[str]) -> list[str]:
    """The flavours of the kernels among targets."""
    return [name.removeprefix(_KERNEL) for name in targets if name.startswith(_KERNEL)]


def flavour(option: str, of: Recipe) -> Chosen:
    """The flavour to build: as the command line has it, else dom0-debs.toml, else the usual one.

    Raises BuildError where the recipe has no kernel and one is named, or has no such flavour.
    """
    if option:
        if not of.kernel:
            raise of.lacks("kernel")
        return Chosen(option)
    default = defaults.read().flavour
    if not default or not of.kernel:
        return Chosen(recipe.default_flavour(of), "the default" if of.kernel else "")
    try:
        recipe.flavour(of, default.value)
    except BuildError as error:
        raise BuildError(f"{error.message} ({default})", hint=error.hint) from None
    return Chosen(default.value, str(default))
