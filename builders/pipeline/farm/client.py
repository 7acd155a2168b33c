# SPDX-License-Identifier: GPL-2.0-or-later
"""Ask a farm for stages: the `graph.Maker` that has other machines make them."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, Self

from builders.errors import BuildError, Exit, Interrupted
from builders.pipeline import durations
from builders.pipeline.farm import address, keys, pieces, settings
from builders.pipeline.farm.address import Address
from builders.pipeline.farm.pieces import Record
from builders.pipeline.record import build_stage
from builders.pipeline.stages import key as key_of
from builders.text import printable

if TYPE_CHECKING:
    from builders.pipeline.graph import Outputs, Pipeline, Stage
    from builders.pipeline.run import Run
    from builders.progress import Task

_CONNECT = 10  # seconds
_GONE = 60.0  # seconds without a worker that could do it, after which nothing is waited for
_LOOK = 2.0  # seconds between two looks at the farm
_AGAIN = 5  # times that work is asked for which others had stopped
_FINISH_FIRST = 1 << 30  # priority: what only needs its last step comes before what begins
_KERNEL, _XEN = 600.0, 300.0  # seconds that a build is taken to need where nobody knows better


class Piece(Protocol):
    """Work as a farm has to know it; who asks for the same name asks for the same task."""

    @property
    def name(self) -> str: ...
    @property
    def stage(self) -> str: ...


class Farm:
    """A farm of `runs`; a context manager. Any thread may ask it for a stage.

    Raises BuildError (ENGINE) where it can't be reached, or has no worker for these runs.
    """

    def __init__(self, name: str, runs: Sequence[Run]) -> None:
        address.known_engine()
        self._address: Address = address.parse(name)
        self._runs = list(runs)
        self._lock = threading.Lock()
        self._waiting: set[_Wait] = set()
        self._closed = threading.Event()
        self._failure: BuildError | None = None
        self._client: Any = None
        self._room = threading.Condition()  # for what follows, and told of each change of it
        self._queue: list[tuple[int, int]] = []  # builds that wait, the first one at the front
        self._count = itertools.count()
        self._begun = 0  # builds that workers have been given
        self._slots = 0  # builds that they take at once

    def __enter__(self) -> Self:
        import distributed

        settings.quiet()
        security = keys.security(self._address.protocol, keys.folder())
        with settings.applied():
            try:
                self._client = distributed.Client(
                    str(self._address),
                    security=security,
                    timeout=_CONNECT,
                    set_as_default=False,
                    name="dom0-debs",
                )
            except (OSError, TimeoutError, ValueError) as error:
                raise self._unreachable(str(error)) from None
        try:
            self._look(self._workers())
        except BaseException:
            self._client.close(timeout=2)
            raise
        self._client.subscribe_topic(pieces.TOPIC, self._heard)
        threading.Thread(target=self._watch, daemon=True, name="farm").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        with suppress(Exception):  # it is left, whatever it answers
            self._client.close(timeout=2)

    # -- for the pipeline ----------------------------------------------------

    def make(
        self, pipeline: Pipeline, stage: Stage, inputs: Mapping[str, str], outputs: Outputs
    ) -> str:
        """Have a stage made; the name of the worker that did. See `graph.Maker`."""
        piece = pieces.of(pipeline, stage, key_of(inputs), outputs)
        name = stage.name.rpartition("-")[0]
        compiles = stage.name == build_stage(name)
        needs = {settings.code(piece.code): 1.0, settings.ARCHITECTURE: 1.0}
        if compiles:
            needs |= {"slots": 1.0, "memory": float(pipeline.run.recipe.builder.memory)}
        # The longest first, so that none is left over at the end; a kernel takes longer than Xen.
        usual = _KERNEL if name.startswith("kernel") else _XEN
        expected = durations.read(pipeline.run.folder).get(stage.name, usual)
        priority = int(expected) if compiles else _FINISH_FIRST
        for _ in range(_AGAIN):
            record = self.ask(pipeline.run, pieces.perform, piece, needs, priority)
            if not isinstance(record, Record):
                raise self._lost("a worker says something else than a record")
            if record.failed:
                raise record.failed.error(record.where)
            if not record.stopped:
                return record.where
        raise BuildError(
            f"{stage.name}: it was stopped {_AGAIN} times by others who had asked for it too",
            hint="run it again: what is kept is not made again",
            exit=Exit.ENGINE,
        )

    def ask(
        self,
        run: Run,
        function: Callable[[Any], Any],
        piece: Piece,
        needs: Mapping[str, float],
        priority: int = 0,
    ) -> Any:
        """What `function` of a piece of work is on a worker that has all it needs."""
        if "slots" not in needs:
            return self._asked(run, function, piece, needs, priority)
        self._enter(run, priority)
        try:
            return self._asked(run, function, piece, needs, priority)
        finally:
            self._leave()

    def _asked(
        self,
        run: Run,
        function: Callable[[Any], Any],
        piece: Piece,
        needs: Mapping[str, float],
        priority: int,
    ) -> Any:
        """The same, without waiting for room."""
        with run.reporter.work(piece.stage) as task:
            task.show("waiting", "for a worker")
            wait = _Wait(piece.name, task)
            with self._lock:
                if self._failure:
                    raise self._failure
                self._waiting.add(wait)
            run.live.add(wait)
            future = None
            try:
                future = self._client.submit(
                    function,
                    piece,
                    key=piece.name,
                    resources=dict(needs),
                    priority=priority,
                    retries=0,
                )
                future.add_done_callback(lambda _: wait.over.set())
                wait.over.wait()
                if run.live.stopping.is_set():
                    raise Interrupted
                if self._failure:
                    raise self._failure
                return self._result(future, piece)
            except RuntimeError as error:  # the client was closed meanwhile
                raise self._failure or self._lost(str(error)) from None
            finally:
                run.live.discard(wait)
                with self._lock:
                    self._waiting.discard(wait)
                if future is not None:
                    with suppress(Exception):
                        future.release()  # Dask has it stopped where nobody else asks for it

    def _enter(self, run: Run, priority: int) -> None:
        """Wait until a worker may be free for a build; of those that wait the first goes first.

        Dask gives each task to a worker at once, where it may wait while another idles.
        """
        with self._room:
            mine = (-priority, next(self._count))
            heapq.heappush(self._queue, mine)
            try:
                while self._queue[0] != mine or self._begun >= self._slots:
                    self._room.wait(0.5)
                    if self._failure:
                        raise self._failure
                    if run.live.stopping.is_set():
                        raise Interrupted
            finally:
                self._queue.remove(mine)
                heapq.heapify(self._queue)
            self._begun += 1
            self._room.notify_all()

    def _leave(self) -> None:
        with self._room:
            self._begun -= 1
            self._room.notify_all()

    def _result(self, future: Any, piece: Piece) -> Any:
        from distributed import CancelledError, TimeoutError
        from distributed.scheduler import KilledWorker

        try:
            return future.result(timeout=30)
        except KilledWorker as error:
            last = getattr(error.last_worker, "name", "a worker")
            raise BuildError(
                f"{piece.stage}: {settings.TRIES} workers died while they made it, "
                f"{printable(str(last))} the last",
                hint="most likely the machine ran out of memory (dmesg says so), or it was turned "
                "off; the worker's log is beside it: ./inv farm status",
                exit=Exit.ENGINE,
            ) from None
        except CancelledError:
            raise self._failure or self._lost("it is gone") from None
        except (OSError, TimeoutError) as error:
            raise self._lost(str(error)) from None

    # -- what happens on the farm --------------------------------------------

    def _heard(self, event: Any) -> None:
        """Show how far a worker is; what it says is shown, and nothing more."""
        with suppress(Exception):
            _, said = event
            with self._lock:
                waiting = [wait for wait in self._waiting if wait.name == said["key"]]
            for wait in waiting:
                where, phase = printable(str(said["where"])), printable(str(said["phase"]))
                wait.task.show(f"{where[:40]}: {phase[:40]}", printable(str(said["detail"])))

    def _workers(self) -> dict[str, Any]:
        """The workers that the scheduler has, each with its name and resources."""
        found: dict[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        return found

    def _look(self, workers: Mapping[str, Any]) -> None:
        """BuildError where no worker could do what the runs may need; others are named."""
        mine = settings.code(pieces.code())
        alike = [each for each in workers.values() if mine in each["resources"]]
        for each in workers.values():
            if mine not in each["resources"]:
                self._runs[0].reporter.line(
                    f"worker {printable(str(each['name']))} is of another version than "
                    f"{pieces.version()}: it is not used"
                )
        if not alike:
            raise BuildError(
                f"the farm {self._address} has {len(workers)} worker(s), and none of this version"
                if workers
                else f"the farm {self._address} has no worker",
                hint="start one from this version of the project: ./inv farm worker "
                f"{self._address}",
                exit=Exit.ENGINE,
            )
        self._slots = _slots(alike)
        most = max(each["resources"].get("memory", 0.0) for each in alike)
        for run in self._runs:
            if run.recipe.builder.memory > most:
                raise BuildError(
                    f"a build of {run.recipe.name} may use {run.recipe.builder.memory} GiB of "
                    f"memory, and the largest worker has {most:g}",
                    hint=f"--set builder.memory={max(1, int(most))}, or a worker with more",
                    exit=Exit.ENGINE,
                )

    def _watch(self) -> None:
        """Have all that waits hear of a scheduler that is gone, and of workers that are."""
        last = time.monotonic()  # at which there was a worker that could do it
        while not self._closed.wait(_LOOK):
            try:
                if self._client.status != "running":
                    raise OSError("the connection is gone")
                mine = settings.code(pieces.code())
                alike = [w for w in self._workers().values() if mine in w["resources"]]
                with self._room:
                    self._slots = _slots(alike)
                    self._room.notify_all()
                if alike:
                    last = time.monotonic()
                elif time.monotonic() - last > _GONE:
                    self._end(
                        BuildError(
                            f"the farm {self._address} has had no worker for {_GONE:.0f} s",
                            hint=f"./inv farm worker {self._address} starts one; what is kept is "
                            "not made again",
                            exit=Exit.ENGINE,
                        )
                    )
                    return
            except Exception as error:  # whatever it is, nobody else would hear of it
                if not self._closed.is_set():
                    self._end(self._lost(str(error) or type(error).__name__))
                return

    def _end(self, failure: BuildError) -> None:
        with self._lock:
            self._failure = self._failure or failure
            waiting = list(self._waiting)
        for wait in waiting:
            wait.over.set()

    def _lost(self, why: str) -> BuildError:
        return BuildError(
            f"the scheduler of the farm {self._address} is gone: {printable(why)[:200]}",
            hint="start it again (./inv farm up, or ./inv farm scheduler on its machine), then run "
            "this again: what is kept is not made again",
            exit=Exit.ENGINE,
        )

    def _unreachable(self, why: str) -> BuildError:
        return BuildError(
            f"the farm {self._address} can't be reached: {printable(why)[:300]}",
            hint="is its scheduler up (./inv farm status there), and are these its keys "
            f"({keys.folder()})? ./inv farm up starts one here",
            exit=Exit.ENGINE,
        )


def _slots(workers: Sequence[Any]) -> int:
    return int(sum(worker["resources"].get("slots", 0) for worker in workers))


class _Wait:
    """One thread that waits for a piece of work; a stop of its run wakes it."""

    def __init__(self, name: str, task: Task) -> None:
        self.name = name
        self.task = task
        self.over = threading.Event()

    def kill(self) -> None:
        """Wake it."""
        self.over.set()
