# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs that were killed leave, and that the next one takes it away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from builders import ROOT
from builders.progress import Silent
from builders.sources.cache import Cache
from builders.sources.fetching import fetch_all
from builders.sources.scratch import scratch, sweep
from builders.verbs import custom
from tests.unit import debs

HOLDER = """
import sys, time
from pathlib import Path
from builders.sources.scratch import scratch
with scratch("mine-", Path(sys.argv[1])) as folder:
    (folder / "file").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""


def killed(place: Path) -> Path:
    """The folder of a run that was killed at work."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(place)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    folder = Path(process.stdout.readline().strip())
    with scratch("mine-", place):
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
