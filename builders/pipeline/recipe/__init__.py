# SPDX-License-Identifier: GPL-2.0-or-later
"""A recipe (TOML) as frozen data.

`load` reads configs/recipes/NAME.toml, joins what it includes, applies the `--set` overrides of
one run and checks every key and type against the classes of `model`. An error names the file,
the key and the remedy. Nothing here touches the network, the engine or the clock.
"""

from builders.ground.sources.pins import (
    DebianPackage,
    DebianSource,
    GitSource,
    Pooled,
    Source,
    TreeSource,
    UrlSource,
)
from builders.ground.suite.model import Builder, Suite
from builders.pipeline.recipe.files import RECIPES
from builders.pipeline.recipe.loading import (
    DEFAULT,
    default_flavour,
    flavour,
    load,
    names,
    read_corrections,
)
from builders.pipeline.recipe.model import KINDS, TARGETS, Flavour, Kernel, Recipe, Xen

__all__ = [
    "DEFAULT",
    "KINDS",
    "RECIPES",
    "TARGETS",
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
    "TreeSource",
    "UrlSource",
    "Xen",
    "default_flavour",
    "flavour",
    "load",
    "names",
    "read_corrections",
]
