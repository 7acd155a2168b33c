# SPDX-License-Identifier: GPL-2.0-or-later
"""A recipe's registry image by digest, from a real registry on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.ground.engine import connection
from builders.ground.sources.cache import Cache
from builders.ground.suite import image
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.progress import Silent

CONFIG = """
version: 0.1
storage:
  filesystem:
    rootdirectory: {folder}/data
http:
  addr: 127.0.0.1:{port}
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of an empty registry."""
    if shutil.which("docker-registry") is None:
        if os.geteuid() != 0:
            pytest.skip("docker-registry is not installed")
        install = ["apt-get", "install", "--yes", "--no-install-recommends", "docker-registry"]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "config.yml").write_text(CONFIG.format(folder=tmp_path, port=port))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(tmp_path / "config.yml")], stdout=log, stderr=log
        )
    try:
        for _ in range(100):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5):
                    break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail((tmp_path / "log").read_text()[-2000:])
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


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
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connection.connect(Silent())
    plain = Run(load("xen-4.17-bookworm"), Silent(), tmp_path / "plain", Cache(tmp_path / "c"))
    served = client.images.get(image.clean_root(plain))
    served.tag(f"{registry}/debian", "pinned")
    pushed = client.images.push(f"{registry}/debian", "pinned", stream=True, decode=True)
    digest = next(line["aux"]["Digest"] for line in pushed if "aux" in line)
    client.images.remove(f"{registry}/debian:pinned")
    run, _ = run_with(f"{registry}/debian@{digest}", tmp_path)

    def no_bootstrap(*_: object) -> None:
        pytest.fail("it was bootstrapped")

    monkeypatch.setattr(image, "_bootstrap", no_bootstrap)
    name = image.clean_root(run)
    try:
        assert client.images.get(name).id == served.id
    finally:
        client.images.remove(name)


def test_a_registry_that_has_not_got_it_is_named_and_the_bootstrap_serves(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = f"{registry}/debian@sha256:{'0' * 64}"
    run, reporter = run_with(pinned, tmp_path)

    def bootstrap(*_: object) -> None:
        raise BuildError("bootstrapped")

    monkeypatch.setattr(image, "_bootstrap", bootstrap)
    with pytest.raises(BuildError, match="bootstrapped"):
        image.clean_root(run)
    assert pinned in reporter.lines[0]
    assert "bootstrapping instead" in reporter.lines[0]
