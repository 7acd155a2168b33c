# SPDX-License-Identifier: GPL-2.0-or-later
"""The graph of stages on a stand-in for the engine: what is made, kept, skipped and published."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders import ROOT
from builders.errors import BuildError, Exit, Interrupted
from builders.files import of_file
from builders.ground.engine.step import Step
from builders.ground.sources.cache import Cache, Fetched
from builders.ground.suite import mirror
from builders.pipeline import artifacts, finishing
from builders.pipeline import graph as pipeline
from builders.pipeline.artifacts import Package
from builders.pipeline.graph import Pipeline
from builders.pipeline.run import Run
from builders.pipeline.stages import State
from builders.pipeline.steps import ccache
from builders.show import reports
from builders.text import amount
from tests.unit.containers import Played
from tests.unit.samples import recipe
from tests.unit.worlds import TEXT, World, a_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


def stages(world: World) -> set[str]:
    """The stages that are kept, by name."""
    return {p.parent.name for p in world.folder.glob("stages/*/*")}


def states(found: list[State]) -> dict[str, str]:
    return {s.stage: f"{s.state}: {s.why}" if s.state != "hit" else "hit" for s in found}


def scripts(world: World) -> list[str]:
    return [command[-1] for command, _ in world.client.execs]


# A build


@pytest.mark.parametrize(
    "epoch",
    [
        b"9" * 20,
        b"9" * 5000,
        b"-1",
        b"",
        b"soon",
        "\u0663".encode(),
        b"\xff",
        b"1e9",
        b"99999999999",
    ],
)
def test_a_time_that_is_none_is_told(world: World, epoch: bytes) -> None:
    world.epoch = epoch
    with pytest.raises(BuildError) as caught:
        world.pipeline("summary=x").build()
    assert caught.value.exit is Exit.STEP


@pytest.mark.parametrize("depends", [b"\xff\xfe", b"libc6, " * 1_000_000])
def test_relations_that_are_none_are_told(world: World, depends: bytes) -> None:
    world.depends = depends
    with pytest.raises(BuildError, match="as the build left it") as caught:
        world.pipeline("summary=x").build()
    assert caught.value.exit is Exit.STEP


def test_a_build_is_published_with_a_manifest(world: World) -> None:
    (made,) = world.pipeline("summary=x").build()
    assert made.path.parent == world.folder
    assert (made.package, made.version) == ("xen", "1+dom0.1")
    control = subprocess.run(
        ["dpkg-deb", "-f", made.path, "Depends"], check=True, capture_output=True, text=True
    )
    assert control.stdout == "libc6 (>= 2.34), zlib1g\n"
    manifest = json.loads((world.folder / "manifest.json").read_text())
    assert manifest["recipe"] == "good"
    assert manifest["targets"]["xen"]["overrides"] == ["summary=x"]
    assert manifest["targets"]["xen"]["packages"][made.path.name]["sha256"] == made.sha256
    assert stages(world) == {"image", "xen-build", "xen-finish"}
    log = (world.folder / "logs/xen-build.log").read_text()
    assert "### unpack\nworking\n### unpack: status 0, 0:00\n" in log


@pytest.mark.slow
def test_the_sources_and_files_go_into_the_container(world: World) -> None:
    world.pipeline("xen.files={a='b'}").build()
    put = world.client.put
    assert {"/build/in/xen", "/build/in/seabios", "/build/patches", "/build"} == set(put)
    assert b"xen as it came" in put["/build/in/xen"]
    assert b"files/0" in put["/build"]


def test_only_what_compiles_takes_jobs(world: World) -> None:
    world.pipeline().build()
    by_phase = {
        phase: options["environment"]
        for command, options in world.client.execs
        for phase in ("unpack()", "make debball")
        if phase in command[-1]
    }
    assert by_phase["unpack()"] == {}
    assert by_phase["make debball"] == {"JOBS": "2", "MAKEFLAGS": "-j2"}


def test_both_share_the_slots_and_the_keeper_ends(world: World) -> None:
    made = world.pipeline(targets=("xen", "kernel")).build()
    assert sorted(p.package for p in made) == ["kernel-minimal", "xen"]
    builds = [o for c, o in world.client.execs if "make debball" in c[-1] or "bindeb" in c[-1]]
    assert len(builds) == 2
    assert all("jobserver" in options["environment"]["MAKEFLAGS"] for options in builds)
    events = world.client.events
    assert sum(e.startswith("volume dom0-debs-slots-") for e in events) == 1
    assert sum(e.startswith("no volume dom0-debs-slots-") for e in events) == 1
    assert events.count("remove") == len(world.client.created) == 3


# What is there already


def test_what_is_finished_needs_no_engine(world: World) -> None:
    first = world.pipeline().build()
    assert world.pipeline().ready()
    world.client.created.clear()
    world.images_asked = 0
    assert world.pipeline().build() == first
    assert world.client.created == []
    assert world.images_asked == 0


def test_a_published_package_that_is_gone_is_published_again(world: World) -> None:
    (made,) = world.pipeline().build()
    made.path.unlink()
    (again,) = world.pipeline().build()
    assert again.path.exists()


@pytest.mark.slow
def test_a_build_of_one_serves_a_build_of_both(world: World) -> None:
    world.pipeline().build()
    assert not world.pipeline(targets=("xen", "kernel")).ready()
    world.client.created.clear()
    world.pipeline(targets=("xen", "kernel")).build()
    roles = [o["labels"]["org.dom0-debs.role"] for _, o in world.client.created]
    assert roles == ["kernel-minimal-build"]
    assert "xen-build: done before" in world.heard.lines
    manifest = json.loads((world.folder / "manifest.json").read_text())
    assert set(manifest["targets"]) == {"xen", "kernel-minimal"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "built"),
    [
        ("xen.build=make world", True),
        ("xen.place={}", True),
        ("finish.xen.revision=+dom0.2", False),
        ("kernel.build=make", False),
        ("builder.memory=4", False),
    ],
)
def test_a_change_makes_anew_what_it_concerns(world: World, override: str, built: bool) -> None:
    world.pipeline().build()
    world.client.created.clear()
    world.pipeline(override).build()
    assert bool(world.client.created) is built


def test_the_code_that_finishes_is_where_the_key_looks_for_it() -> None:
    assert all(any(ROOT.glob(pattern)) for pattern in finishing._CODE)


def test_another_image_builds_anew(world: World) -> None:
    world.pipeline().build()
    world.packages += "new 1 amd64\n"
    assert world.pipeline().ready()  # the recorded image still is what the key names
    world.pipeline().supplies.image()
    assert not world.pipeline().ready()
    assert states(world.pipeline().explain())["xen-build"] == "miss: changed: image"


def test_a_source_that_came_anew_builds_anew(world: World, tmp_path: Path) -> None:
    world.pipeline().build()
    it = recipe(text=TEXT)
    path = tmp_path / "other"
    path.write_text("other bytes")
    file = world.cache.adopt(path)
    scope = mirror.scope(it.suite)
    world.cache.record(it.sources["xen"], Fetched("xen", "2", (file,)), scope=scope)
    found = states(world.pipeline().explain())
    assert found["xen-build"] == "miss: changed: source xen"
    assert found["xen-finish"] == "unknown: xen-build comes first"


# Explain


@pytest.mark.slow
def test_explain_before_and_after(world: World) -> None:
    before = world.pipeline(targets=("xen", "kernel")).explain()
    assert states(before) == {
        "image": "miss: never made",
        "source xen": "hit",
        "source seabios": "hit",
        "source linux": "hit",
        "xen-build": "unknown: image comes first",
        "xen-finish": "unknown: xen-build comes first",
        "kernel-minimal-build": "unknown: image comes first",
        "kernel-minimal-finish": "unknown: kernel-minimal-build comes first",
    }
    world.pipeline(targets=("xen", "kernel")).build()
    assert set(states(world.pipeline(targets=("xen", "kernel")).explain()).values()) == {"hit"}


@pytest.mark.parametrize(
    ("override", "stage", "why"),
    [
        ("xen.build=x", "xen-build", "miss: changed: script build"),
        ("xen.files={a='b'}", "xen-build", "miss: changed: script place, file files/0 (new)"),
        ("finish.xen.revision=+x", "xen-finish", "miss: changed: corrections"),
        ("builder.packages=gcc", "image", "miss: changed: packages"),
        ("sources.xen.sha256=" + "0" * 64, "source xen", "miss: not in the cache"),
    ],
)
def test_explain_names_what_changed(world: World, override: str, stage: str, why: str) -> None:
    world.pipeline().build()
    assert states(world.pipeline(override).explain())[stage] == why


def test_explain_of_a_damaged_stage(world: World) -> None:
    world.pipeline().build()
    (record,) = world.folder.glob("stages/xen-build/*/stage.json")
    record.write_text("{")
    assert states(world.pipeline().explain())["xen-build"] == (
        "miss: damaged: stage.json is missing or not as it was written"
    )


def test_explain_makes_nothing(world: World) -> None:
    before = sorted(world.folder.rglob("*"))
    world.pipeline().explain()
    assert sorted(world.folder.rglob("*")) == before
    assert world.client.created == []


# Failures


def failing(world: World, part: str, *lines: bytes, status: int = 2) -> None:
    world.scripts[part] = Played(lines, status)


def test_a_phase_that_fails_shows_its_log_and_keeps_nothing(world: World) -> None:
    failing(world, "make debball", b"xl.c:1: error: no\n")
    with pytest.raises(BuildError) as caught:
        world.pipeline().build()
    error = caught.value
    assert error.message == "xen-build: build failed with status 2"
    assert "xl.c:1: error: no" in error.excerpt
    assert error.exit is Exit.STEP
    assert error.log == world.folder / "logs/xen-build.log"
    assert "xl.c:1: error: no" in error.log.read_text()
    assert stages(world) == {"image"}
    assert world.client.events[-1] == "remove"


def test_a_full_disk_of_the_engine_is_named(world: World) -> None:
    failing(world, "make debball", b"cc: error: x.o: No space left on device\n")
    with pytest.raises(BuildError, match="no space left on the engine's disk") as caught:
        world.pipeline().build()
    assert caught.value.exit is Exit.ENGINE


def test_a_build_that_wanted_more_memory_is_told_so(world: World) -> None:
    world.scripts["/sys/fs/cgroup"] = Played([b"oom 1\noom_kill 1\n"])
    failing(world, "make debball", b"Killed\n", status=137)
    with pytest.raises(BuildError, match="more than the 8 GiB of memory") as caught:
        world.pipeline().build()
    assert "builder.memory=16" in caught.value.hint


def test_an_option_that_kconfig_dropped_stops_before_the_build(world: World) -> None:
    world.config = b"# CONFIG_XEN_PCIDEV_BACKEND is not set\n"
    with pytest.raises(BuildError, match=r"CONFIG_XEN_PCIDEV_BACKEND: dom0\.config asks"):
        world.pipeline(targets=("kernel",)).build()
    assert not any("bindeb-pkg" in script for script in scripts(world))


class Meeting:
    """Output of two scripts: one fails only when the other one runs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.running = threading.Event()
        self.failed = threading.Event()

    def slow(self) -> Iterator[bytes]:
        self.running.set()
        assert self.failed.wait(10)
        deadline = threading.Event()
        for _ in range(200):
            if "kill" in self.world.client.events:
                break
            deadline.wait(0.02)
        yield b"slow has ended\n"

    def quick(self) -> Iterator[bytes]:
        assert self.running.wait(10)
        yield b"error: quick\n"
        self.failed.set()


def test_one_that_fails_ends_the_other(world: World) -> None:
    both = Meeting(world)
    world.scripts["make debball"] = Played(both.quick(), 2)
    world.scripts["make bindeb-pkg"] = Played(both.slow(), 0)
    with pytest.raises(BuildError, match="xen-build: build failed") as caught:
        world.pipeline(targets=("xen", "kernel")).build()
    assert caught.value.exit is Exit.STEP
    assert "kill" in world.client.events
    assert stages(world) == {"image"}


def test_keep_going_lets_the_other_one_end(world: World) -> None:
    failing(world, "make debball", b"error: no\n")
    with pytest.raises(BuildError, match="xen-build: build failed"):
        world.pipeline(targets=("xen", "kernel"), keep_going=True).build()
    assert stages(world) == {"image", "kernel-minimal-build", "kernel-minimal-finish"}
    assert "kill" not in world.client.events


def test_a_stop_raises_interrupted_and_keeps_what_is_finished(world: World) -> None:
    pipeline = world.pipeline()

    def stopped() -> Iterator[bytes]:
        yield b"compiling\n"
        pipeline._run.live.stop()

    world.scripts["make debball"] = Played(stopped(), 137)
    with pytest.raises(Interrupted):
        pipeline.build()
    assert stages(world) == {"image"}
    assert "kill" in world.client.events


def test_what_a_killed_run_left_is_swept(world: World) -> None:
    left = world.folder / "stages/xen-build/.making-x"
    left.mkdir(parents=True)
    (left / "half.deb").write_text("half")
    with world.run().alone():
        world.pipeline().build()
    assert not left.exists()


def test_what_a_killed_run_left_in_the_engine_is_swept_though_nothing_is_to_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[str] = []

    def sweep(_client: object, _owner: str, recipe: str) -> int:
        swept.append(recipe)
        return 0

    monkeypatch.setattr("builders.ground.session.sweep", sweep)
    with world.run().alone():
        world.pipeline().build()  # its run is never told that it is done: as if it were killed
    assert swept.pop() == "good"
    for expected in (["good"], []):
        run = world.run()
        swept.clear()
        with run.alone():
            Pipeline(run, "minimal", ("xen",)).build()
        assert swept == expected


def test_a_shell_opens_where_a_step_fails(world: World) -> None:
    failing(world, "make debball", b"error: no\n")
    opened: list[str] = []
    with pytest.raises(BuildError, match="build failed"):
        world.pipeline(shell=lambda step: opened.append(step.name)).build()  # noqa: S604
    assert opened == ["xen-build"]


def test_offline_without_an_image_says_so(world: World) -> None:
    world.packages = ""
    with pytest.raises(BuildError, match="no builder image") as caught:
        world.pipeline(run={"offline": True}).build()
    assert caught.value.exit is Exit.ENGINE
    assert "--offline" in caught.value.hint


def test_offline_without_a_source_says_which(world: World) -> None:
    with pytest.raises(BuildError, match="linux") as caught:
        world.pipeline(
            "sources.linux.version=9", targets=("kernel",), run={"offline": True}
        ).build()
    assert caught.value.exit is Exit.SOURCE


# Publishing


def test_a_package_that_is_no_longer_made_goes(world: World) -> None:
    (one,) = world.pipeline().build()
    (world.folder / "mine.deb").write_text("not this tool's")
    (two,) = world.pipeline("finish.xen.revision=+dom0.2").build()
    assert two.path.exists()
    assert not one.path.exists()
    assert (world.folder / "mine.deb").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"targets": {"xen": {}}}', '{"targets": 1}'])
def test_a_damaged_manifest_is_written_anew(world: World, text: str) -> None:
    (world.folder / "manifest.json").write_text(text)
    (made,) = world.pipeline().build()
    manifest = json.loads((world.folder / "manifest.json").read_text())
    assert list(manifest["targets"]["xen"]["packages"]) == [made.path.name]


def test_a_manifest_removes_nothing_elsewhere(world: World) -> None:
    outside = world.folder.parent / "precious"
    outside.write_text("x")
    named: Any = {"targets": {"xen": {"packages": {"../precious": {}, str(outside): {}}}}}
    (world.folder / "manifest.json").write_text(json.dumps(named))
    world.pipeline().build()
    assert outside.exists()


# Corrections once more


def test_finish_again_corrects_the_newest_build(world: World) -> None:
    world.pipeline().build()
    world.client.created.clear()
    (made,) = world.pipeline("finish.xen.revision=+dom0.9").finish_again()
    assert made.version == "1+dom0.9"
    # What was not built is left out.
    both = world.pipeline("finish.xen.revision=+dom0.8", targets=("xen", "kernel"))
    assert [package.version for package in both.finish_again()] == ["1+dom0.8"]
    assert world.client.created == []


def test_finish_before_any_build_says_what_to_do(world: World) -> None:
    with pytest.raises(BuildError, match="nothing was built of good") as caught:
        world.pipeline().finish_again()
    assert "build-all" in caught.value.hint


def test_an_unknown_flavour(world: World) -> None:
    with pytest.raises(BuildError, match="no flavour tiny"):
        Pipeline(world.run(), "tiny")


# One run at a time


def test_two_runs_of_one_recipe_do_not_meet(world: World) -> None:
    with (
        world.run().alone(),
        pytest.raises(BuildError, match=r"another run is at work in .*good"),
        world.run().alone(),
    ):
        pytest.fail("both ran")
    with world.run().alone():
        pass


@pytest.mark.parametrize("jobs", [-1, -99])
def test_jobs_are_not_less_than_none(world: World, jobs: int) -> None:
    with pytest.raises(BuildError, match=f"--jobs {jobs}"):
        Run(recipe(), world.heard, world.folder, world.cache, jobs=jobs)
    assert Run(recipe(), world.heard, world.folder, world.cache).jobs >= 1


def test_packages_are_shown_with_their_notes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (made,) = world.pipeline().build()
    monkeypatch.chdir(world.folder.parent)
    shown = reports.packages([Package(made.path, "x", "1", "amd64", "0", ("a note",))]).said(
        "table"
    )
    size = amount(made.path.stat().st_size)
    assert shown == f"good/{made.path.name}  {size}\n  note: a note"


# What is current


@pytest.mark.slow
def test_a_build_whose_correction_failed_is_the_one_that_finish_takes(world: World) -> None:
    world.pipeline("xen.files={a='A'}").build()
    first = artifacts.read(world.folder)
    changed = "xen.files={a='B'}"
    failing = "finish.xen.replace=[{path='/usr/bin/xen', old='there is none', new='x'}]"
    with pytest.raises(BuildError, match="there is none"):
        world.pipeline(changed, failing).build()
    there = artifacts.read(world.folder)
    assert first is not None
    assert there is not None
    assert there.targets == first.targets  # what is published is as it was
    assert there.builds["xen"].key != first.builds["xen"].key
    assert there.builds["xen"].overrides == (changed, failing)
    world.pipeline("finish.xen.replace=[]").finish_again()
    again = artifacts.read(world.folder)
    assert again is not None
    assert again.targets["xen"].build == there.builds["xen"].key
    assert again.targets["xen"].overrides == (changed, "finish.xen.replace=[]")


def test_a_stage_that_is_damaged_is_said_and_made_again(world: World) -> None:
    (made,) = world.pipeline().build()
    (raw,) = world.folder.glob("stages/xen-build/*/xen_1_amd64.deb")
    before = raw.read_bytes()
    raw.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert not world.pipeline().ready()
    (again,) = world.pipeline().build()
    assert again.sha256 == made.sha256
    assert any("xen_1_amd64.deb has another sha256" in line for line in world.heard.lines)
    assert [p.name for p in world.folder.glob("stages/xen-build/.damaged-*")]


def test_a_source_that_changed_in_the_cache_reaches_no_package(world: World) -> None:
    (file,) = (p for p in world.cache.root.glob("sha256/*/*") if b"xen as" in p.read_bytes())
    file.chmod(0o644)
    file.write_bytes(file.read_bytes().replace(b"came", b"went"))
    with pytest.raises(BuildError, match="has the sha256") as caught:
        world.pipeline().build()
    assert caught.value.exit is Exit.SOURCE
    assert not list(world.folder.glob("stages/xen-build/*"))
    assert not file.exists()  # so that the next run fetches it
    assert any("set aside" in line for line in world.heard.lines)


def test_a_build_reads_the_files_of_its_key_whatever_was_fetched_since(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = recipe(text=TEXT)
    path = tmp_path / "newer"
    path.write_text("xen as it is now")
    newer = Fetched("xen", "2", (world.cache.adopt(path, keep=True),))

    def step(*arguments: Any, **options: Any) -> Any:  # another run fetches meanwhile
        world.cache.record(it.sources["xen"], newer, scope=mirror.scope(it.suite))
        return Step(*arguments, **options)

    monkeypatch.setattr(pipeline, "Step", step)
    world.pipeline().build()
    assert b"xen as it came" in world.client.put["/build/in/xen"]
    assert not world.pipeline().ready()


@pytest.mark.parametrize("error", [errno.EXDEV, errno.EPERM])
def test_a_file_system_without_hard_links_has_copies(
    world: World, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr("builders.files.os.link", refuse)
    (made,) = world.pipeline().build()
    assert of_file(made.path) == made.sha256
    stamp = made.path.stat().st_mtime_ns
    world.pipeline().build()
    assert made.path.stat().st_mtime_ns == stamp


def test_a_full_disk_under_the_manifest_is_an_error_of_the_box(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("builders.pipeline.artifacts.write", full)
    with pytest.raises(BuildError, match=r"manifest\.json cannot be written") as caught:
        world.pipeline().build()
    assert caught.value.exit is Exit.ENGINE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"targets": 1}',
        '{"targets": {"xen": {"stage": "../..", "overrides": [], "packages": {}}}}',
        '{"targets": {}, "builds": {"xen": "../../elsewhere"}}',
        '{"targets": {}, "recipe": 5}',
        '{"targets": {"xen": {"stage": "%s", "overrides": [], "packages": {"../x.deb": {}}}}}'
        % ("0" * 24),
    ],
)
def test_a_manifest_that_cannot_be_believed_is_an_error_and_made_anew(
    world: World, text: str
) -> None:
    world.pipeline().build()
    (world.folder / "manifest.json").write_text(text)
    with pytest.raises(BuildError, match="is damaged"):
        world.pipeline().finish_again()
    world.pipeline().build()
    assert artifacts.read(world.folder) is not None


@pytest.mark.slow
def test_a_clean_build_takes_nothing_that_a_step_before_could_write(world: World) -> None:
    world.pipeline().build()
    assert not world.pipeline(clean=True).ready()
    world.client.created.clear()
    world.pipeline(clean=True).build()
    assert [options["volumes"] for _, options in world.client.created] == [{}]
    records = world.folder.glob("stages/xen-build/*/stage.json")
    notes = [json.loads(path.read_text())["notes"] for path in records]
    assert sorted(note["ccache"] for note in notes) == [False, True]
    assert world.pipeline(clean=True).ready()
    for path in world.folder.glob("stages/xen-build/*/stage.json"):
        if json.loads(path.read_text())["notes"]["ccache"]:
            shutil.rmtree(path.parent)
    assert world.pipeline().ready()  # a clean build serves any run


def test_no_two_recipes_checkouts_or_users_have_one_cache(world: World, tmp_path: Path) -> None:
    run = world.run()
    named = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, name="other"))
    by_path = dataclasses.replace(run, origin=str(tmp_path / "tiny.toml"))
    elsewhere = dataclasses.replace(run, folder=tmp_path / "b" / "good")
    of_another = dataclasses.replace(run, cache=Cache(tmp_path / "b"))
    runs = [run, named, by_path, elsewhere, of_another]
    assert len({ccache.volume(each) for each in runs}) == len(runs)
    assert ccache.volume(dataclasses.replace(run, jobs=1)) == ccache.volume(run)
