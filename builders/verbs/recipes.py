# SPDX-License-Identifier: GPL-2.0-or-later
"""List the recipes; show, check or begin one.

--show prints a recipe as a run reads it: all its files joined, each value with where it comes from.
--check says what is wrong with a recipe, with file and line; exit status 2 where something is.
--new writes a recipe that takes over the nearest one of the project and pins other sources: a
release such as 4.22.0, a tag, a branch or a commit, after ADDRESS# one of another repository.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.show import face
from builders.text import printable
from builders.verbs.option import Reported, option

if TYPE_CHECKING:
    from builders.pipeline.recipe import Recipe
    from builders.show import upkeep
    from builders.show.outcome import Document, Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported):
    show: str = option("show this recipe, all its files joined", value="RECIPE")
    check: str = option("say what is wrong with this recipe, or that nothing is", value="FILE")
    new: str = option("write a new recipe of this name, or to this .toml file", value="NAME")
    suite: str = option("with --new: what it builds for", usual="bookworm")
    xen: str = option(
        "with --new: its Xen, as a release, tag, branch or commit; none for a kernel alone",
        value="REF",
        usual="the suite's own source",
    )
    linux: str = option(
        "with --new: its kernel, in the same way; none for a Xen alone",
        value="REF",
        usual="the suite's own source",
    )
    set: tuple[str, ...] = option(
        "with --show or --check: override one value of the recipe", (), value="KEY=VALUE"
    )


def run(options: Options) -> Outcome:
    from builders.pipeline import chosen, recipe
    from builders.show.outcome import Outcome

    chosen_forms = [f"--{name}" for name in ("show", "check", "new") if getattr(options, name)]
    if len(chosen_forms) > 1:
        raise BuildError(f"{' and '.join(chosen_forms)} at once", hint="one of them at a time")
    if not options.new and (options.suite or options.xen or options.linux):
        raise BuildError(
            "--suite, --xen and --linux are of a new recipe", hint="./inv recipes --new NAME ..."
        )
    if options.show:
        return _joined(options.show, options.set)
    if options.check:
        return _checked(options.check, options.set)
    if options.set:
        raise BuildError(
            "--set overrides a value of one recipe", hint="./inv recipes --show RECIPE --set ..."
        )
    if options.new:
        return _new(options)
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


def _checked(name: str, overrides: Sequence[str]) -> Outcome:
    """That the recipe is sound; BuildError with file and line where it is not."""
    from builders.pipeline import recipe
    from builders.pipeline.recipe import places
    from builders.pipeline.recipe.schema import RecipeError
    from builders.show import upkeep
    from builders.show.outcome import Outcome

    try:
        loaded = recipe.load(name, overrides)
    except RecipeError as error:
        if line := places.line(Path(error.origin), error.key):
            where = printable(error.origin)
            raise BuildError(
                error.message.replace(where, f"{where}:{line}", 1), hint=error.hint
            ) from None
        raise
    document = upkeep.RecipesDocument([_about(loaded.name, loaded, usual=False)])
    flavours = f", flavours {', '.join(sorted(loaded.kernel.flavours))}" if loaded.kernel else ""
    return Outcome(
        document,
        f"{loaded.name} is sound: {' and '.join(loaded.targets)} for {loaded.suite.name}, "
        f"{len(loaded.sources)} sources{flavours}",
    )


def _new(options: Options) -> Outcome:
    """A recipe that was written."""
    import shlex

    from builders import ends
    from builders.ground.engine.live import Live
    from builders.pipeline import drafts, recipe
    from builders.show import upkeep
    from builders.show.outcome import Outcome

    ends.watch()
    drafted = drafts.draft(
        options.new,
        options.suite or "bookworm",
        options.xen or drafts.SUITE,
        options.linux or drafts.SUITE,
        Live().stopping,
    )
    loaded = recipe.load(str(drafted.path), ["allow_file=true"])
    name = shlex.quote(options.new)
    files = " --set allow_file=true" if drafted.local else ""
    pins = "".join(f"\n  {target} at {commit}" for target, commit in drafted.commits.items())
    return Outcome(
        upkeep.RecipesDocument([_about(loaded.name, loaded, usual=False)]),
        f"{face.near(drafted.path)} takes over {drafted.model}{pins}\n"
        f"next: ./inv doctor --recipe {name}{files}, then ./inv build-all --recipe {name}{files}",
    )


def _about(
    name: str, loaded: Recipe | BuildError, usual: bool
) -> upkeep.RecipeEntry | upkeep.UnusableEntry:
    from builders.show import upkeep

    if isinstance(loaded, BuildError):
        return upkeep.UnusableEntry(name, usual, loaded.message, loaded.hint)
    flavours = sorted(loaded.kernel.flavours) if loaded.kernel else []
    return upkeep.RecipeEntry(name, usual, loaded.suite.name, loaded.summary, flavours)
