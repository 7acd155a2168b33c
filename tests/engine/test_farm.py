# SPDX-License-Identifier: GPL-2.0-or-later
"""A farm on loopback: a real scheduler, real workers, a real registry and the box's engine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
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
_LONG = "sleep 25; make debball"


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


def test_other_machines_build_and_packages_come_by_the_store(
    box: Box, farm: Farm, tmp_path: Path
) -> None:
    farm.up(2)
    begun = time.monotonic()
    process = client(box, farm, *several(box, ["first", "second"]), *MINIMAL)
    document, said = ended(process)
    print(said, time.monotonic() - begun)
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
