# SPDX-License-Identifier: GPL-2.0-or-later
"""Sources to fetch, and what is left in the cache."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from builders.errors import BuildError, Exit
from builders.ground.sources.address import Patience
from builders.ground.sources.cache import Cache, Fetched
from builders.ground.sources.fetching import Elsewhere, fetch_all
from builders.pipeline.recipe import Source, UrlSource
from builders.progress import Reporter, Silent, Task

DATA = b"\x1f\x8b" + random.Random(1).randbytes(300_000)  # noqa: S311 - only has to vary
DIGEST = hashlib.sha256(DATA).hexdigest()
QUICK = Patience(connect=2, stall=0.15, attempts=3, pause=0.001, longest=0.05, silence=5)
DEAD = "http://127.0.0.1:9/file.tar.gz"  # discard: nothing listens there


class Heard(Silent):
    """A Reporter that remembers."""

    def __init__(self, on_bytes: Callable[[int], None] = lambda _: None) -> None:
        self.lines: list[str] = []
        self.labels: list[str] = []
        self.phases: list[str] = []
        self.sum = 0
        self.wanted = 0
        self.on_bytes = on_bytes

    def line(self, text: str) -> None:
        self.lines.append(text)

    def transfer(self, label: str) -> Task:
        self.labels.append(label)
        return _HeardTask(self)


class _HeardTask:
    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def total(self, amount: int) -> None:
        self._heard.wanted = amount

    def advance(self, amount: int) -> None:
        self._heard.sum += amount
        self._heard.on_bytes(self._heard.sum)

    def show(self, phase: str, detail: str = "") -> None:
        self._heard.phases.append(f"{phase} {detail}".strip())

    def __enter__(self) -> _HeardTask:
        return self

    def __exit__(self, *_: object) -> None: ...


def source(*urls: str, sha256: str = DIGEST, size: int | None = None, name: str = "") -> UrlSource:
    return UrlSource("xen", urls, sha256, size, name)


def fetch(
    wanted: Source,
    cache: Cache,
    reporter: Reporter | None = None,
    *,
    patience: Patience = QUICK,
    offline: bool = False,
    cancel: threading.Event | None = None,
    elsewhere: Elsewhere | None = None,
) -> Fetched:
    return fetch_all(
        [wanted],
        cache,
        reporter or Silent(),
        offline=offline,
        patience=patience,
        cancel=cancel,
        elsewhere=elsewhere,
    )[wanted.name]


def failure(wanted: Source, cache: Cache, *, patience: Patience = QUICK) -> BuildError:
    with pytest.raises(BuildError) as caught:
        fetch(wanted, cache, patience=patience)
    assert caught.value.exit == Exit.SOURCE
    assert files(cache) == []
    return caught.value


def files(cache: Cache) -> list[str]:
    return sorted(p.name for p in cache.root.glob("sha256/*/*"))


def partials(cache: Cache) -> list[int]:
    return [p.stat().st_size for p in cache.root.glob("partial/*") if not p.suffix]


def git(folder: Path, *arguments: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_NAME": "A" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "a@example.org" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_DATE": "1350000000 +0000" for who in ("AUTHOR", "COMMITTER")},
    }
    result = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


def repository(folder: Path, content: Mapping[str, bytes] | None = None) -> str:
    """A repository of three commits on the branch main; returns the second commit."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / ".gitattributes").write_text("hidden export-ignore\nversion export-subst\n")
    (folder / "hidden").write_text("hidden\n")
    (folder / "version").write_text("$Format:%H %d$\n")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("run")
    commits = []
    for text in ("one\n", "two\n", "three\n"):
        (folder / "file").write_text(text)
        for name, data in (content or {}).items():
            (folder / name).write_bytes(data)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", text)
        commits.append(git(folder, "rev-parse", "HEAD"))
    git(folder, "tag", "-a", "v2", "-m", "v2", commits[1])
    return commits[1]
