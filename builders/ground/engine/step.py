# SPDX-License-Identifier: GPL-2.0-or-later
"""A step: phases of one piece of work in one container, with a log, progress and errors."""

from __future__ import annotations

import io
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from builders.errors import BuildError, Exit
from builders.ground.engine.container import PLACE, SHORT, Container, Place
from builders.ground.engine.failures import disk_full
from builders.ground.engine.log import excerpt
from builders.progress import Silent
from builders.text import clock

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from builders.ground.session import Session

__all__ = ["Step", "excerpt"]


class Step:
    """A container of `image` in which phases run one after the other.

    The whole output is kept as artifacts/RECIPE/logs/NAME.log. A phase that fails raises
    BuildError with the log's telling lines; with `shell` set, that is called first, while
    the container and its tree are still there.
    """

    def __init__(
        self,
        run: Session,
        name: str,
        image: str,
        *,
        network: bool = False,
        root: bool = False,
        jailer: Collection[str] = (),
        volumes: Mapping[str, str] | None = None,
        place: Place = PLACE,
    ) -> None:
        self._run = run
        self.name = name
        self.log = run.logs / f"{name}.log"
        self.container: Container = run.container(
            image, name, network=network, root=root, jailer=jailer, volumes=volumes, place=place
        )
        self._stack = ExitStack()
        self._out: BinaryIO
        self.started = time.monotonic()

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self._stack as stack:
            # Unbuffered: people follow it with tail -f.
            self._out = stack.enter_context(self.log.open("wb", buffering=0))
            self._task = self._run.reporter.work(self.name).__enter__()
            stack.callback(lambda: self._task.__exit__(None, None, None))
            stack.enter_context(self.container)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, value, trace)

    def say(self, phase: str, detail: str = "") -> None:
        """Show which phase the step is in."""
        self._task.show(phase, detail)

    def pause(self) -> None:
        """Stop drawing, for a shell that wants the terminal for itself."""
        self._task.__exit__(None, None, None)
        self._task = Silent().work(self.name)

    def phase(
        self,
        name: str,
        script: str,
        *,
        folder: str = "/",
        environment: Mapping[str, str] | None = None,
        hint: str = "",
    ) -> None:
        """Run a shell script as the phase `name`; BuildError (STEP) where it fails."""
        begun = time.monotonic()
        self._task.show(name)
        self._out.write(f"### {name}\n".encode())
        status = self.container.run(
            script,
            log=self._out,
            watch=lambda line: self._task.show(name, line),
            folder=folder,
            environment=environment,
        )
        took = clock(time.monotonic() - begun)
        self._out.write(f"### {name}: status {status}, {took}\n".encode())
        if status:
            self._fail(name, status, hint)

    def _fail(self, phase: str, status: int, hint: str) -> None:
        lines = excerpt(self.log)
        what = f"{self.name}: {phase} failed with status {status}"
        if "No space left on device" in lines:
            raise disk_full(what, self.log, lines)
        memory = self.container.starved()
        if memory:
            what += f": a process wanted more than the {memory} GiB of memory it may use"
            hint = f"--set builder.memory={memory * 2}, or fewer at once: --jobs 1"
        raise BuildError(
            what,
            hint=hint or "--shell opens a shell in the container where a step fails",
            log=self.log,
            excerpt=lines,
            exit=Exit.STEP,
        )

    def attempt(self, name: str, script: str, *, folder: str = "/") -> tuple[int, str]:
        """Run a script that may fail: its exit status and what it printed, also in the log."""
        out = io.BytesIO()
        self._task.show(name)
        status = self.container.run(
            script,
            log=out,
            watch=lambda line: self._task.show(name, line),
            folder=folder,
            limit=SHORT,
        )
        self._out.write(f"### {name}\n".encode() + out.getvalue())
        self._out.write(f"### {name}: status {status}\n".encode())
        return status, out.getvalue().decode("utf-8", "replace")

    def output(self, script: str, *, folder: str = "/") -> str:
        """What a short script prints; BuildError (STEP) where it fails."""
        out = io.BytesIO()
        status = self.container.run(script, log=out, folder=folder, limit=SHORT)
        text = out.getvalue().decode("utf-8", "replace")
        self._out.write(f"$ {script}\n{text}".encode())
        if status:
            self._fail(script, status, "")
        return text

    def fetch(self, folder: str, into: Path) -> list[Path]:
        """Copy the files right inside `folder` of the container to `into`."""
        self._task.show("collect")
        return self.container.fetch(folder, into)
