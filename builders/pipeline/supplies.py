# SPDX-License-Identifier: GPL-2.0-or-later
"""What builds are made from: the builder image and the sources. A flavour changes neither."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.ground.suite import image, mirror
from builders.pipeline.recipe import Recipe, Source
from builders.pipeline.run import Run
from builders.pipeline.stages import STAGES, Output, Store

if TYPE_CHECKING:
    from builders.ground.sources.cache import Fetched
    from builders.ground.suite.image import Image


class Supplies:
    """The builder image of a recipe, and sources of it.

    recipe: in place of the run's. names: of the sources; all that its targets read if left out.
    """

    def __init__(
        self, run: Run, recipe: Recipe | None = None, names: Iterable[str] | None = None
    ) -> None:
        self._run = run
        self._recipe = recipe or run.recipe
        self._store = Store(run.folder / STAGES)
        if names is None:
            names = (n for target in self._recipe.targets for n in self._recipe.reads(target))
        self.sources: dict[str, Source] = {name: self._recipe.sources[name] for name in names}

    def resolved(self) -> dict[str, Fetched]:
        """The sources that the cache has."""
        scope = mirror.scope(self._recipe.suite)
        there = {
            name: self._run.cache.resolved(source, scope=scope)
            for name, source in self.sources.items()
        }
        return {name: fetched for name, fetched in there.items() if fetched}

    def fetch(self, *, refresh: bool = False) -> dict[str, Fetched]:
        """Every source in the cache; fetched where it is missing, or all with `refresh`."""
        from builders.ground.sources.fetching import fetch_all
        from builders.ground.suite.pool import Pool

        return fetch_all(
            list(self.sources.values()),
            self._run.cache,
            self._run.reporter,
            debian=Pool(self._run),
            scope=mirror.scope(self._recipe.suite),
            offline=self._run.offline,
            refresh=refresh,
            cancel=self._run.live.stopping,
        )

    def image_inputs(self) -> dict[str, str]:
        """What the key of the image's stage is made of."""
        return image.inputs(self._recipe)

    def recorded(self) -> Output | None:
        """The record of the image; None where none was made yet."""
        return self._store.find("image", self.image_inputs())

    def image(self, *, refresh: bool = False) -> Image:
        """The builder image in the engine, with its record; made where it is missing."""
        there = None if refresh else image.find(self._run)
        recorded = self.recorded()
        begun = time.monotonic()
        if there is None:
            if self._run.offline:
                raise BuildError(
                    "the engine has no builder image, and making one needs the network",
                    hint="leave --offline out",
                    exit=Exit.ENGINE,
                )
            if refresh:
                image.clean_root(self._run, refresh=True)
            there = image.build(self._run)
        if recorded is None or recorded.notes["fingerprint"] != there.fingerprint:
            with self._store.make("image", self.image_inputs()) as making:
                (making.folder / "packages.txt").write_text(there.packages, encoding="utf-8")
                making.notes = {"fingerprint": there.fingerprint, "name": there.name}
                making.before = time.monotonic() - begun
            self._run.reporter.line(f"image: {len(there.packages.splitlines())} packages")
        return there
