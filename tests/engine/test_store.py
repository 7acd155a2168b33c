# SPDX-License-Identifier: GPL-2.0-or-later
"""A store that several checkouts share, in a real registry on loopback."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builders import ROOT
from builders.ground.engine import connection
from builders.ground.registry.address import parse
from builders.ground.sources.cache import Cache
from builders.pipeline import graph
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.pipeline.shared import Shared
from builders.pipeline.stages import Store
from builders.pipeline.steps import ccache
from builders.pipeline.supplies import Supplies
from builders.progress import Silent
from builders.verbs import builds
from tests.engine.conftest import Box, Daemon
from tests.engine.oci import RealRegistry, htpasswd

BUILD = ("build-all", "--flavour", "minimal")


def store(registry: RealRegistry) -> str:
    return f"oci://{registry.address}/team/dom0-debs"


def build(box: Box, registry: RealRegistry, *more: str, **environment: str) -> str:
    """What a build with the store says; it has to end well."""
    status, said = ended(box, registry, *more, **environment)
    assert status == 0, said
    return said


def ended(box: Box, registry: RealRegistry, *more: str, **environment: str) -> tuple[int, str]:
    process = box.tool(*BUILD, "--store", store(registry), *more, **environment)
    said = process.communicate(timeout=300)[0]
    return process.returncode, said


def looked(box: Box, registry: RealRegistry, *more: str) -> str:
    """What the verb `store` says."""
    return subprocess.run(
        [str(ROOT / "inv"), "store", "--store", store(registry), *more],
        env=box.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout


def digests(box: Box) -> dict[str, str]:
    """The packages that the manifest names."""
    manifest = json.loads((box.artifacts / "tiny" / "manifest.json").read_text())
    return {n: p["sha256"] for t in manifest["targets"].values() for n, p in t["packages"].items()}


@pytest.fixture
def other(box: Box, tmp_path: Path) -> Box:
    """A second checkout with the same recipe: no artifacts, an empty cache."""
    made = Box(tmp_path / "other")
    made.folder.mkdir()
    made.recipe.write_text(box.recipe.read_text())
    return made


def test_a_second_checkout_builds_nothing(
    box: Box, other: Box, registry: RealRegistry, containers: Callable[[], list[str]]
) -> None:
    first = build(box, registry)
    assert "kernel-minimal-build: done in" in first
    for name in ("xen", "linux"):  # what the recipe names is not to be had any more
        (box.folder / f"{name}.tar.gz").unlink()
    second = build(other, registry)
    assert "xen-build: from the store" in second
    assert "kernel-minimal-finish: from the store" in second
    assert "done in" not in second.replace("done in 0:0", "")
    assert digests(other) == digests(box)
    assert not containers()
    # Where all is there, a third time changes nothing.
    assert "from the store" not in build(other, registry)


def test_the_log_of_a_step_that_fails_is_there_for_others(box: Box, registry: RealRegistry) -> None:
    box.xen_build = "echo '\\033[2J what went wrong'; exit 7"
    box.write()
    status, said = ended(box, registry)
    assert status == 5
    tag = next(word for word in said.split() if word.startswith("log-xen-build-"))
    printed = looked(box, registry, "--log", tag)
    assert "what went wrong" in printed
    assert "\033" not in printed
    assert tag in looked(box, registry)
    # A log is no stage: nothing is taken for done.
    assert "xen-build: from the store" not in ended(box, registry)[1]
    assert "has no log" in looked(box, registry, "--log", "log-nothing")


def test_a_commit_is_had_from_the_store(box: Box, other: Box, registry: RealRegistry) -> None:
    repo = box.folder / "repo"
    repo.mkdir()
    for name, text in box.xen.items():
        (repo / name).write_text(text)
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "x"]):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
        subprocess.run(["git", *who, *words], cwd=repo, check=True)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repo, check=True, capture_output=True, text=True
    )
    source = f"[sources.xen-tree]\nkind = 'git'\nurls = ['{repo.as_uri()}']\n"
    text = box.recipe.read_text()
    first, rest = text.split("[sources.xen-tree]\n")
    _, _, rest = rest.partition("[sources.linux-tree]")
    source += f"commit = '{head.stdout.strip()}'\n"
    for each in (box, other):
        each.recipe.write_text(f"{first}{source}[sources.linux-tree]{rest}")
    build(box, registry, "--store-mode", "write")
    shutil.rmtree(repo)
    assert "xen-build: from the store" in build(other, registry)
    assert digests(other) == digests(box)


class Heard(Silent):
    """A Reporter that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def test_what_was_compiled_goes_to_a_new_machine(
    box: Box, other: Box, registry: RealRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "_WORTH", 0.0)

    def made(each: Box, *, origin: str = "", stages: bool = True) -> list[str]:
        heard = Heard()
        run = each.run()
        run.reporter, run.origin = heard, origin
        run.shared = Shared(parse(store(registry)), heard.line, stages=stages)
        builds.build(run, "minimal")
        return heard.lines

    # A recipe of somebody's own may have the name of another one: nothing of it is carried.
    made(box, origin=str(box.recipe))
    assert "ccache-" not in looked(box, registry)
    box.xen["Makefile"] += "# changed\n"
    box.write()
    made(box)
    assert "ccache-bookworm-tiny" in looked(box, registry)
    assert looked(box, registry, "--check").strip().endswith("all of it is sound")
    other.xen["Makefile"] += "# changed once more\n"
    other.write()
    run = other.run()
    assert not ccache.there(run)
    assert any(line.startswith("ccache: ") for line in made(other))
    assert ccache.there(run)
    # Whoever takes sources and images alone compiles himself.
    for name in (ccache.volume(run), ccache.volume(box.run())):
        run.client.volumes.get(name).remove()
    shutil.rmtree(other.artifacts)
    lines = made(other, stages=False)
    assert not any("from the store" in line for line in lines)
    assert any(line.startswith("xen-build: done in") for line in lines)


def test_a_flipped_byte_is_said_and_built_again(
    box: Box, other: Box, registry: RealRegistry
) -> None:
    build(box, registry)
    for path in registry.blobs():
        data = bytearray(path.read_bytes())
        if b"debian-binary" in data:
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
    said = build(other, registry, "--store-mode", "read")
    assert "is not used" in said
    assert "xen-build: done in" in said
    assert digests(other) == digests(box)


def test_a_store_that_cannot_be_read_is_done_without(box: Box, registry: RealRegistry) -> None:
    registry.kill()
    said = build(box, registry, "--store-mode", "read")
    assert said.count("is not read") == 1
    assert digests(box)


def test_what_could_not_be_sent_is_an_error_and_nothing_is_lost(
    box: Box, other: Box, registry: RealRegistry
) -> None:
    registry.kill()
    status, said = ended(box, registry)
    assert status == 4
    assert "could not be written" in said
    assert digests(box)
    registry.start()
    assert "done in" not in build(box, registry)  # it is only sent
    assert "xen-build: from the store" in build(other, registry)


def test_explain_says_what_the_store_has(box: Box, other: Box, registry: RealRegistry) -> None:
    build(box, registry)
    build(other, registry, "--explain")
    shutil.copytree(box.folder / "xdg", other.folder / "xdg")
    said = build(other, registry, "--explain")
    assert said.count("in the store") == 2  # both builds; what follows them is not known yet


def test_wrong_credentials_are_told_and_no_secret(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = RealRegistry(
        tmp_path / "locked",
        f"auth:\n  htpasswd:\n    realm: x\n    path: {tmp_path}/locked/htpasswd\n",
    )
    (tmp_path / "locked" / "htpasswd").write_text(htpasswd("builder", "right"))
    locked.start()
    try:
        config = tmp_path / "docker"
        config.mkdir()
        monkeypatch.setenv("DOCKER_CONFIG", str(config))

        def log_in(secret: str) -> None:  # as `docker login` leaves it
            word = base64.b64encode(f"builder:{secret}".encode()).decode()
            document = {"auths": {locked.address: {"auth": word}}}
            (config / "config.json").write_text(json.dumps(document))

        log_in("wr0ng-one")
        status, said = ended(box, locked)
        assert status == 4
        assert "docker login" in said
        assert "wr0ng-one" not in said
        log_in("right")
        build(box, locked)
    finally:
        locked.kill()
    assert list((tmp_path / "locked" / "data").iterdir())


def test_list_check_and_prune(box: Box, registry: RealRegistry) -> None:
    build(box, registry)

    def verb(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(ROOT / "inv"), "store", *words, "--store", store(registry)],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode, done.stdout

    status, listed = verb("--format", "json")
    tags = [entry["tag"] for entry in json.loads(listed)["entries"]]
    assert status == 0
    assert len([tag for tag in tags if tag.startswith("stage-")]) == 5  # the image's record too
    assert len([tag for tag in tags if tag.startswith("source-")]) == 2
    assert verb("--check")[0] == 0
    largest = max(registry.blobs(), key=lambda path: path.stat().st_size)
    largest.write_bytes(b"\0" + largest.read_bytes()[1:])
    assert verb("--check")[0] == 1
    assert verb("--prune")[0] == 0
    assert json.loads(verb("--format", "json")[1])["entries"]  # younger than 30 days
    run = box.run()
    run.shared = Shared(parse(store(registry)), print)
    builds.keep_stages(run, "")  # as `release` does
    assert verb("--prune", "--keep-days", "0")[0] == 0
    left = json.loads(verb("--format", "json")[1])["entries"]
    assert [entry["tag"].rpartition("-")[0] for entry in left] == [
        "release-tiny",
        "stage-kernel-minimal-build",
        "stage-kernel-minimal-finish",
        "stage-xen-build",
        "stage-xen-finish",
    ]
    assert all(entry["kept"] for entry in left)


def test_four_writers_of_one_key_leave_one_whole(
    box: Box, other: Box, registry: RealRegistry
) -> None:
    build(box, registry, "--store-mode", "read")  # nothing is put there
    address = parse(store(registry))
    kept = Store(box.artifacts / "tiny" / "stages")
    outputs = [output for stage in kept.stages() for output in kept.all(stage)]

    def write() -> None:
        shared = Shared(address, print)
        for output in outputs:
            shared.offer(kept, output, again=True)
        assert shared.failure() is None

    with ThreadPoolExecutor(4) as pool:
        for writer in [pool.submit(write) for _ in range(4)]:
            writer.result()
    assert not Shared(address, print).damaged()
    assert "xen-build: from the store" in build(other, registry, "--store-mode", "read")


def test_a_writer_and_a_registry_that_die_leave_no_half_stage(
    tmp_path: Path, registry: RealRegistry
) -> None:
    made = Store(tmp_path / "made")
    with made.make("big", {"a": "b"}) as making:
        (making.folder / "file").write_bytes(os.urandom(64 << 20))
    output = made.made("big", {"a": "b"})
    script = (
        "import sys; from pathlib import Path\n"
        "from builders.ground.registry.address import parse\n"
        "from builders.pipeline.shared import Shared\n"
        "from builders.pipeline.stages import Store\n"
        "store = Store(Path(sys.argv[2])); print('now', flush=True)\n"
        "Shared(parse(sys.argv[1]), print).offer(store, store.all('big')[0])\n"
    )
    words = [sys.executable, "-c", script, store(registry), str(tmp_path / "made")]
    for kill_registry in (False, True):
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) as writer:
            assert writer.stdout
            assert writer.stdout.readline() == b"now\n"
            time.sleep(0.1)
            if kill_registry:
                registry.kill()
            writer.kill()
        if kill_registry:
            registry.start()
        shared = Shared(parse(store(registry)), print)
        assert not shared.damaged()
        assert all(entry.size > 64 << 20 for entry in shared.entries())  # whole, or not there
    shared.offer(made, output)
    assert shared.failure() is None
    assert [entry.tag for entry in shared.entries()] == [f"stage-big-{output.key}"]


@pytest.mark.long
def test_another_engine_takes_the_image_from_the_store(
    registry: RealRegistry, second: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load("xen-4.17-bookworm")
    note: list[str] = []

    def supplies(name: str) -> Supplies:
        shared = Shared(parse(store(registry)), note.append)
        run = Run(recipe, Silent(), tmp_path / name, Cache(tmp_path / "cache"), shared=shared)
        return Supplies(run)

    ours = supplies("ours").image()
    monkeypatch.setenv("DOCKER_HOST", second.host)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    client = connection.connect(Silent())
    client.images.remove(ours.name, force=True)
    theirs = supplies("theirs").image()
    assert theirs.fingerprint == ours.fingerprint
    assert not note
