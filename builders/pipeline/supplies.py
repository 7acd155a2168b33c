# SPDX-License-Identifier: GPL-2.0-or-later
"""What builds are made from: the builder image and the sources. A flavour changes neither."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.ground.suite import image, mirror
from builders.pipeline import durations
from builders.pipeline.recipe import Recipe, Source
from builders.pipeline.run import Run
from builders.pipeline.stages import HIT, MISS, STAGES, Output, State, Store

if TYPE_CHECKING:
    from builders.ground.sources.cache import Fetched
    from builders.ground.suite.image import Image


def source_stage(name: str) -> str:
    """The name of a source among the stages."""
    return f"source {name}"


def _told(there: Output | None) -> str:
    """What `--explain` says of a source."""
    if there is None:
        return "not in the cache"
    fetched: Fetched = there.notes["fetched"]
    why = f"{fetched.version} in the cache".strip()
    return f"{why}; {fetched.behind}" if fetched.behind else why


def digest_of(fetched: Fetched) -> str:
    """Of all files of a source, by name."""
    files = sorted(f"{file.name} {file.sha256}" for file in fetched.files)
    return hashlib.sha256("\n".join(files).encode()).hexdigest()


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

    def check(self, names: Iterable[str]) -> None:
        """Compute the digests of sources in the cache; what is damaged is set aside and said."""
        scope, note = mirror.scope(self._recipe.suite), self._run.reporter.line
        for name in names:
            self._run.cache.resolved(self.sources[name], scope=scope, verify=True, note=note)

    def outputs(self) -> dict[str, Output]:
        """What is there, as outputs of stages: "image", and "source NAME" for each source.

        A source's notes have what was fetched, so that a build reads the files of its key, whatever
        another run has fetched since.
        """
        recorded = self._store.find("image", self.image_inputs())
        outputs = {"image": recorded} if recorded else {}
        for name, fetched in self.resolved().items():
            stage, files = source_stage(name), {f.name: f.sha256 for f in fetched.files}
            notes = {"fetched": fetched}
            outputs[stage] = Output(stage, digest_of(fetched), Path(), {}, files, notes, 0.0)
        return outputs

    def states(self, outputs: Mapping[str, Output]) -> list[State]:
        """What `--explain` says of the supplies, where `outputs` are those that are there."""
        there = outputs.get("image")
        why = there.key if there else self._store.why("image", self.image_inputs())
        states = [State("image", HIT if there else MISS, why)]
        for stage in map(source_stage, self.sources):
            there = outputs.get(stage)
            states.append(State(stage, HIT if there else MISS, _told(there)))
        return states

    def fetch(self, *, refresh: bool = False) -> dict[str, Fetched]:
        """Every source in the cache; fetched where it is missing, or all with `refresh`."""
        from builders.ground.sources.fetching import fetch_all
        from builders.ground.suite import tags
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
            trust=partial(tags.check, reporter=self._run.reporter),
        )

    def image_inputs(self) -> dict[str, str]:
        """What the key of the image's stage is made of."""
        return image.inputs(self._recipe)

    def image(self, *, refresh: bool = False) -> Image:
        """The builder image in the engine, with its record; made where it is missing."""
        there = None if refresh else image.find(self._run)
        recorded = self._store.find("image", self.image_inputs())
        begun = time.monotonic()
        if there is None:
            if self._run.offline:
                raise BuildError(
                    "the engine has no builder image, and making one needs the network",
                    hint="leave --offline out",
                    exit=Exit.ENGINE,
                )
            durations.announce(self._run, ["image"])
            if refresh:
                image.clean_root(self._run, refresh=True)
            there = image.build(self._run)
            durations.note(self._run.folder, "image", time.monotonic() - begun)
        if recorded is None or recorded.notes["fingerprint"] != there.fingerprint:
            with self._store.make("image", self.image_inputs()) as making:
                (making.folder / "packages.txt").write_text(there.packages, encoding="utf-8")
                making.notes = {"fingerprint": there.fingerprint, "name": there.name}
                making.before = time.monotonic() - begun
            self._run.reporter.line(f"image: {len(there.packages.splitlines())} packages")
        return there
