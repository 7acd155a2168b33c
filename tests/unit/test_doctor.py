# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest
import requests

from builders.errors import BuildError, Exit
from builders.ground.sources.cache import Cache, Fetched
from builders.ground.suite import mirror
from builders.pipeline import doctor
from builders.pipeline.doctor import FAIL, OK, WARN, Check, examine, failed
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.progress import Silent
from tests.unit.samples import recipe
from tests.unit.servers import Site, serve, status

GIB = 1 << 30
RELEASE = "/dists/bookworm/Release"


class Engine:
    """An engine's client that answers the doctor."""

    def __init__(self, *, memory: int = 16 * GIB, root: str = "/dev/null/none") -> None:
        self.memory = memory
        self.root = root
        self.images: set[str] = set()
        self.error: Exception | None = None

    def client(self) -> Any:
        def get(name: str) -> str:
            if not self.images:
                raise docker.errors.ImageNotFound(name)
            return name

        def info() -> dict[str, object]:
            if self.error:
                raise self.error
            return {"MemTotal": self.memory, "DockerRootDir": self.root, "Driver": "overlay2"}

        return SimpleNamespace(
            version=lambda: {"Version": "20.10", "ApiVersion": "1.41"},
            info=info,
            images=SimpleNamespace(get=get),
        )


class World:
    def __init__(self, folder: Path, site: Site) -> None:
        self.folder = folder
        self.site = site
        self.engine = Engine()
        self.overrides = [f"suite.mirror={site.root}", f"suite.security={site.root}/sec"]
        self.offline = False
        self.cached: set[str] = set()

    def examine(self) -> dict[str, Check]:
        it = recipe(*self.overrides)
        cache = Cache(self.folder / "cache")
        for name in self.cached:
            path = self.folder / name
            path.write_text(name)
            file = cache.adopt(path)
            scope = mirror.scope(it.suite)
            cache.record(it.sources[name], Fetched(name, "1", (file,)), scope=scope)
        run = Run(it, Silent(), self.folder / "artifacts/good", cache, offline=self.offline)
        checks = examine(run, dict(it.sources), connect=self.engine.client)
        assert len({check.name for check in checks}) == len(checks)
        for check in checks:
            assert check.why
            assert check.state == OK or check.remedy
        return {check.name: check for check in checks}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("builders.ground.sources.fetching.reachable", lambda *_, **__: None)
    monkeypatch.setattr("builders.pipeline.doctor.shutil.which", lambda tool: f"/usr/bin/{tool}")
    monkeypatch.setattr("builders.ground.suite.namespace.obstacle", lambda: None)
    monkeypatch.setenv("NO_PROXY", "*")
    free(monkeypatch, 500 * GIB)
    with Site(pages={RELEASE: serve(b"Suite: bookworm\n")}) as site:
        yield World(tmp_path, site)


def free(monkeypatch: pytest.MonkeyPatch, amount: int) -> list[Path]:
    """Let every disk have so much room; the folders that were asked for."""
    asked: list[Path] = []

    def usage(folder: Path) -> SimpleNamespace:
        assert folder.exists()
        asked.append(folder)
        return SimpleNamespace(free=amount)

    monkeypatch.setattr("builders.pipeline.doctor.shutil.disk_usage", usage)
    return asked


def test_all_is_well(world: World) -> None:
    checks = world.examine()
    assert {check.state for check in checks.values()} == {OK}
    assert failed(list(checks.values())) is None
    assert set(checks) == {
        "engine",
        "artifacts",
        "source cache",
        "mmdebstrap",
        "git",
        "mirror",
        *(f"source {name}" for name in ("xen", "seabios", "linux", "tree")),
    }
    assert checks["engine"].why == "20.10, API 1.41, overlay2"


def test_nothing_is_written(world: World) -> None:
    world.examine()
    assert not (world.folder / "artifacts").exists()


# The engine


def test_no_engine(world: World) -> None:
    def connect() -> None:
        raise BuildError("no engine answers", hint="start one", exit=Exit.ENGINE)

    run = Run(recipe(*world.overrides), Silent(), world.folder, Cache(world.folder / "c"))
    checks = examine(run, {}, connect=connect)
    assert checks[0] == Check("engine", FAIL, "no engine answers", "start one")
    error = failed(checks)
    assert error is not None
    assert error.exit is Exit.ENGINE


@pytest.mark.parametrize(
    "error", [requests.ConnectionError("gone"), docker.errors.APIError("x", None, "denied")]
)
def test_an_engine_that_stops_answering_is_a_check_that_fails(
    world: World, error: Exception
) -> None:
    world.engine.error = error
    assert world.examine()["engine"].state == FAIL


@pytest.mark.parametrize(("memory", "state"), [(8 * GIB, None), (8 * GIB - 1, WARN), (0, None)])
def test_the_engines_memory(world: World, memory: int, state: str | None) -> None:
    world.engine.memory = memory
    check = world.examine().get("engine memory")
    assert (check.state if check else None) == state
    if check:
        assert "--set builder.memory=7" in check.remedy


def test_little_memory_is_no_reason_to_stop(world: World) -> None:
    world.engine.memory = GIB // 2
    checks = world.examine()
    assert "--set builder.memory=1 " in checks["engine memory"].remedy
    assert failed(list(checks.values())) is None


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("", True),
        ("unix:///run/user/1000/docker.sock", True),
        ("ssh://user@host", False),
        ("tcp://10.0.0.1:2375", False),
        ("https://10.0.0.1:2376", False),
    ],
)
def test_only_a_local_engines_disk_is_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch, host: str, local: bool
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    world.engine.root = str(world.folder)
    assert ("engine disk" in world.examine()) is local


# Room


@pytest.mark.parametrize(
    ("amount", "state"),
    [(16 * GIB, OK), (16 * GIB - 1, WARN), (2 * GIB, WARN), (2 * GIB - 1, FAIL), (0, FAIL)],
)
def test_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, amount: int, state: str) -> None:
    free(monkeypatch, amount)
    check = doctor._room("disk", tmp_path, 16 * GIB, "make room")
    assert check.state == state
    assert (check.remedy == "make room") is (state != OK)
    assert "16.0 GiB may be needed" in check.why


def test_a_folder_that_can_not_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place, why in (("file", f"{tmp_path}/file is a file"), ("file/x", "file is a file")):
        check = doctor._room("disk", tmp_path / place, GIB)
        assert (check.state, why in check.why) == ("fail", True)


def test_room_is_looked_for_where_the_folder_will_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = free(monkeypatch, 0)
    check = doctor._room("disk", tmp_path / "not/yet/there", GIB)
    assert asked == [tmp_path]
    assert str(tmp_path) in check.remedy


def test_a_full_disk_stops_a_build(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 0)
    error = failed(list(world.examine().values()))
    assert error is not None
    assert error.exit is Exit.ENGINE
    assert "artifacts: 0 B free, 2.0 GiB may be needed" in error.message


# Tools


def test_a_missing_tool_names_its_package(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    checks = world.examine()
    assert checks["mmdebstrap"] == Check(
        "mmdebstrap", FAIL, "not installed", "apt-get install mmdebstrap"
    )
    assert checks["git"].state == FAIL


def test_tools_are_asked_for_only_where_they_are_needed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    world.engine.images.add("the builder")
    world.cached.add("seabios")
    checks = world.examine()
    assert "mmdebstrap" not in checks
    assert "git" not in checks


# vsyscall

MAPS = """\
7ffd8d3f5000-7ffd8d416000 rw-p 00000000 00:00 0                          [stack]
7ffd8d5b2000-7ffd8d5b4000 r-xp 00000000 00:00 0                          [vdso]
"""
PAGE = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0          [vsyscall]\n"


@pytest.mark.parametrize(("maps", "state"), [(MAPS + PAGE, OK), (MAPS, FAIL), ("", FAIL)])
def test_vsyscall(world: World, monkeypatch: pytest.MonkeyPatch, maps: str, state: str) -> None:
    path = world.folder / "maps"
    path.write_text(maps)
    monkeypatch.setattr(doctor, "MAPS", path)
    assert "vsyscall" not in world.examine()  # a suite of today does not need it
    world.overrides.append("suite.vsyscall=true")
    check = world.examine()["vsyscall"]
    assert check.state == state
    assert ("vsyscall=emulate" in check.remedy) is (state == FAIL)


# The mirror and the sources


def test_a_mirror_without_the_suite(world: World) -> None:
    world.site.pages[RELEASE] = status(404)
    check = world.examine()["mirror"]
    assert check.state == FAIL
    assert f"{world.site.root}{RELEASE} answers 404" in check.why
    assert mirror.MAIN in check.remedy


@pytest.mark.slow
def test_a_mirror_that_is_not_there(world: World) -> None:
    world.overrides.append("suite.mirror=http://127.0.0.1:9")
    checks = world.examine()
    assert checks["mirror"].state == FAIL
    assert checks["mirror"].why == (
        "nothing answers at http://127.0.0.1:9 (connection refused; set by suite.mirror)"
    )
    # Whether it has them is not known, so they are not well.
    served = [
        check for check in checks.values() if check.why == "unknown: it comes from the mirror"
    ]
    assert served
    assert {check.state for check in served} == {WARN}


def test_a_mirror_that_the_suites_apt_cannot_use(world: World) -> None:
    world.overrides.append("suite.name=wheezy")
    world.site.pages["/dists/wheezy/Release"] = serve(b"Suite: wheezy\n")
    assert world.examine()["mirror"].state == OK
    world.overrides.append(f"suite.mirror={world.site.root.replace('http:', 'https:')}")
    check = world.examine()["mirror"]
    assert check.state == FAIL
    assert "the apt of wheezy knows no https" in check.why
    assert "http://" in check.remedy


def test_a_box_without_user_namespaces(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = ("user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=65536")
    monkeypatch.setattr("builders.ground.suite.namespace.obstacle", lambda: problem)
    assert world.examine()["user namespace"] == Check("user namespace", FAIL, *problem)
    world.engine.images.add("dom0-debs/builder-bookworm:x")  # nothing is to be bootstrapped
    assert "user namespace" not in world.examine()


def test_no_mirror_is_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.overrides = []
    monkeypatch.delenv(mirror.MAIN, raising=False)
    monkeypatch.setattr(mirror, "of_box", lambda *_: None)
    check = world.examine()["mirror"]
    assert (check.state, "no Debian mirror is known" in check.why) == (FAIL, True)


def test_a_mirror_is_not_asked_where_all_is_there(world: World) -> None:
    world.engine.images.add("the builder")
    world.cached |= {"xen", "seabios", "linux", "tree"}
    checks = world.examine()
    assert "mirror" not in checks
    assert "source cache" not in checks
    assert checks["source xen"].why == "in the cache 1"
    assert world.site.requests == []


def test_a_source_that_cannot_be_reached(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    why = "404 everywhere"
    monkeypatch.setattr("builders.ground.sources.fetching.reachable", lambda *_, **__: why)
    checks = world.examine()
    assert checks["source xen"].state == FAIL
    assert checks["source xen"].why == "404 everywhere"
    assert "--set sources.xen.urls=file:///" in checks["source xen"].remedy
    assert checks["source linux"].state == OK  # the mirror has it
    error = failed(list(checks.values()))
    assert error is not None
    assert error.exit is Exit.SOURCE


def test_offline_nobody_is_asked(world: World) -> None:
    world.offline = True
    world.cached.add("xen")
    checks = world.examine()
    assert checks["source xen"].state == OK
    assert checks["source linux"].state == FAIL
    assert "--offline" in checks["source linux"].remedy
    assert world.site.requests == []


# What failed

BAD_SOURCE = Check("source xen", FAIL, "gone", "take a local copy")
BAD_ENGINE = Check("engine", FAIL, "no engine", "start it")


@pytest.mark.parametrize(
    ("checks", "exit"),
    [
        ([BAD_SOURCE], Exit.SOURCE),
        ([BAD_SOURCE, Check("engine", OK, "20.10")], Exit.SOURCE),
        ([BAD_SOURCE, BAD_ENGINE], Exit.ENGINE),
        ([BAD_ENGINE], Exit.ENGINE),
        ([Check("source cache", FAIL, "full", "make room")], Exit.SOURCE),
    ],
)
def test_the_status_of_what_failed(checks: list[Check], exit: Exit) -> None:
    error = failed(checks)
    assert error is not None
    assert error.exit is exit
    for check in checks:
        assert (f"{check.name}: {check.why}" in error.message) is (check.state == FAIL)
        assert check.state == OK or check.remedy in error.hint


def test_a_warning_is_no_failure() -> None:
    assert failed([Check("engine memory", WARN, "little", "less"), Check("x", OK, "y")]) is None
    assert failed([]) is None


def test_a_remedy_is_given_once() -> None:
    error = failed([BAD_ENGINE, Check("other", FAIL, "too", "start it")])
    assert error is not None
    assert error.hint == "start it"


# One cause, said once

UNREACHED = [Check(f"source {name}", FAIL, f"https://{name}.example: no", "x") for name in "abc"]
NO_MIRROR = Check("mirror", FAIL, "nothing answers at http://archive.debian.org/debian", "other")
WHEEZY = "xen-4.2-wheezy"


@pytest.fixture
def wheezy(tmp_path: Path) -> Run:
    return Run(load(WHEEZY), Silent(), tmp_path / "artifacts", Cache(tmp_path / "cache"))


def test_a_box_that_reaches_nobody_is_one_cause(wheezy: Run) -> None:
    error = failed([*UNREACHED, NO_MIRROR], wheezy)
    assert error is not None
    assert error.message.splitlines() == [
        f"{WHEEZY} (the default recipe) cannot be built here: this box reaches neither "
        "archive.debian.org nor the download sites of 3 sources",
        "  sources: a, b, c",
    ]
    assert error.hint == (
        f"./inv recipes, e.g. --recipe xen-4.17-bookworm; details: ./inv doctor --recipe {WHEEZY}"
    )
    assert error.exit is Exit.ENGINE


def test_other_failures_stay_beside_it(wheezy: Run) -> None:
    error = failed([BAD_ENGINE, *UNREACHED], wheezy)
    assert error is not None
    assert "does not reach the download sites of 3 sources\n  engine: no engine" in error.message
    assert error.hint.startswith("start it; ./inv recipes")
    wheezy.offline = True
    error = failed([Check(c.name, FAIL, "not in the cache", "online") for c in UNREACHED], wheezy)
    assert error is not None
    assert "3 sources are not in the cache: a, b, c" in error.message
    assert error.hint.startswith("online; details")


def test_the_verdict_names_the_recipe(wheezy: Run) -> None:
    who = f"{WHEEZY} (the default recipe)"
    assert doctor.verdict([Check("engine", OK, "20.10")], wheezy) == f"{who} can be built here"
    assert doctor.verdict([BAD_ENGINE], wheezy) == f"{who} cannot be built here"
    said = doctor.verdict([*UNREACHED], wheezy)
    assert said.endswith(
        "does not reach the download sites of 3 sources\n"
        "next: ./inv recipes, e.g. --recipe xen-4.17-bookworm"
    )


def test_a_boot_looks_at_what_its_image_needs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the image has to be made; the error is that of a build, not one in the middle of it."""
    world.overrides.append("suite.mirror=http://127.0.0.1:9")
    run = Run(recipe(*world.overrides), Silent(), world.folder / "a", Cache(world.folder))
    monkeypatch.setattr(Run, "client", property(lambda _: world.engine.client()))
    monkeypatch.setattr("builders.ground.suite.image.find", lambda _: None)
    with pytest.raises(BuildError, match="cannot be built here") as caught:
        doctor.for_image(run)
    assert "nothing answers at http://127.0.0.1:9" in caught.value.message
    monkeypatch.setattr("builders.ground.suite.image.find", lambda _: object())
    doctor.for_image(run)
