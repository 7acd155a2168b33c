# SPDX-License-Identifier: GPL-2.0-or-later
"""A recipe (TOML) as frozen data.

`load` reads configs/recipes/NAME.toml, joins what it includes, applies the `--set` overrides of
one run and checks every key and type against the classes of `model`. An error names the file,
the key and the remedy. Nothing here touches the network, the engine or the clock.
"""

from builders.recipe.files import RECIPES
from builders.recipe.loading import DEFAULT, flavour, load, names, read_corrections
from builders.recipe.model import KINDS, Flavour, Kernel, Recipe, Xen
from builders.sources.pins import (
    DebianPackage,
    DebianSource,
    GitSource,
    Pooled,
    Source,
    UrlSource,
)
from builders.suite.model import Builder, Suite

__all__ = [
    "DEFAULT",
    "KINDS",
    "RECIPES",
    "Builder",
    "DebianPackage",
    "DebianSource",
    "Flavour",
    "GitSource",
    "Kernel",
    "Pooled",
    "Recipe",
    "Source",
    "Suite",
    "UrlSource",
    "Xen",
    "flavour",
    "load",
    "names",
    "read_corrections",
]
