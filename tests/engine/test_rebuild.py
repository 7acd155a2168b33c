# SPDX-License-Identifier: GPL-2.0-or-later
"""A release that others build again from its sources, and a count of those who have the same."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import ROOT
from builders.release import signing
from tests.engine.conftest import Box
from tests.engine.oci import RealRegistry
from tests.unit.releases import Keyring, keyring

pytestmark = pytest.mark.slow


def store(registry: RealRegistry) -> str:
    return f"oci://{registry.address}/team/dom0-debs"


class World:
    """A release by Alice in the folder `release`, and what else there is of keys."""

    def __init__(self, box: Box, registry: RealRegistry, keys: Keyring) -> None:
        self.box, self.registry, self.keys = box, registry, keys
        self.alice, self.bob, self.carol = (
            keys.make(f"{name} <{name.lower()}@example.org>") for name in ("Alice", "Bob", "Carol")
        )
        self.public = keys.export(self.alice, box.folder / "alice.asc")
        self.release = box.artifacts / "tiny" / "release"

    def rebuilders(self, *fingerprints: str) -> Path:
        path = self.box.folder / "rebuilders.gpg"
        path.write_bytes(self.keys.gpg("--export", *fingerprints))
        return path

    def inv(self, box: Box, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(ROOT / "inv"), *words],
            env=box.environment(GNUPGHOME=str(self.keys.home)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def released(self) -> None:
        recipe = str(self.box.recipe)
        words = ["build-all", "--flavour", "minimal", "--recipe", recipe]
        for name in ("xen", "linux"):  # the recipe itself names no file of this box
            place = self.box.folder / f"{name}.tar.gz"
            words += ["--set", f"sources.{name}-tree.urls=file://{place}"]
        done = self.inv(self.box, *words, "--store", store(self.registry))
        assert done.returncode == 0, done.stdout
        done = self.inv(self.box, "release", "--recipe", recipe, "--sign-key", self.alice)
        assert done.returncode == 0, done.stdout

    def rebuilt(self, box: Box, by: str, *more: str) -> subprocess.CompletedProcess[str]:
        words = [str(self.release), "--recipe", str(box.recipe), "--key", str(self.public)]
        words += ["--sign-key", by, "--store", store(self.registry), *more]
        return self.inv(box, "rebuild", *words)

    def verified(self, number: int, keys: Path) -> subprocess.CompletedProcess[str]:
        words = ["verify", str(self.release), "--key", str(self.public)]
        words += ["--rebuilders", str(number), "--rebuilder-keys", str(keys)]
        return self.inv(self.box, *words, "--store", store(self.registry))


def plain(box: Box) -> None:
    """Write the recipe with addresses that only an override leads to this box."""
    box.write()
    text = box.recipe.read_text().replace(f"file://{box.folder}", "https://example.invalid")
    box.recipe.write_text(text)


@pytest.fixture
def world(box: Box, registry: RealRegistry, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.delenv(signing.PASSPHRASE, raising=False)
    plain(box)
    with keyring() as keys:
        yield World(box, registry, keys)


@pytest.fixture
def other(world: World, tmp_path: Path) -> Box:
    """A second machine with the same recipe: no artifacts, an empty cache."""
    made = Box(tmp_path / "other")
    made.folder.mkdir()
    made.recipe.write_text(world.box.recipe.read_text())
    return made


def test_others_build_the_same_and_are_counted(world: World, other: Box) -> None:
    world.released()
    both = world.rebuilders(world.bob, world.carol, world.alice)
    assert world.verified(1, both).returncode == 1  # nobody has built it yet
    done = world.rebuilt(other, world.bob, "--out", str(other.folder / "said"))
    assert done.returncode == 0, done.stdout
    # The sources and the image are from the store, and nothing that was built.
    assert "-build: from the store" not in done.stdout
    assert "xen-build: done in" in done.stdout
    statement = next((other.folder / "said").glob("xen_*.json"))
    document = json.loads(statement.read_text())
    assert document["predicate"]["same"] is True
    made = {s["name"]: s["digest"]["sha256"] for s in document["subject"]}
    assert made == document["predicate"]["released"]
    signature = statement.with_name(f"{statement.name}.asc").read_bytes()
    public = signing.public_keys(world.keys.export(world.bob, other.folder / "bob.asc"))
    assert signing.check(public, signature, statement.read_bytes())[0] == world.bob
    done = world.verified(1, both)
    assert done.returncode == 0, done.stdout
    assert f"xen: {world.bob} built the same" in done.stdout
    # He counts once, whoever made the release counts never, and a key has to be given.
    world.rebuilt(other, world.bob)
    world.rebuilt(other, world.alice, "--only", "xen")
    done = world.verified(2, both)
    assert done.returncode == 1
    assert "2 others were to have built the same: 1 did" in done.stdout
    assert world.verified(1, world.rebuilders(world.carol)).returncode == 1
    assert not (other.artifacts / "tiny" / "rebuild").exists()


def test_what_differs_is_said_and_does_not_count(world: World, other: Box) -> None:
    world.box.kernel["Makefile"] = world.box.kernel["Makefile"].replace(
        "echo kernel >", "date +%s%N >"
    )
    plain(world.box)
    other.recipe.write_text(world.box.recipe.read_text())
    world.released()
    done = world.rebuilt(other, world.bob)
    assert done.returncode == 1, done.stdout
    assert "DIFFERS  linux-image-6.9.1-dom0-minimal" in done.stdout
    assert "same     xen-upstream_" in done.stdout
    done = world.verified(1, world.rebuilders(world.bob))
    assert done.returncode == 1
    assert f"kernel-minimal: {world.bob} built something else" in done.stdout
    assert f"xen: {world.bob} built the same" in done.stdout
    # What differs is kept for a closer look, and that alone.
    kept = other.artifacts / "tiny" / "rebuild"
    assert [path.name for path in kept.iterdir()] == ["kernel-minimal"]


def test_another_recipe_or_a_changed_release_is_refused(world: World, other: Box) -> None:
    world.released()
    other.recipe.write_text(
        other.recipe.read_text().replace("make debball", "make debball; echo changed")
    )
    done = world.rebuilt(other, world.bob)
    assert done.returncode == 3, done.stdout
    assert "script build" in done.stdout
    done = world.inv(other, "rebuild", str(world.release), "--recipe", str(other.recipe))
    assert done.returncode == 2
    assert "--key is missing" in done.stdout
    with (world.release / "release.json").open("a") as file:
        file.write(" ")
    done = world.rebuilt(other, world.bob)
    assert done.returncode == 1
    assert "is not sound" in done.stdout
