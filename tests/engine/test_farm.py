# SPDX-License-Identifier: GPL-2.0-or-later
"""A farm on loopback: a real scheduler, real workers, a real registry and the box's engine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builders import ROOT
from builders.pipeline.farm import address
from tests.engine.conftest import FILES, Box
from tests.engine.oci import RealRegistry
from tests.engine.test_matrix import several

pytestmark = pytest.mark.skipif(
    not address.has_engine(), reason="requirements-farm.lock is not installed"
)
MINIMAL = ("--flavour", "minimal")


class Farm:
    """A farm whose machines share nothing with a client but the registry and the engine."""

    def __init__(self, folder: Path, registry: RealRegistry) -> None:
        self.folder = folder
        self.store = f"oci://{registry.address}/team/dom0-debs"
        self.environment = {
            **os.environ,
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "DOM0_DEBS_ARTIFACTS": str(folder / "artifacts"),
        }
        self.address = ""
        self.processes: dict[str, dict[str, Any]] = {}

    def up(self, workers: int) -> None:
        document = self.says("up", "--workers", str(workers), "--port", "0")
        self.address = document["address"]
        names = [each["name"] for each in document["processes"]]
        self.processes = dict(zip(names, document["processes"], strict=True))

    def says(self, *words: str) -> dict[str, Any]:
        """What `farm` says with these words."""
        done = subprocess.run(
            [str(ROOT / "inv"), "farm", *words, "--format", "json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def pid(self, name: str) -> int:
        return int(self.processes[name]["pid"])

    @property
    def workers(self) -> list[str]:
        return [name for name, each in self.processes.items() if each["what"] == "worker"]

    def busy(self) -> dict[str, list[str]]:
        """The workers that have been given something, and what."""
        found = self.says("status")["workers"]
        return {each["name"]: each["busy"] for each in found if each["busy"]}

    def containers(self) -> list[str]:
        """The containers of all its workers."""
        done = subprocess.run(
            ["docker", "ps", "--no-trunc", "--format", '{{.ID}} {{.Label "org.dom0-debs.owner"}}'],
            capture_output=True,
            text=True,
            check=True,
        )
        return [line for line in done.stdout.splitlines() if line.split()[-1] in self._owners()]

    def _owners(self) -> set[str]:
        from builders.ground.sources.cache import Cache
        from builders.pipeline.recipe import load
        from builders.pipeline.run import Run
        from builders.progress import Silent

        recipe = load("xen-4.17-bookworm")
        folders = self.folder.glob("artifacts/.farm-*/*/")
        return {Run(recipe, Silent(), folder, Cache(self.folder)).owner for folder in folders}


def client(box: Box, farm: Farm, *arguments: str, who: str = "one") -> subprocess.Popen[str]:
    """Somebody who asks the farm; each has a folder of artifacts and a cache of their own."""
    return subprocess.Popen(
        [
            *(str(ROOT / "inv"), "build-all", *arguments, "--set", FILES, "--format", "json"),
            *("--farm", farm.address, "--store", farm.store),
        ],
        env={
            **farm.environment,
            "DOM0_DEBS_ARTIFACTS": str(box.folder / who / "artifacts"),
            "XDG_CACHE_HOME": str(box.folder / who / "cache"),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], status: int = 0) -> tuple[dict[str, Any], str]:
    """The document of a client that has to end so, and what it said."""
    out, said = process.communicate(timeout=300)
    assert process.returncode == status, said + out
    return json.loads(out) if out.strip() else {}, said


def digests(document: dict[str, Any]) -> dict[str, str]:
    return {
        Path(package["file"]).name: package["sha256"]
        for build in document["builds"]
        for package in build["packages"]
    }


def waited(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """What a condition says once it holds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.2)
    pytest.fail(f"it did not come to it in {seconds} s")


@pytest.fixture
def farm(tmp_path: Path, registry: RealRegistry) -> Iterator[Farm]:
    """A farm that has not been begun."""
    made = Farm(tmp_path / "farm", registry)
    yield made
    for each in made.processes.values():  # one that was stopped ends no other way
        if each["alive"]:
            try:
                os.kill(each["pid"], signal.SIGCONT)
            except ProcessLookupError:
                continue
    made.says("down")


def test_other_machines_build_and_packages_come_by_the_store(box: Box, farm: Farm) -> None:
    farm.up(2)
    document, _ = ended(client(box, farm, *several(box, ["first", "second"]), *MINIMAL))
    stages = [stage for build in document["builds"] for stage in build["stages"]]
    assert len(stages) == 8
    assert {stage["machine"] for stage in stages} <= set(farm.workers)
    assert {build["state"] for build in document["builds"]} == {"finished"}
    assert farm.containers() == []
    # The same as one box alone makes.
    alone = box.tool("build-all", *MINIMAL)
    assert alone.wait(300) == 0
    assert sorted(digests(document)) == sorted(
        path.name for path in (box.artifacts / "tiny").glob("*.deb")
    )
    manifest = json.loads((box.artifacts / "tiny" / "manifest.json").read_text())
    here = {
        file: about["sha256"]
        for target in manifest["targets"].values()
        for file, about in target["packages"].items()
    }
    assert digests(document) == here


def slow(box: Box, *, seconds: int = 30) -> None:
    """Let the builds of the box take a while."""
    box.xen_build = f"sleep {seconds}; make debball"
    box.kernel_build = f"sleep {seconds}; make bindeb-pkg"
    box.write()


def test_a_worker_that_is_killed_and_two_who_ask_for_the_same(box: Box, farm: Farm) -> None:
    slow(box, seconds=12)
    farm.up(3)
    recipes = several(box, ["same"])
    clients = [client(box, farm, *recipes, *MINIMAL, who=who) for who in ("one", "two")]
    waited(farm.containers, 180)
    (victim, *_) = farm.busy()
    os.kill(farm.pid(victim), signal.SIGKILL)
    documents = [ended(each) for each in clients]
    first, second = (digests(document) for document, _ in documents)
    assert first == second
    assert len(first) == 2
    machines = {
        stage["stage"]: stage["machine"]
        for document, _ in documents
        for build in document["builds"]
        for stage in build["stages"]
    }
    assert victim not in machines.values()
    assert farm.containers() == []
    # Each stage was made once: what both took has one time of its end.
    ends = {
        (stage["stage"], round(stage["begun"] + stage["seconds"]))
        for document, _ in documents
        for build in document["builds"]
        for stage in build["stages"]
    }
    assert len(ends) == 4


def test_a_client_that_dies_leaves_nothing_running(box: Box, farm: Farm) -> None:
    slow(box)
    farm.up(2)
    process = client(box, farm, *several(box, ["gone"]), *MINIMAL)
    waited(lambda: len(farm.containers()) == 2, 90)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    waited(lambda: not farm.containers(), 5)

    process = client(box, farm, *several(box, ["gone"]), *MINIMAL)
    waited(lambda: len(farm.containers()) == 2)
    process.send_signal(signal.SIGINT)
    _, said = ended(process, 130)
    assert "Traceback" not in said
    waited(lambda: not farm.containers(), 5)


def test_a_scheduler_that_dies_and_comes_back(box: Box, farm: Farm) -> None:
    slow(box, seconds=8)
    box.xen_build = "make debball"
    box.write()
    farm.up(2)
    recipes = several(box, ["kept"])
    process = client(box, farm, *recipes, *MINIMAL)
    # Xen is made, and the kernel is not.
    folder = box.folder / "one" / "artifacts" / "kept" / "stages" / "xen-finish"
    waited(lambda: list(folder.glob("[0-9a-f]*")), 90)
    os.kill(farm.pid("scheduler"), signal.SIGKILL)
    document, said = ended(process, 4)
    assert "the scheduler of the farm" in document["builds"][0]["error"]
    assert "Traceback" not in said
    waited(lambda: not farm.containers(), 8)

    # At the same address: its workers find it again.
    again = subprocess.Popen(
        [str(ROOT / "inv"), "farm", "scheduler", farm.address],
        env=farm.environment,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    try:
        waited(lambda: len(farm.says("status")["workers"]) == 2 if _up(farm) else False)
        document, _ = ended(client(box, farm, *recipes, *MINIMAL))
        made = [stage["stage"] for stage in document["builds"][0]["stages"]]
        assert sorted(made) == ["kernel-minimal-build", "kernel-minimal-finish"]
    finally:
        again.terminate()
        again.wait(20)


def _up(farm: Farm) -> bool:
    """Whether its scheduler takes connections."""
    at = address.parse(farm.address)
    with socket.socket() as probe:
        return probe.connect_ex((at.host, at.port)) == 0


def test_a_tree_of_ones_own_is_built_there_and_numbered_here(
    box: Box, farm: Farm, tmp_path: Path
) -> None:
    farm.up(1)
    tree = tmp_path / "mine"
    tree.mkdir()
    for name, text in box.xen.items():
        (tree / name).write_text(text)
    recipes = several(box, ["changed"])
    for number in (1, 2):
        (tree / "xl.c").write_text(box.xen["xl.c"] + f"/* {number} */\n")
        words = [*recipes, *MINIMAL, "--tree", f"xen={tree}"]
        document, _ = ended(client(box, farm, *words))
        (build,) = document["builds"]
        machines = {stage["stage"]: stage["machine"] for stage in build["stages"]}
        assert machines["xen-build"] in farm.workers
        assert machines["xen-finish"] == "", "the number of a build is counted by who asks"
        assert any(f"~dev.{number}+g" in package["version"] for package in build["packages"])


def test_a_build_that_fails_is_not_tried_again(box: Box, farm: Farm) -> None:
    box.xen_build = "echo it is broken; false"
    box.write()
    farm.up(2)
    process = client(box, farm, *several(box, ["bad"]), *MINIMAL)
    document, _ = ended(process, 5)
    (build,) = document["builds"]
    assert build["state"] == "failed"
    assert "xen-build: build failed with status 1 (on " in build["error"]
    logs = [Path(each["log"]).read_text() for each in farm.processes.values()]
    assert sum("its log is in the store" in log for log in logs) == 1


def test_a_worker_of_another_version_is_named_and_not_used(
    box: Box, farm: Farm, tmp_path: Path
) -> None:
    farm.up(1)
    copy = tmp_path / "other"
    copy.mkdir()
    for name in ("builders", "configs", "patches"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tasks.py", copy)
    with (copy / "builders" / "errors.py").open("a") as file:
        file.write("# another one\n")
    script = "from builders.program import main; main()"
    words = [sys.executable, "-c", script, "farm", "worker", farm.address, "--name", "stranger"]
    with (tmp_path / "log").open("wb") as log:
        other = subprocess.Popen(
            words, cwd=copy, env=farm.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        waited(lambda: len(farm.says("status")["workers"]) == 2)
        document, said = ended(client(box, farm, *several(box, ["alike"]), *MINIMAL))
        assert "worker stranger is of another version" in said
        stages = document["builds"][0]["stages"]
        assert {stage["machine"] for stage in stages} == set(farm.workers)
        # Where it is the only one, nothing is begun.
        os.kill(farm.pid(farm.workers[0]), signal.SIGTERM)
        waited(lambda: len(farm.says("status")["workers"]) == 1)
        slow(box)
        process = client(box, farm, *several(box, ["alike"]), *MINIMAL)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 4
        assert "none of this version" in said
    finally:
        other.terminate()
        other.wait(20)


def test_who_has_no_certificate_of_the_farm_is_refused(
    box: Box, farm: Farm, tmp_path: Path
) -> None:
    farm.up(1)
    keys = tmp_path / "keys"
    recipes = several(box, ["stranger"])
    farm.environment["DOM0_DEBS_FARM_KEYS"] = str(keys)
    process = client(box, farm, *recipes, *MINIMAL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a farm asks for a certificate" in said

    subprocess.run(
        [str(ROOT / "inv"), "farm", "keys"], env=farm.environment, check=True, capture_output=True
    )
    process = client(box, farm, *recipes, *MINIMAL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "can't be reached" in said

    # One that the farm's own authority has signed is let in.
    del farm.environment["DOM0_DEBS_FARM_KEYS"]
    other = tmp_path / "other"
    farm_keys = [str(ROOT / "inv"), "farm", "keys", "--out", str(other)]
    subprocess.run(farm_keys, env=farm.environment, check=True, capture_output=True)
    assert not (other / "ca-key.pem").exists()
    farm.environment["DOM0_DEBS_FARM_KEYS"] = str(other)
    assert len(farm.says("status")["workers"]) == 1
    del farm.environment["DOM0_DEBS_FARM_KEYS"]


@pytest.mark.long
def test_a_worker_that_hangs_is_given_up(box: Box, farm: Farm) -> None:
    slow(box, seconds=20)
    farm.up(2)
    process = client(box, farm, *several(box, ["hung"]), *MINIMAL)
    waited(lambda: len(farm.containers()) == 2, 90)
    (victim, *_) = farm.busy()
    os.kill(farm.pid(victim), signal.SIGSTOP)
    begun = time.monotonic()
    document, _ = ended(process)
    took = time.monotonic() - begun
    assert took < 60 + 40, "the time until it is noticed, and that of both builds"
    machines = {stage["machine"] for stage in document["builds"][0]["stages"]}
    assert victim not in machines
    os.kill(farm.pid(victim), signal.SIGCONT)
    waited(lambda: not farm.containers(), 20)


def test_a_stage_whose_workers_die_is_given_up(box: Box, farm: Farm) -> None:
    slow(box, seconds=100)
    farm.up(4)
    process = client(box, farm, *several(box, ["deadly"]), *MINIMAL)
    for _ in range(3):
        victim = waited(
            lambda: next(
                (
                    name
                    for name, busy in farm.busy().items()
                    if any(key.startswith("xen-build") for key in busy)
                ),
                None,
            ),
            90,
        )
        os.kill(farm.pid(victim), signal.SIGKILL)
    document, _ = ended(process, 4)
    error = document["builds"][0]["error"]
    assert error.startswith("xen-build: 3 workers died while they made it, ")
    waited(lambda: not farm.containers(), 5)
