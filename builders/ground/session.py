# SPDX-License-Identifier: GPL-2.0-or-later
"""What one run of the tool holds of the ground: where things go, the cache, the engine."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from builders.errors import BuildError
from builders.ground.engine import connection
from builders.ground.engine.container import PLACE, Container, Limits, Place
from builders.ground.engine.labels import labels
from builders.ground.engine.leftovers import sweep
from builders.ground.engine.live import Live
from builders.ground.sources.cache import Cache
from builders.ground.suite.model import Builder, Suite
from builders.progress import Reporter

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from docker import DockerClient

    from builders.ground.suite.pinned import Pinned


_MACHINE = Path("/etc/machine-id")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


class Basis(Protocol):
    """What a recipe says of the ground: its name, the suite and the builder image."""

    @property
    def name(self) -> str: ...
    @property
    def suite(self) -> Suite: ...
    @property
    def builder(self) -> Builder: ...


@dataclass
class Session:
    """A run as far as it concerns the ground.

    folder: where its artifacts go. pinned: what a locked run takes of the suite, and nothing else.
    """

    recipe: Basis
    reporter: Reporter
    folder: Path
    cache: Cache
    offline: bool = False
    pinned: Pinned | None = None
    live: Live = field(default_factory=Live)
    _client: DockerClient | None = None
    _swept: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def owner(self) -> str:
        """What marks the containers of this checkout on an engine that others use too.

        Other machines may have the same name and path, and clones the same machine-id(5); none
        has the same boot, and no container of an earlier boot outlives its end.
        """
        parts = (os.uname().nodename, _line(_MACHINE), _line(_BOOT), str(self.folder))
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
                with suppress(OSError):
                    self._asked.touch()
                left = sweep(self._client, self.owner, self.recipe.name)
                if left:
                    self.reporter.line(f"removed {left} container(s) that an earlier run left")
            return self._client

    @property
    def _asked(self) -> Path:
        """A file that is there from the first use of the engine to the end of a run's work."""
        return self.folder / ".engine"

    def clear_engine(self) -> None:
        """Remove what a killed run left in the engine; asks no engine where none was killed.

        For a run that needs no engine itself: one that does not answer is asked another time.
        """
        if self._asked.exists():
            with suppress(BuildError):
                _ = self.client

    def leave_engine(self) -> None:
        """Note that nothing of this run is in the engine any more."""
        if self._swept:
            self._asked.unlink(missing_ok=True)

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
