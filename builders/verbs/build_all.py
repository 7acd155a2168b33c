# SPDX-License-Identifier: GPL-2.0-or-later
"""Build Xen and the dom0 kernel.

The finished packages go to artifacts/RECIPE/. What is finished already is not made again. Several
recipes and flavours are built side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from builders.verbs.building import Building, BuildingAny, KernelAsked, flavour_built
from builders.verbs.option import option, recipe_built

if TYPE_CHECKING:
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(KernelAsked, BuildingAny):
    recipe: tuple[str, ...] = recipe_built(())
    flavour: tuple[str, ...] = flavour_built(())
    keep_going: bool = option("when one build fails, let the others end", False)
    matrix: str = option("a file with recipes and flavours to build", value="FILE")
    farm: str = option(
        "have it built by other machines (docs/farm.md)", value="ADDRESS", usual="DOM0_DEBS_FARM"
    )
    page: str = option("of several: also write a page with a time line", value="FILE")


@dataclass(frozen=True, kw_only=True)
class _One(KernelAsked, Building):
    """The options where one recipe is built here."""


def run(options: Options) -> Outcome:
    from builders.verbs import builds, several

    farm = several.address(options)
    most = max(len(options.recipe), len(options.flavour))
    if farm or options.matrix or options.page or most > 1:
        return several.make(options, farm)
    names = [each.name for each in fields(_One) if each.name not in ("recipe", "flavour")]
    one = _One(recipe="".join(options.recipe), **{name: getattr(options, name) for name in names})
    return builds.make(one, "".join(options.flavour), keep_going=options.keep_going)
