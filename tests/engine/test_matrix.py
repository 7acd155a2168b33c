# SPDX-License-Identifier: GPL-2.0-or-later
"""Several recipes and flavours as one graph, in a real engine."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builders import ROOT
from tests.engine.conftest import FILES, Box


def several(box: Box, names: Sequence[str]) -> list[str]:
    """The options that name recipes which are the box's under other names."""
    options: list[str] = []
    for name in names:
        path = box.folder / f"{name}.toml"
        shutil.copy(box.recipe, path)
        options += ["--recipe", str(path)]
    return options


def start(box: Box, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """build-all with these options."""
    return subprocess.Popen(
        [str(ROOT / "inv"), "build-all", *arguments, "--set", FILES],
        env=box.environment(**environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def built(box: Box, *arguments: str, status: int = 0, **environment: str) -> dict[str, Any]:
    """The document of a build that has to end so."""
    process = start(box, *arguments, "--format", "json", **environment)
    out, said = process.communicate(timeout=600)
    assert process.returncode == status, said
    document: dict[str, Any] = json.loads(out)
    return document


def digests(box: Box, name: str) -> dict[str, str]:
    """The packages in the manifest of a recipe, with their digests."""
    manifest = json.loads((box.artifacts / name / "manifest.json").read_text())
    return {
        file: about["sha256"]
        for target in manifest["targets"].values()
        for file, about in target["packages"].items()
    }


def test_recipes_and_flavours_side_by_side(box: Box) -> None:
    box.extra = (
        '[kernel.flavours.small]\nbase = "allnoconfig"\n'
        'fragments = ["minimal.config"]\nlocalversion = "-small"\n'
    )
    box.write()
    page = box.folder / "page.html"
    flavours = ["--flavour", "minimal", "--flavour", "small"]
    document = built(box, *several(box, ["one", "two"]), *flavours, "--page", str(page))
    assert [build["state"] for build in document["builds"]] == ["finished", "finished"]
    for build in document["builds"]:
        assert build["targets"] == ["xen", "kernel-minimal", "kernel-small"]
        made = sorted(stage["stage"] for stage in build["stages"])
        assert made == sorted(
            f"{target}-{step}" for target in build["targets"] for step in ("build", "finish")
        )
        # Xen once for both flavours.
        names = [Path(package["file"]).name for package in build["packages"]]
        assert len(names) == len(set(names)) == 3
    assert digests(box, "one") == digests(box, "two")
    text = page.read_text()
    assert text.count('class="bar') == 12
    assert "this box" in text

    again = built(box, *several(box, ["one", "two"]), *flavours)
    assert [build["stages"] for build in again["builds"]] == [[], []]


def test_one_that_fails_stops_the_others_and_need_not(box: Box) -> None:
    good = several(box, ["good"])
    box.xen_build = "false"
    box.write()
    bad = several(box, ["bad"])
    document = built(box, *bad, *good, "--flavour", "minimal", "--keep-going", status=5)
    states = {build["recipe"]: build for build in document["builds"]}
    assert states["bad"]["state"] == "failed"
    assert "xen-build: build failed with status 1" in states["bad"]["error"]
    assert states["good"]["state"] == "finished"
    # Without it: what was built is there, and said.
    document = built(box, *bad, *good, "--flavour", "minimal", status=5)
    assert {build["recipe"]: build["state"] for build in document["builds"]}["bad"] == "failed"


def test_two_files_of_one_name_are_refused(box: Box) -> None:
    folder = box.folder / "other"
    folder.mkdir()
    recipes = several(box, ["same"])
    shutil.copy(box.folder / "same.toml", folder)
    process = start(box, *recipes, "--recipe", str(folder / "same.toml"), "--flavour", "minimal")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "the packages of both would go to" in said


def running(box: Box, *names: str) -> list[str]:
    """The containers of the recipes that are called so."""
    found: list[str] = []
    for name in names:
        owner = dataclasses.replace(box.run(), folder=box.artifacts / name).owner
        words = ["docker", "ps", "--quiet", "--filter", f"label=org.dom0-debs.owner={owner}"]
        found += subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return found


def test_an_interrupt_ends_all_of_them(box: Box) -> None:
    box.xen_build = box.kernel_build = "sleep 100"
    box.write()
    process = start(box, *several(box, ["one", "two"]), "--flavour", "minimal")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(running(box, "one", "two")) < 2:
        time.sleep(0.2)
    assert len(running(box, "one", "two")) >= 2
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert time.monotonic() - begun < 5
    assert running(box, "one", "two") == []
