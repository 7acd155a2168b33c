# SPDX-License-Identifier: GPL-2.0-or-later
"""A newer version that the mirror lists and cannot serve is told wherever the older one is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.ground.sources.cache import Fetched, behind
from builders.ground.suite import mirror
from builders.pipeline import artifacts, doctor
from builders.pipeline.record import build_stage
from builders.pipeline.stages import STAGES, Store
from builders.release import publish
from tests.unit.releases import RECIPE, Box, keyring
from tests.unit.samples import recipe
from tests.unit.worlds import TEXT, World, a_world

NEWER = ("4.17.6-1", "4.17.5-2")
TOLD = "the mirror lists 4.17.6-1, which it could not serve"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One whose source xen is behind."""
    with a_world(tmp_path) as made:
        it = recipe(text=TEXT)
        scope = mirror.scope(it.suite)
        there = made.cache.resolved(it.sources["xen"], scope=scope)
        assert there
        assert there.unserved == ()
        late = Fetched("xen", "4.17.5-1", there.files, NEWER)
        made.cache.record(it.sources["xen"], late, scope=scope)
        assert made.cache.resolved(it.sources["xen"], scope=scope) == late
        yield made


def test_the_words() -> None:
    assert behind(()) == ""
    assert behind(NEWER) == TOLD


def test_a_record_of_before_has_none(world: World) -> None:
    it = recipe(text=TEXT)
    scope = mirror.scope(it.suite)
    there = world.cache.resolved(it.sources["linux"], scope=scope)
    assert there
    assert there.behind == ""


@pytest.mark.parametrize("odd", ["1", '[["x"]]', "[1]"])
def test_an_odd_record_is_thrown_away(world: World, odd: str) -> None:
    it = recipe(text=TEXT)
    scope = mirror.scope(it.suite)
    path = world.cache._record_path(it.sources["xen"], scope)
    document = json.loads(path.read_text()) | {"unserved": json.loads(odd)}
    path.write_text(json.dumps(document))
    assert world.cache.resolved(it.sources["xen"], scope=scope) is None
    assert not path.exists()


def test_explain_tells_it(world: World) -> None:
    states = {state.stage: state.why for state in world.pipeline().explain()}
    assert states["source xen"] == f"4.17.5-1 in the cache; {TOLD}"


def test_the_manifest_tells_it(world: World) -> None:
    packages = world.pipeline().build()
    assert [note for note in packages[0].notes if TOLD in note] == [f"source xen: {TOLD}"]
    manifest = artifacts.read(world.folder)
    assert manifest
    target = manifest.targets["xen"]
    assert all(f"source xen: {TOLD}" in listed.notes for listed in target.packages.values())
    built = Store(world.folder / STAGES).read(build_stage("xen"), target.build)
    assert built
    assert built.notes["unserved"] == {"xen": list(NEWER)}


def test_doctor_warns(world: World) -> None:
    def connect() -> None:
        raise BuildError("no engine", hint="start one")

    run = world.run()
    run.offline = True
    checks = doctor.examine(run, {"xen": run.recipe.sources["xen"]}, connect=connect)
    (check,) = (check for check in checks if check.name == "source xen")
    assert (check.state, check.why) == (doctor.WARN, f"in the cache 4.17.5-1; {TOLD}")
    assert "fetch --again" in check.remedy
    assert doctor.failed([check]) is None


@pytest.mark.slow
def test_a_release_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box(tmp_path)
    box.build()
    monkeypatch.setattr(publish, "behind", lambda _: {"xen": TOLD})
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with keyring() as keys:
        monkeypatch.setenv("GNUPGHOME", str(keys.home))
        made = publish.publish(box.run(), RECIPE)
    assert f"the newest source xen of xen: {TOLD}" in made.missing
    assert TOLD in (made.folder / "index.html").read_text()
