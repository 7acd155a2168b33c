# SPDX-License-Identifier: GPL-2.0-or-later
"""List the recipes, or show one.

--show prints a recipe as a run reads it: all its files joined, each value with where it comes from.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.show import face
from builders.verbs.option import Reported, option

if TYPE_CHECKING:
    from builders.pipeline.recipe import Recipe
    from builders.show import upkeep
    from builders.show.outcome import Document, Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported):
    show: str = option("show this recipe, all its files joined", value="RECIPE")
    set: tuple[str, ...] = option(
        "with --show: override one value of the recipe", (), value="KEY=VALUE"
    )


def run(options: Options) -> Outcome:
    from builders.pipeline import chosen, recipe
    from builders.show.outcome import Outcome

    if options.show:
        return _joined(options.show, options.set)
    if options.set:
        raise BuildError(
            "--set overrides a value of one recipe", hint="./inv recipes --show RECIPE --set ..."
        )
    usual = chosen.to_build("").value
    loaded: dict[str, Recipe | BuildError] = {}
    for name in recipe.names():
        try:
            loaded[name] = recipe.load(name)
        except BuildError as error:  # one file that is wrong hides no other
            loaded[name] = error

    def document() -> Document:
        from builders.show import upkeep

        return upkeep.RecipesDocument(
            [_about(name, each, name == usual) for name, each in loaded.items()]
        )

    rows = [
        (
            name,
            "not usable" if isinstance(each, BuildError) else each.suite.name,
            (each.message if isinstance(each, BuildError) else each.summary)
            + (" (the default)" if name == usual else ""),
        )
        for name, each in loaded.items()
    ]
    return Outcome(document, face.table(rows))


def _joined(name: str, overrides: Sequence[str]) -> Outcome:
    """The recipe of that name, with the maintainer that the environment or a default has."""
    from builders.pipeline import recipe
    from builders.pipeline.recipe import dump
    from builders.pipeline.recipe.loading import join
    from builders.show import recipes
    from builders.verbs import maintainer

    loaded = recipe.load(name, overrides)
    told = maintainer.overrides(os.environ, loaded.targets)
    values = dump.values(
        join(name, [*told, *overrides]), dict.fromkeys(told, maintainer.source(os.environ))
    )
    return recipes.joined(loaded.name, values)


def _about(
    name: str, loaded: Recipe | BuildError, usual: bool
) -> upkeep.RecipeEntry | upkeep.UnusableEntry:
    from builders.show import upkeep

    if isinstance(loaded, BuildError):
        return upkeep.UnusableEntry(name, usual, loaded.message, loaded.hint)
    flavours = sorted(loaded.kernel.flavours) if loaded.kernel else []
    return upkeep.RecipeEntry(name, usual, loaded.suite.name, loaded.summary, flavours)
