# SPDX-License-Identifier: GPL-2.0-or-later
"""Correct the packages once more, or a .deb of your own.

A package of your own takes the file of its corrections: finish some.deb --rules my.toml
(docs/finish.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.verbs.building import OfBuilt
from builders.verbs.option import OfRecipe, Reported, option

if TYPE_CHECKING:
    from builders.debkit.finish import Finished
    from builders.pipeline.artifacts import Package
    from builders.pipeline.run import Run
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported, OfBuilt, OfRecipe):
    path: tuple[str, ...] = option(
        "a .deb of your own in place of what was built", (), value="FILE", words=True
    )
    rules: str = option("its corrections, a .toml file (docs/finish.md)", value="FILE")
    out: str = option("the folder for what is corrected", value="FOLDER", usual="this one")


def run(options: Options) -> Outcome:
    from builders.show import reports
    from builders.verbs import builds

    if any(options.path) or options.rules or options.out:
        return reports.packages(_own(options))
    return reports.packages(correct(builds.begun(options, reads=True), options.flavour))


def correct(it: Run, flavour: str) -> list[Package]:
    """Correct the packages anew that were built last, and publish them."""
    from builders.pipeline import artifacts, current
    from builders.pipeline.graph import Pipeline

    with it.alone():
        built = (artifacts.read(it.folder) or artifacts.Manifest()).builds
        names = current.choose(built, flavour, current.named(it), it.folder)
        if not names:
            raise current.nothing_built(it.folder, current.named(it))
        current.say(it, names)
        kinds = {name.partition("-")[0]: name.partition("-")[2] for name in names}
        return Pipeline(it, kinds.get("kernel", ""), kinds).finish_again()


def _own(options: Options) -> list[Finished]:
    """Correct the .debs that are named by the file of rules; what was made."""
    from builders.errors import BuildError
    from builders.verbs import builds, custom

    paths = [Path(path) for path in options.path if path]
    if not paths or not options.rules:
        raise BuildError(
            "a package of your own needs its rules" if paths else "no package is named",
            hint="./inv finish some.deb --rules my.toml",
        )
    it = builds.begun(options) if options.recipe else None
    return custom.correct(paths, Path(options.rules), Path(options.out or "."), it)
