# SPDX-License-Identifier: GPL-2.0-or-later
"""A recipe's registry image by digest, from a real registry on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.ground.engine import connection
from builders.ground.sources.cache import Cache
from builders.ground.suite import image
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.progress import Silent
from tests.engine.oci import RealRegistry


class Listening(Silent):
    """A Reporter that remembers its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def run_with(pinned: str, folder: Path) -> tuple[Run, Listening]:
    reporter = Listening()
    recipe = load("xen-4.17-bookworm", [f"suite.image={pinned}"])
    return Run(recipe, reporter, folder / "artifacts", Cache(folder / "cache")), reporter


def test_the_pinned_image_is_the_clean_root(
    registry: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connection.connect(Silent())
    plain = Run(load("xen-4.17-bookworm"), Silent(), tmp_path / "plain", Cache(tmp_path / "c"))
    served = client.images.get(image.clean_root(plain))
    served.tag(f"{registry.address}/debian", "pinned")
    pushed = client.images.push(f"{registry.address}/debian", "pinned", stream=True, decode=True)
    digest = next(line["aux"]["Digest"] for line in pushed if "aux" in line)
    client.images.remove(f"{registry.address}/debian:pinned")
    run, _ = run_with(f"{registry.address}/debian@{digest}", tmp_path)

    def no_bootstrap(*_: object) -> None:
        pytest.fail("it was bootstrapped")

    monkeypatch.setattr(image, "_bootstrap", no_bootstrap)
    name = image.clean_root(run)
    try:
        assert client.images.get(name).id == served.id
    finally:
        client.images.remove(name)


def test_a_registry_that_has_not_got_it_is_named_and_the_bootstrap_serves(
    registry: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = f"{registry.address}/debian@sha256:{'0' * 64}"
    run, reporter = run_with(pinned, tmp_path)

    def bootstrap(*_: object) -> None:
        raise BuildError("bootstrapped")

    monkeypatch.setattr(image, "_bootstrap", bootstrap)
    with pytest.raises(BuildError, match="bootstrapped"):
        image.clean_root(run)
    assert pinned in reporter.lines[0]
    assert "bootstrapping instead" in reporter.lines[0]
