# SPDX-License-Identifier: GPL-2.0-or-later
"""List the recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.show import face
from builders.verbs.option import Reported

if TYPE_CHECKING:
    from builders.pipeline.recipe import Recipe
    from builders.show import upkeep
    from builders.show.outcome import Document, Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported):
    pass


def run(_: Options) -> Outcome:
    from builders.pipeline import recipe
    from builders.show.outcome import Outcome

    loaded: dict[str, Recipe | BuildError] = {}
    for name in recipe.names():
        try:
            loaded[name] = recipe.load(name)
        except BuildError as error:  # one file that is wrong hides no other
            loaded[name] = error

    def document() -> Document:
        from builders.show import upkeep

        return upkeep.RecipesDocument([_about(name, each) for name, each in loaded.items()])

    rows = [
        (
            name,
            "not usable" if isinstance(each, BuildError) else each.suite.name,
            (each.message if isinstance(each, BuildError) else each.summary)
            + (" (the default)" if name == recipe.DEFAULT else ""),
        )
        for name, each in loaded.items()
    ]
    return Outcome(document, face.table(rows))


def _about(name: str, loaded: Recipe | BuildError) -> upkeep.RecipeEntry | upkeep.UnusableEntry:
    from builders.pipeline.recipe import DEFAULT
    from builders.show import upkeep

    if isinstance(loaded, BuildError):
        return upkeep.UnusableEntry(name, name == DEFAULT, loaded.message, loaded.hint)
    flavours = sorted(loaded.kernel.flavours) if loaded.kernel else []
    return upkeep.RecipeEntry(name, name == DEFAULT, loaded.suite.name, loaded.summary, flavours)
