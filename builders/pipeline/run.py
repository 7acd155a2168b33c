# SPDX-License-Identifier: GPL-2.0-or-later
"""What one run of the tool knows and holds: the recipe, where things go, the engine."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from builders import ROOT, files
from builders.errors import BuildError
from builders.ground.defaults import MOST_JOBS
from builders.ground.session import Session
from builders.pipeline.lockfile import Lock
from builders.pipeline.recipe import Recipe
from builders.pipeline.shared import Shared
from builders.pipeline.stages import STAGES, Store


@dataclass
class Run(Session):
    """One run of one recipe.

    jobs: how many compilers at once, for all steps together.
    origin: the file that the recipe was read from, where that is none of the project's own.
    lock: what is taken, and nothing else (`pinned` is its part that the ground needs).
    shared: the store that other machines use too, where one is named.
    module_key: the file with the key that signs a kernel's modules, where one is named.
    """

    recipe: Recipe
    jobs: int = 0
    origin: str = ""
    lock: Lock | None = None
    shared: Shared | None = None
    module_key: str = ""

    def __post_init__(self) -> None:
        if self.lock and not self.pinned:
            self.pinned = self.lock.pinned()
        if not 0 <= self.jobs <= MOST_JOBS:
            raise BuildError(
                f"--jobs {self.jobs}: not from 1 to {MOST_JOBS}", hint="0 is every core"
            )
        self.jobs = self.jobs or len(os.sched_getaffinity(0))

    @property
    def domain(self) -> str:
        """Whose a cache is that steps can write: this user's, checkout's and recipe's alone."""
        parts = (self.cache.identity(), str(self.folder), self.recipe.name, self.origin)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the recipe's artifacts: two runs of one recipe never write them at once."""
        with alone_in(self.folder):
            yield
            self.leave_engine()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the artifacts in `folder`; BuildError where another run does.

    The lock lies beside the folder, so that who holds it may remove the folder. What a run that was
    killed left half-made there goes first.
    """
    lock = _lock(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = files.hold(lock, make=True)
    except OSError as error:
        raise BuildError(
            f"{error.filename or folder}: {error.strerror}",
            hint="make it yours, or name another folder in DOM0_DEBS_ARTIFACTS",
        ) from None
    if held is None:
        raise BuildError(
            f"another run is at work in {folder}",
            hint="wait for it, or stop it, then run this again",
        )
    try:
        Store(folder / STAGES).sweep()
        beside = folder.parent.glob(f"..{glob.escape(folder.name)}.*.new")
        for left in (*folder.glob(".*.new"), *beside):  # as `files.write` and `files.link` do
            with suppress(OSError):
                left.unlink()
        yield
    finally:
        os.close(held)


def _lock(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def is_ours(folder: Path) -> bool:
    """Whether a folder of artifacts is one that a run made: no other is ever removed."""
    return _lock(folder).exists() or (folder / ".lock").exists()  # as up to version 0.1


def artifacts() -> Path:
    """The folder of all artifacts: $DOM0_DEBS_ARTIFACTS, or artifacts/ of the project."""
    return Path(os.environ.get("DOM0_DEBS_ARTIFACTS") or ROOT / "artifacts").absolute()
