# SPDX-License-Identifier: GPL-2.0-or-later
"""What builds are made from: the builder image and the sources. A flavour changes neither."""

from __future__ import annotations

import hashlib
import re
import shlex
import threading
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.ground.sources.pins import GitSource, UrlSource
from builders.ground.suite import image, mirror
from builders.pipeline import durations, lockfile
from builders.pipeline.recipe import Recipe, Source
from builders.pipeline.run import Run
from builders.pipeline.stages import HIT, MISS, STAGES, Output, State, Store

if TYPE_CHECKING:
    from builders.ground.sources.cache import Fetched
    from builders.ground.sources.fetching import DebianIndex
    from builders.ground.suite.image import Image
    from builders.pipeline.lockfile import Lock, LockedSource


_OFFERING = threading.Lock()  # recipes side by side may share an image: it is sent once


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


def cached(run: Run, sources: Mapping[str, Source], *, verify: bool = False) -> dict[str, Fetched]:
    """Those of the sources that the cache has; of a locked run, as the lock has them.

    verify: compute their digests; what is damaged is set aside, and that is said.
    """
    scope, note = mirror.scope(run.recipe.suite), run.reporter.line
    there: dict[str, Fetched] = {}
    for name, source in sources.items():
        entry = run.lock.source(name) if run.lock else None
        if entry:
            fetched = _locked(run, entry, verify=verify)
        else:
            fetched = run.cache.resolved(source, scope=scope, verify=verify, note=note)
        if fetched:
            there[name] = fetched
    return there


def _locked(run: Run, entry: LockedSource, *, verify: bool) -> Fetched | None:
    """What a lock pins of a source, where the cache has all of it."""
    from builders.ground.sources.cache import CachedFile, Fetched

    files: list[CachedFile] = []
    for f in entry.files:
        if verify and not run.cache.lookup(f.sha256, name=f.name, note=run.reporter.line):
            return None
        if not run.cache.has(f.sha256, f.size):
            return None
        files.append(CachedFile(f.name, f.sha256, f.size, run.cache.path(f.sha256)))
    return Fetched(entry.name, entry.version, tuple(files))


def _same(lock: Lock, fetched: Fetched, run: Run) -> None:
    """BuildError (SOURCE) where what was fetched is not what is locked."""
    entry = lock.source(fetched.name)
    if entry and [f.sha256 for f in entry.files] == [f.sha256 for f in fetched.files]:
        return
    raise BuildError(
        f"source {fetched.name} {fetched.version} is not what was locked: its files have other "
        "digests",
        hint=f"./inv lock --recipe {shlex.quote(run.origin or run.recipe.name)} locks what it is "
        "now",
        exit=Exit.SOURCE,
    )


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
        return cached(self._run, self.sources)

    def take(self) -> None:
        """Bring the pinned files that are missing here from the shared store, where it has them."""
        from builders.ground.sources.fetching import take

        shared, there = self._run.shared, self.resolved()
        for name, source in self.sources.items():
            if not shared or self._run.offline or name in there:
                continue
            if isinstance(source, (UrlSource, GitSource)):
                stop = self._run.live.stopping
                take(source, self._run.cache, shared, self._run.reporter, stop)

    def offer(self) -> None:
        """Put every file of the sources into the shared store, by its digest."""
        for fetched in self.resolved().values():
            for file in fetched.files:
                if self._run.shared:
                    self._run.shared.offer_source(file)

    def check(self, names: Iterable[str]) -> None:
        """Compute the digests of sources in the cache; what is damaged is set aside and said."""
        cached(self._run, {name: self.sources[name] for name in names}, verify=True)

    def outputs(self) -> dict[str, Output]:
        """What is there, as outputs of stages: "image", and "source NAME" for each source.

        A source's notes have what was fetched, so that a build reads the files of its key, whatever
        another run has fetched since.
        """
        recorded = self._record()
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
        from builders.ground.suite.pinned import PinnedIndex
        from builders.ground.suite.pool import Pool

        run, lock, pinned = self._run, self._run.lock, self._run.pinned
        if not lock or not pinned:
            return self._fetch(self.sources, Pool(run), refresh=refresh)
        if refresh:
            raise BuildError(
                "a locked run asks for nothing newer",
                hint="leave --again or --locked out; ./inv lock --again locks what is newest",
            )
        fetched = self.resolved()
        # What a second build needs that plays another box is in no lock, and in no package.
        others = {n: s for n, s in self.sources.items() if not lock.source(n)}
        missing = {n: s for n, s in self.sources.items() if n not in fetched and n not in others}
        pins = {
            name: lockfile.source_as_locked(source, entry)
            for name, source in missing.items()
            if (entry := lock.source(name))
        }
        index = PinnedIndex(self._recipe.suite, pinned)
        fetched |= self._fetch(pins, index, scope=f"lock {lock.digest}")
        fetched |= self._fetch(others, Pool(run))
        for name in pins:
            _same(lock, fetched[name], run)
        return fetched

    def _fetch(
        self,
        sources: Mapping[str, Source],
        index: DebianIndex,
        *,
        scope: str = "",
        refresh: bool = False,
    ) -> dict[str, Fetched]:
        from builders.ground.sources.fetching import fetch_all
        from builders.ground.suite import tags

        return fetch_all(
            list(sources.values()),
            self._run.cache,
            self._run.reporter,
            debian=index,
            scope=scope or mirror.scope(self._recipe.suite),
            offline=self._run.offline,
            refresh=refresh,
            cancel=self._run.live.stopping,
            trust=partial(tags.check, reporter=self._run.reporter),
            elsewhere=self._run.shared,
        )

    def image_inputs(self) -> dict[str, str]:
        """What the key of the image's stage is made of."""
        return image.inputs(self._recipe)

    def _record(self) -> Output | None:
        """The record of the image; of a locked run, of one that has what is locked."""
        pinned = self._run.pinned
        if not pinned:
            inputs, shared = self.image_inputs(), self._run.shared
            recorded = self._store.find("image", inputs)
            if recorded is None and shared and not self._run.offline:
                shared.bring(self._store, "image", [inputs])
                recorded = self._store.find("image", inputs)
            return recorded
        fingerprint = image.fingerprint(image.name(self._recipe), pinned.installed)
        for inputs in (self.image_inputs(), self._locked_inputs()):
            output = self._store.find("image", inputs)
            if output and output.notes["fingerprint"] == fingerprint:
                return output
        return None

    def _locked_inputs(self) -> dict[str, str]:
        """What the image's key is made of where an ordinary run has another image."""
        pinned = self._run.pinned
        return self.image_inputs() | ({"locked packages": pinned.digest} if pinned else {})

    def image(self, *, refresh: bool = False) -> Image:
        """The builder image in the engine, with its record; made where it is missing."""
        if refresh and self._run.pinned:
            raise BuildError("a locked image is never another one", hint="leave --again out")
        there = None if refresh else image.find(self._run)
        recorded = None if refresh else self._record()
        begun = time.monotonic()
        if recorded and (there is None or there.fingerprint != recorded.notes.get("fingerprint")):
            there = self._image_taken(str(recorded.notes.get("fingerprint"))) or there
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
            with self._store.make("image", self._locked_inputs()) as making:
                (making.folder / "packages.txt").write_text(there.packages, encoding="utf-8")
                making.notes = {"fingerprint": there.fingerprint, "name": there.name}
                making.before = time.monotonic() - begun
            recorded = self._store.made("image", self._locked_inputs())
            self._run.reporter.line(f"image: {len(there.packages.splitlines())} packages")
        if self._run.shared and not self._run.offline:
            self._run.shared.offer(self._store, recorded, again=refresh)
            with _OFFERING:
                self._run.shared.offer_image(
                    self._image_name(there.fingerprint), lambda: image.export(self._run, there.name)
                )
        return there

    def _image_name(self, fingerprint: str) -> str:
        """The name of the builder image in the shared store."""
        return f"{image.key(self._recipe)}-{fingerprint[:24]}"

    def _image_taken(self, fingerprint: str) -> Image | None:
        """The image of that fingerprint from the shared store; None where it has none."""
        shared, tag = self._run.shared, image.name(self._recipe)
        if not shared or self._run.offline or not re.fullmatch("[0-9a-f]{64}", fingerprint):
            return None
        with self._run.reporter.work("image") as task:
            task.show("the store", tag)
            if not shared.image(
                self._image_name(fingerprint),
                self._run.cache,
                lambda root: image.load(self._run, tag, root),
            ):
                return None
        taken = image.find(self._run)
        if taken is None or taken.fingerprint != fingerprint:
            raise BuildError(
                f"the store {shared.address} has another image than it says",
                hint="./inv image --again --store-mode write puts this box's own there",
                exit=Exit.ENGINE,
            )
        self._run.reporter.line("image: from the store")
        return taken
