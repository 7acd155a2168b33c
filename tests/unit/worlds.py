# SPDX-License-Identifier: GPL-2.0-or-later
"""A checkout with a cache, a recipe and a stand-in for the engine, on which builds run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from docker import DockerClient

from builders.ground.engine import container
from builders.ground.sources.cache import Cache, Fetched
from builders.ground.suite import image, mirror
from builders.ground.suite.image import Image
from builders.pipeline.graph import Pipeline
from builders.pipeline.recipe import Recipe, load
from builders.pipeline.run import Run
from tests.unit.containers import Archives, Client, Played, tar
from tests.unit.engines import Heard
from tests.unit.samples import WHOLE, package, recipe

PACKAGES = "gcc 12 amd64\nmake 4 amd64\n"
TEXT = WHOLE.replace('"minimal.config"', '"dom0.config"')


class World:
    """One checkout: a cache that has the sources, an engine's stand-in, and a recipe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "artifacts" / "good"
        self.origin = str(folder / "good.toml")
        self.cache = Cache(folder / "cache")
        self.scripts: dict[str, Played] = {}
        self.client = Client(self.play)
        self.heard = Heard()
        self.config = b"CONFIG_XEN_PCIDEV_BACKEND=y\n"
        self._folder = folder
        self.packages = PACKAGES
        self.images_asked = 0
        self.epoch = b"86400\n"
        self.depends = b"libc6 (>= 2.34), zlib1g,"
        self.text = TEXT
        self.content = b""  # of the packages' one file, and what tells builds from each other
        self.names: dict[str, str] = {}  # of the packages, where they are not the targets'

    def play(self, script: str) -> Played:
        for part, played in self.scripts.items():
            if part in script:
                return played
        return Played([b"working\n"])

    def archive(self, path: str) -> bytes:
        if path.endswith("/.config"):
            return tar([(".config", self.config)])
        target = path.split("/containers/")[1].split("-build/")[0]
        name = self.names.get(target, target)
        deb = self._folder / f"{name}{self.content.decode()}.deb"
        if not deb.exists():
            made = package(self._folder, name, {f"usr/bin/{name}": b"#!/bin/sh\n" + self.content})
            made.rename(deb)
        return tar(
            [
                (f"out/{name}_1_amd64.deb", deb.read_bytes()),
                (f"out/{name}_1_amd64.deb.depends", self.depends),
                ("out/epoch", self.epoch),
            ]
        )

    def fill(self, it: Recipe) -> None:
        """Put every source of a recipe into the cache."""
        for name, source in it.sources.items():
            path = self._folder / f"{name}.tar.gz"
            path.write_text(f"{name} as it came")
            file = self.cache.adopt(path, keep=True)
            scope = mirror.scope(it.suite)
            self.cache.record(source, Fetched(name, f"{name}-1", (file,)), scope=scope)

    def pipeline(
        self, *overrides: str, targets: tuple[str, ...] = ("xen",), **how: Any
    ) -> Pipeline:
        return Pipeline(self.run(*overrides, **how.pop("run", {})), "minimal", targets, **how)

    def run(self, *overrides: str, **how: Any) -> Run:
        Path(self.origin).write_text(self.text)
        client = cast("DockerClient", self.client)
        return Run(
            load(self.origin, overrides),
            self.heard,
            self.folder,
            self.cache,
            jobs=2,
            origin=self.origin,
            _client=client,
            **how,
        )


@contextmanager
def a_world(folder: Path) -> Iterator[World]:
    """A world below `folder` whose cache has every source."""
    it = World(folder)
    it.folder.mkdir(parents=True)
    it.fill(recipe(text=TEXT))

    def find(_: Run) -> Image | None:
        it.images_asked += 1
        return Image("dom0-debs/builder-bookworm:x", it.packages) if it.packages else None

    with pytest.MonkeyPatch.context() as patch, Archives(it.archive) as server:
        patch.setattr(image, "find", find)
        patch.setattr(container, "time", SimpleNamespace(sleep=lambda _: None))
        patch.delenv(mirror.MAIN, raising=False)
        patch.delenv(mirror.SECURITY, raising=False)
        it.client.api.base_url = server.url
        yield it
