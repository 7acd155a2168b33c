# SPDX-License-Identifier: GPL-2.0-or-later
"""What one run of the tool knows and holds: the recipe, where things go, the engine."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from builders import ROOT, files
from builders.engine import connection
from builders.engine.container import PLACE, Container, Limits, Place
from builders.engine.labels import labels
from builders.engine.leftovers import sweep
from builders.engine.live import Live
from builders.errors import BuildError
from builders.progress import Reporter
from builders.recipe import Recipe
from builders.sources.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from docker import DockerClient


_MACHINE = Path("/etc/machine-id")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


@dataclass
class Run:
    """One run of one recipe.

    folder: where its artifacts go; jobs: how many compilers at once, for all steps together.
    origin: the file that the recipe was read from, where that is none of the project's own.
    """

    recipe: Recipe
    reporter: Reporter
    folder: Path
    cache: Cache
    jobs: int = 0
    offline: bool = False
    origin: str = ""
    live: Live = field(default_factory=Live)
    _client: DockerClient | None = None
    _swept: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.jobs < 0:
            raise BuildError(
                f"--jobs {self.jobs}: less than none", hint="1 or more; 0 is all cores"
            )
        self.jobs = self.jobs or len(os.sched_getaffinity(0))

    @property
    def owner(self) -> str:
        """What marks the containers of this checkout on an engine that others use too.

        Other machines may have the same name and path, and clones the same machine-id(5); none
        has the same boot, and no container of an earlier boot outlives its end.
        """
        parts = (os.uname().nodename, _line(_MACHINE), _line(_BOOT), str(self.folder))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @property
    def domain(self) -> str:
        """Whose a cache is that steps can write: this user's, checkout's and recipe's alone."""
        parts = (self.cache.identity(), str(self.folder), self.recipe.name, self.origin)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @property
    def logs(self) -> Path:
        """Where each step's full log is kept."""
        return self.folder / "logs"

    @property
    def client(self) -> DockerClient:
        """The engine; found, or brought up, when it is first asked for."""
        with self._lock:
            if self._client is None:
                self._client = connection.connect(self.reporter)
            if not self._swept:
                self._swept = True
                left = sweep(self._client, self.owner, self.recipe.name)
                if left:
                    self.reporter.line(f"removed {left} container(s) that an earlier run left")
            return self._client

    def container(
        self,
        image: str,
        role: str,
        *,
        network: bool = False,
        root: bool = False,
        jailer: Collection[str] = (),
        volumes: Mapping[str, str] | None = None,
        place: Place = PLACE,
    ) -> Container:
        """A container of this run for `role`, within the recipe's limits."""
        builder = self.recipe.builder
        return Container(
            self.client,
            image,
            role,
            labels=labels(self.owner, self.recipe.name, role),
            live=self.live,
            limits=Limits(builder.memory, builder.pids, builder.nofile),
            network=network,
            root=root,
            jailer=jailer,
            volumes=volumes,
            place=place,
        )

    def alone(self) -> AbstractContextManager[None]:
        """Hold the recipe's artifacts: two runs of one recipe never write them at once."""
        return alone_in(self.folder)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the artifacts in `folder`; BuildError where another run does.

    The lock lies beside the folder, so that who holds it may remove the folder.
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
