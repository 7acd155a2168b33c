# SPDX-License-Identifier: GPL-2.0-or-later
"""Recipes that have a hypervisor only, or a kernel only; and what no flavour changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.host import dom0, values
from builders.pipeline import doctor, recipe
from builders.pipeline.graph import Pipeline
from builders.pipeline.run import Run
from builders.pipeline.steps import ccache
from builders.pipeline.supplies import Supplies
from builders.proofs.trial import install, judges
from builders.release import facts, publish, signing, verify
from builders.show import trials
from builders.show.outcome import Outcome
from builders.verbs import (
    boot_test,
    builds,
    check,
    ci,
    clean,
    diff,
    finish,
    inspect,
    install_test,
    recipes,
    release,
)
from builders.verbs import verify as verb
from builders.verbs.catalogue import VERBS
from tests.unit.engines import Heard
from tests.unit.worlds import TEXT, World, a_world

pytestmark = pytest.mark.slow
TARGETS = ("xen", "kernel")


def without(text: str, target: str) -> str:
    """A recipe without the tables of a target."""
    kept, skipping = [], False
    for line in text.splitlines():
        if line.startswith("["):
            name = line.strip("[]")
            skipping = name in (target, f"finish.{target}") or name.startswith(f"{target}.")
        if not skipping:
            kept.append(line)
    return "\n".join(kept) + "\n"


@pytest.fixture(params=TARGETS)
def half(request: pytest.FixtureRequest) -> str:
    """The target that the recipe has."""
    return str(request.param)


@pytest.fixture
def other(half: str) -> str:
    """The target that it lacks."""
    return TARGETS[half == "xen"]


@pytest.fixture
def world(other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with a_world(tmp_path) as made:
        made.text = without(TEXT, other)
        made.names = {"xen": "xen-upstream", "kernel-minimal": "linux-image-6.1-dom0"}
        monkeypatch.setenv("DOM0_DEBS_ARTIFACTS", str(made.folder.parent))
        monkeypatch.setattr(doctor, "examine", lambda *_, **__: [])
        yield made


def name(half: str) -> str:
    return "xen" if half == "xen" else "kernel-minimal"


def test_it_is_built_explained_and_corrected(world: World, half: str, other: str) -> None:
    before = {state.stage: state.state for state in builds.explain(world.run(), "")}
    assert set(before) >= {"image", f"{name(half)}-build", f"{name(half)}-finish"}
    assert not any(other in stage for stage in before)
    sources = {stage for stage in before if stage.startswith("source ")}
    assert sources == {f"source {source}" for source in world.run().recipe.reads(half)}
    made = builds.build(world.run(), "")
    assert [package.package for package in made] == [world.names[name(half)]]
    manifest = json.loads((world.folder / "manifest.json").read_text())
    assert set(manifest["targets"]) == {name(half)}
    assert {state.state for state in builds.explain(world.run(), "")} == {"hit"}
    assert finish.correct(world.run(), "") == made
    assert set(builds.fetch(world.run())) == set(world.run().recipe.reads(half))
    assert builds.make_image(world.run()).packages == world.packages


def test_it_is_tried_and_audited(world: World, half: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (made,) = builds.build(world.run(), "")
    tried: list[list[Path]] = []

    def trial(_: Run, debs: Sequence[Path], raw: Sequence[Path]) -> list[judges.Verdict]:
        tried.append(list(debs))
        assert len(raw) == 1
        return []

    monkeypatch.setattr(judges, "check", trial)
    monkeypatch.setattr(install, "install_test", trial)
    check.judge(world.run(), check.Options())
    install_test.install_test(world.run(), install_test.Options())
    assert tried == [[made.path]] * 2
    assert install.examine([made.path], [])
    outcome = inspect.run(inspect.Options(recipe=world.origin, fail_on="never"))
    audited = json.loads(outcome.said("json"))["packages"]
    assert [each["path"] for each in audited] == [str(made.path)]
    assert world.heard.lines[-1] == f"good, as it was built: {name(half)}"


def test_a_boot_says_what_it_lacks(world: World, other: str) -> None:
    builds.build(world.run(), "")
    with pytest.raises(BuildError, match=f"recipe good has no {other}: a boot takes") as caught:
        boot_test.boot(world.run(), boot_test.Options(accel="tcg"))
    assert f"[{other}]" in caught.value.hint


def test_what_it_has_not_got_cannot_be_asked_for(world: World, half: str, other: str) -> None:
    with pytest.raises(BuildError, match=f"recipe good has no {other}$") as caught:
        builds.build(world.run(), "", [other])
    assert caught.value.hint.endswith(f"this one builds: {half}")
    if other == "kernel":
        with pytest.raises(BuildError, match="recipe good has no kernel"):
            builds.build(world.run(), "minimal")


@pytest.mark.skipif(not (shutil.which("gpg") and shutil.which("gpgv")), reason="needs gpg and gpgv")
def test_it_is_released_with_a_page(
    world: World, half: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(world.folder.parent))
    monkeypatch.delenv(signing.PASSPHRASE, raising=False)
    monkeypatch.setattr(facts, "commit", lambda: "c0ffee")
    (package,) = builds.build(world.run(), "")
    made = publish.publish(world.run(), world.origin)
    assert [build["target"] for build in made.builds] == [name(half)]
    assert made.missing == (
        f"a boot of {name(half)}: the recipe has no {other}, and a boot takes both",
    )
    assert not verify.verify(made.folder, Heard()).problems
    page = (made.folder / "index.html").read_text()
    assert f"apt-get install {package.package}" in page
    assert ("kernel flavour minimal" in page) == (half == "kernel")
    outcome = diff.run(diff.Options(path=(str(made.folder),) * 2))
    assert "Nothing changed." in outcome.said("markdown")


def test_clean_old_keeps_it_and_clean_removes_it(world: World) -> None:
    with world.run().alone():
        pass
    world.content = b"B"
    builds.build(world.run("builder.memory=4", "summary=x"), "")
    clean.clean(clean.Options(recipe="good", old=True), world.heard)
    assert Pipeline(world.run(), recipe.default_flavour(world.run().recipe)).ready()
    clean.clean(clean.Options(recipe="good"), world.heard)
    assert not world.folder.exists()


def test_the_builder_as_maintainer(
    world: World, half: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEBEMAIL", "A B <a@b.example>")
    Path(world.origin).write_text(world.text)
    run = builds.begin(world.origin, [], Heard())
    assert run.recipe.finish[half].maintainer == "A B <a@b.example>"


def test_the_release_job_boots_nothing(
    world: World, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ccache, "load", lambda *_: 0)
    kept = world.cache.root / "ccache"
    kept.mkdir()
    (kept / "x").write_text("x")
    monkeypatch.setattr(ccache, "save", lambda *_: kept / "x")
    monkeypatch.setattr(inspect, "run", lambda _: Outcome(text="clean"))
    monkeypatch.setattr(judges, "check", lambda *_: [])
    monkeypatch.setattr(install, "install_test", lambda *_: [])
    monkeypatch.setattr(trials, "verdicts_in_brief", lambda _: "")
    monkeypatch.setattr(trials, "cases_in_brief", lambda _: "")
    monkeypatch.setattr(release, "release", lambda *_: Outcome(text="released"))
    monkeypatch.setattr(verb, "verify", lambda *_: Outcome(text="sound"))
    summary = ci.Summary()
    assert ci._release(world.run(), "minimal" if other == "xen" else "", world.heard, summary) == 0
    said = {stage.stage: stage.said for stage in summary.stages}
    assert said["boot-test"] == f"nothing to boot: the recipe has no {other}"


# What the reader of recipes says


def load(folder: Path, text: str) -> recipe.Recipe:
    (folder / "good.toml").write_text(text)
    return recipe.load(str(folder / "good.toml"))


def test_a_recipe_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        load(tmp_path, without(without(TEXT, "xen"), "kernel"))
    assert caught.value.message.endswith("good.toml: xen: is missing, and kernel too")
    assert caught.value.hint == "add [xen], [kernel], or both"


@pytest.mark.parametrize("target", TARGETS)
def test_corrections_of_what_is_not_built_are_refused(tmp_path: Path, target: str) -> None:
    text = without(TEXT, target) + f'\n[finish.{target}]\nrevision = "+1"\n'
    with pytest.raises(BuildError, match=f"finish.{target}: is of nothing that is built"):
        load(tmp_path, text)


def test_a_host_without_a_version_of_xen_is_a_current_one(tmp_path: Path) -> None:
    it = load(tmp_path, without(TEXT, "xen"))
    assert values.xen_version(it) == (4, 17)
    assert not dom0.style(it).xend


def test_the_recipes_are_listed_with_the_flavours_that_they_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = {target: load(tmp_path, without(TEXT, target)) for target in TARGETS}
    monkeypatch.setattr(recipe, "names", lambda: list(halves))
    monkeypatch.setattr(recipe, "load", halves.get)
    said = json.loads(recipes.run(recipes.Options()).said("json"))
    found = {each["name"]: each["flavours"] for each in said["recipes"]}
    assert found == {"xen": ["minimal"], "kernel": []}


# What no flavour changes


@pytest.mark.parametrize("named", ["xen-4.17-bookworm", "xen-4.2-bullseye"])
def test_image_and_sources_are_the_same_for_every_flavour(tmp_path: Path, named: str) -> None:
    loaded = recipe.load(named, ['kernel.loaded=["nvme"]'])
    run = Run(loaded, Heard(), tmp_path, cache=None)  # type: ignore[arg-type]
    assert run.recipe.kernel
    pipelines = [Pipeline(run, flavour).supplies for flavour in run.recipe.kernel.flavours]
    assert len(pipelines) > 1
    whole = Supplies(run)
    for supplies in pipelines:
        assert supplies.image_inputs() == whole.image_inputs()
        assert supplies.sources == whole.sources
    assert "linux-config" in whole.sources


@pytest.mark.parametrize("verb", ["fetch", "image"])
def test_fetch_and_image_know_no_flavour(verb: str) -> None:
    assert "flavour" not in VERBS[verb].options


def test_the_usual_flavour(tmp_path: Path) -> None:
    assert recipe.default_flavour(recipe.load("xen-4.17-bookworm")) == "debian"
    assert recipe.default_flavour(load(tmp_path, TEXT)) == "minimal"
    assert recipe.default_flavour(load(tmp_path, without(TEXT, "kernel"))) == ""
    more = '\n[kernel.flavours.large]\nbase="x"\nfragments=[]\nlocalversion="-x"\n'
    with pytest.raises(BuildError, match="has no flavour debian") as caught:
        recipe.default_flavour(load(tmp_path, TEXT + more))
    assert caught.value.hint == "choose one with --flavour: large, minimal"
