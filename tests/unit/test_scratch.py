# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs that were killed leave, and that the next one takes it away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from builders import ROOT
from builders.files import appearing, scratch, sweep
from builders.ground.sources.cache import Cache
from builders.ground.sources.fetching import fetch_all
from builders.pipeline.run import alone_in
from builders.progress import Silent
from builders.verbs import custom
from tests.unit import debs

HOLDER = """
import sys, time
from pathlib import Path
from builders.files import scratch
with scratch(sys.argv[2], Path(sys.argv[1])) as folder:
    (folder / "file").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""


def killed(place: Path, prefix: str = "mine-") -> Path:
    """The folder of a run that was killed at work."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(place), prefix],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    folder = Path(process.stdout.readline().strip())
    with scratch(prefix, place):
        assert folder.exists(), "it is at work"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert (folder / "file").exists()
    return folder


def test_what_a_killed_run_left_goes_with_the_next_one(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    with scratch("mine-", tmp_path) as other:
        assert not folder.exists()
        assert list(tmp_path.iterdir()) == [other]
    assert not list(tmp_path.iterdir())


def test_nothing_else_is_swept(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "mine-link").symlink_to(tmp_path / "kept")
    (tmp_path / "mine-file").write_text("x")
    (tmp_path / "yours-1").mkdir()
    sweep("mine-", tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "kept",
        "mine-file",
        "mine-link",
        "yours-1",
    ]


def test_runs_side_by_side_do_not_sweep_each_other(tmp_path: Path) -> None:
    failures: list[str] = []

    def work() -> None:
        for _ in range(30):
            with scratch("mine-", tmp_path) as folder:
                (folder / "x").write_text("x")
                if not (folder / "x").exists():
                    failures.append(folder.name)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert not list(tmp_path.iterdir())


def test_a_fetch_sweeps_what_a_killed_one_left(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    (tmp_path / "tmp" / "tmpabc").mkdir(parents=True)
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / ("0" * 64)).write_bytes(b"half of it")
    fetch_all([], cache, Silent())
    assert not list((tmp_path / "tmp").iterdir())
    assert len(list((tmp_path / "partial").iterdir())) == 1  # to be gone on with


def test_a_fetch_sweeps_a_download_that_has_arrived(tmp_path: Path) -> None:
    """Killed after the file was taken in, or before its first byte; one under way stays."""
    cache = Cache(tmp_path / "cache")
    (tmp_path / "file").write_bytes(b"all of it")
    arrived = cache.adopt(tmp_path / "file").sha256
    with cache.partial("2" * 64) as held:
        for name in (arrived, "1" * 64):
            path = held.path.with_name(name)
            path.with_suffix(".lock").touch()
            path.with_suffix(".json").write_text("{}")
        cache.sweep()
        assert [p.name for p in held.path.parent.iterdir()] == [f"{'2' * 64}.lock"]


def test_whoever_holds_artifacts_sweeps_them(tmp_path: Path) -> None:
    folder = tmp_path / "recipe"
    for left in ("stages/xen-finish/.making-1/x.deb", ".manifest.json.new", ".x_1_amd64.deb.new"):
        (folder / left).parent.mkdir(parents=True, exist_ok=True)
        (folder / left).write_text("half of it")
    (folder / "stages/xen-finish/0").mkdir()
    with alone_in(folder):
        left_over = sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))
    assert left_over == ["stages", "stages/xen-finish", "stages/xen-finish/0"]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a [1].cfg"
    path.write_text("before")
    killed(tmp_path, f".{path.name}.")
    with suppress(RuntimeError), appearing(path) as fresh:
        fresh.write_text("half")
        assert len(list(tmp_path.iterdir())) == 2  # what was killed is gone
        raise RuntimeError
    assert path.read_text() == "before"
    with appearing(path) as fresh:
        fresh.write_text("after")
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("how", ["tethered", "tethered_group"])
def test_what_is_tethered_ends_with_whoever_started_it(how: str) -> None:
    """Together with a helper of its own, where that is asked for."""
    code = """
import subprocess, sys, time
from builders.ground.engine import box
helper = "sleep 60 & echo up; wait" if sys.argv[1] == "tethered_group" else "echo up; exec sleep 60"
words = getattr(box, sys.argv[1])(["sh", "-c", helper])
subprocess.Popen(words, start_new_session=True)
time.sleep(60)
"""
    tool = [sys.executable, "-c", code, how]
    begun = time.monotonic()
    with subprocess.Popen(tool, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGKILL)
        process.stdout.read()  # ends with the last who could write
    assert time.monotonic() - begun < 30


def test_finish_sweeps_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    for left in ("tmp/dom0-debs-finish-1", "out/.finish-1"):
        (tmp_path / left).mkdir(parents=True)
        (tmp_path / left / "x.deb").write_bytes(b"x")
    rules = tmp_path / "rules.toml"
    rules.write_text('revision = "+1"\n')
    deb = debs.make(tmp_path / "in.deb")
    (done,) = custom.correct([deb], rules, tmp_path / "out", None)
    assert list((tmp_path / "out").iterdir()) == [done.path]
    assert not list((tmp_path / "tmp").iterdir())
    assert os.access(done.path, os.R_OK)
