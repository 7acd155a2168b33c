# SPDX-License-Identifier: GPL-2.0-or-later
"""What travels between the machines of a farm, and what a worker does with it.

A `Work` goes to a worker: one stage, with the image and the sources that were resolved once for the
whole run. A `Record` comes back. Files go by the store alone.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from builders import ROOT, VERSION
from builders.errors import BuildError, Exit, Interrupted
from builders.files import of_file
from builders.ground.engine.failures import engine_errors
from builders.ground.registry.address import parse
from builders.ground.sources.cache import Cache, CachedFile, Fetched
from builders.ground.sources.pins import UrlSource
from builders.ground.suite import image as images
from builders.ground.suite.image import Image
from builders.pipeline.graph import Outputs, Pipeline, Stage
from builders.pipeline.record import build_stage
from builders.pipeline.run import Run, alone_in
from builders.pipeline.shared import Shared
from builders.pipeline.stages import STAGES, Output, Store
from builders.pipeline.supplies import Supplies, source_stage

if TYPE_CHECKING:
    from builders.pipeline.recipe import Recipe
    from builders.progress import Reporter, Task

_PACKAGES: dict[str, str] = {}  # of images that this worker has looked at, by their ids
TOPIC = "dom0-debs"  # of the events that say how work goes on
_OURS = ("builders/**/*.py", "builders/**/*.sh", "configs/**/*", "patches/**/*")
_POLL = 0.25  # seconds between two looks at whether a task is still asked for
_EVENTS = 1.0  # seconds between two events of one piece of work


@cache
def code() -> str:
    """What has to be the same on all machines: this tool, Python and Dask; a short digest."""
    import distributed

    digest = hashlib.sha256(f"{sys.version_info[:2]} {distributed.__version__}\n".encode())
    for path in sorted({path for glob in _OURS for path in ROOT.glob(glob) if path.is_file()}):
        digest.update(f"{path.relative_to(ROOT)} {of_file(path)}\n".encode())
    return digest.hexdigest()[:12]


def version() -> str:
    """The version of this tool as people tell two of them apart."""
    return f"dom0-debs {VERSION} ({code()})"


@dataclass(frozen=True)
class Work:
    """One stage of a recipe.

    code: of the client. origin: digest of what the recipe says, where it is none of the project's
    own. target: "xen" or "kernel". key: of the stage. sources: as the run has resolved them.
    image: the record of the builder image. build: the output that is finished, None where the stage
    is a build. store: where packages and sources travel.
    """

    code: str
    recipe: Recipe
    origin: str
    flavour: str
    target: str
    stage: str
    key: str
    clean: bool
    image: Output
    sources: Mapping[str, Fetched]
    build: Output | None
    store: str

    @property
    def name(self) -> str:
        """Of the task: who asks for the same stage asks for the same task."""
        return f"{self.stage}-{self.key}"


@dataclass(frozen=True)
class Failed:
    """A BuildError, as it travels: the telling lines of a log come along, its file does not."""

    message: str
    hint: str
    excerpt: str
    exit: int

    def error(self, where: str) -> BuildError:
        """The error, which says the machine."""
        return BuildError(
            f"{self.message} (on {where})",
            hint=self.hint,
            excerpt=self.excerpt,
            exit=Exit(self.exit),
        )


@dataclass(frozen=True)
class Record:
    """How a piece of work ended. stopped: nobody asked for it any more, or the worker leaves."""

    where: str
    failed: Failed | None = None
    stopped: bool = False


def of(pipeline: Pipeline, stage: Stage, key: str, outputs: Outputs) -> Work:
    """The work that makes a stage of a pipeline."""
    run = pipeline.run
    name = stage.name.rpartition("-")[0]
    target, _, flavour = name.partition("-")
    finishes = stage.name != build_stage(name)
    said = hashlib.sha256(repr(run.recipe).encode()).hexdigest()[:16]
    return Work(
        code=code(),
        recipe=run.recipe,
        origin=said if run.origin else "",
        flavour=flavour,
        target=target,
        stage=stage.name,
        key=key,
        clean=pipeline.clean,
        image=outputs["image"],
        sources={
            name: outputs[source_stage(name)].notes["fetched"]
            for name in pipeline.supplies.sources
            if source_stage(name) in outputs
        },
        build=outputs[build_stage(name)] if finishes else None,
        store=str(run.shared.address) if run.shared else "",
    )


class Carried(Supplies):
    """The supplies of a piece of work: the image and the sources that the client has resolved."""

    def __init__(self, run: Run, recipe: Recipe, names: Iterable[str], work: Work) -> None:
        super().__init__(run, recipe, [name for name in names if name in work.sources])
        self._work = work
        self._taken: dict[str, Fetched] | None = None

    def resolved(self) -> dict[str, Fetched]:
        """The sources, brought from the store where the cache lacks a file of them."""
        if self._taken is None:
            self._taken = {name: self._whole(self._work.sources[name]) for name in self.sources}
        return self._taken

    def check(self, names: Iterable[str]) -> None:
        """Have the digests computed again when they are next asked for."""
        for name in names:
            for file in self.resolved()[name].files:
                self._run.cache.lookup(file.sha256, name=file.name, note=self._run.reporter.line)
        self._taken = None

    def _whole(self, fetched: Fetched) -> Fetched:
        return replace(fetched, files=tuple(map(self._file, fetched.files)))

    def _file(self, file: CachedFile) -> CachedFile:
        run = self._run
        if run.cache.has(file.sha256, file.size):
            return replace(file, path=run.cache.path(file.sha256))
        pin = UrlSource(name=file.name, urls=(), sha256=file.sha256, size=file.size)
        there = run.shared.source(pin, file.name, run.cache) if run.shared else None
        if there is None:
            raise BuildError(
                f"the store has no {file.name} ({file.sha256[:12]}), which is built from",
                hint="can this worker read the store? what is wrong with it is in its log",
                exit=Exit.ENGINE,
            )
        return replace(there, name=file.name)

    def _record(self) -> Output | None:
        return self._work.image

    def image(self, *, refresh: bool = False) -> Image:
        """The very image that the client has resolved, by its id: its name may lead elsewhere."""
        if refresh:
            raise ValueError("a carried image is never another one")
        wanted = str(self._work.image.notes["fingerprint"])
        there = self._there(wanted)
        if there is None and self._image_taken(wanted):
            there = self._there(wanted)
        if there is None:
            raise BuildError(
                "the store does not have the builder image",
                hint="can this worker read the store? what is wrong with it is in its log",
                exit=Exit.ENGINE,
            )
        return there

    def _there(self, wanted: str) -> Image | None:
        """The image of that fingerprint, where the engine has it under its usual name."""
        client, usual = self._run.client, images.name(self._recipe)
        if not images.exists(client, usual):
            return None
        with engine_errors("looking for the builder image"):
            identity = str(client.images.get(usual).id)
        # What an id names never changes.
        packages = _PACKAGES.get(identity) or images.packages_of(self._run, identity)
        _PACKAGES[identity] = packages
        found = Image(identity, packages, usual)
        return found if found.fingerprint == wanted else None


@dataclass
class Worker:
    """What the worker of this process has: its name, folder of artifacts, and compilers."""

    name: str
    folder: Path
    jobs: int
    reporter: Reporter
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def alone(self, folder: Path) -> Iterator[None]:
        """Hold a folder: two stages of one target are made one after the other."""
        with self._lock:
            lock = self._locks.setdefault(str(folder), threading.Lock())
        with lock, alone_in(folder):
            yield


HERE: Worker | None = None  # set by `service.serve`, in the process of a worker


def perform(work: Work) -> Record:
    """Make a stage on the worker that this is called on; the store has it then.

    Dask calls it. It raises nothing that is no defect: a BuildError is data, and never tried again.
    """
    from distributed import get_worker

    if HERE is None:
        raise RuntimeError("no worker of a farm")
    its = get_worker()
    key = str(its.get_current_task())
    try:
        if work.code != code():
            raise BuildError(
                f"worker {HERE.name} is of another version: {version()}",
                hint="bring all machines of the farm to one version",
                exit=Exit.ENGINE,
            )
        return _perform(HERE, work, its, key)
    except BuildError as error:
        return Record(
            HERE.name, Failed(error.message, error.hint, error.excerpt[-4000:], int(error.exit))
        )
    except Interrupted:
        return Record(HERE.name, stopped=True)


def _perform(here: Worker, work: Work, its: Any, key: str) -> Record:
    parts = filter(None, (work.recipe.name, work.origin, work.stage.rpartition("-")[0]))
    folder = here.folder / "-".join(parts)
    reporter = Told(here.reporter, its, key, here.name)
    run = Run(work.recipe, reporter, folder, Cache.default(), jobs=here.jobs)
    run.origin = f"{work.recipe.name}-{work.origin}" if work.origin else ""
    run.shared = shared = Shared(parse(work.store), reporter.line, stop=run.live.stopping)
    with here.alone(folder), _asked_for(its, key, run):
        pipeline = Pipeline(
            run,
            work.flavour,
            [work.target],
            clean=work.clean,
            supplies=lambda run, recipe, names: Carried(run, recipe, names, work),
        )
        build = _brought(run, work.build) if work.build else None
        made = pipeline.make_one(work.stage, build)
        # The store has it: a worker keeps the last one alone, for the step that finishes it.
        Store(run.folder / STAGES).forget({work.stage: [made.key]})
        if failure := shared.failure():
            raise failure
        if not shared.reads:
            raise BuildError(
                f"worker {here.name} can't read the store {work.store}",
                hint="what is wrong with it is in the worker's log",
                exit=Exit.ENGINE,
            )
        run.leave_engine()
    return Record(here.name)


def _brought(run: Run, build: Output) -> Output:
    """The output of a build, here."""
    store = Store(run.folder / STAGES)
    there = store.find(build.stage, build.inputs)
    if there is None and run.shared:
        run.shared.bring(store, build.stage, [build.inputs])
        there = store.find(build.stage, build.inputs)
    if there is None:
        raise BuildError(
            f"the store does not have {build.stage} {build.key}",
            hint="run it again; what is wrong with the store is in the worker's log",
            exit=Exit.ENGINE,
        )
    return there


@contextmanager
def _asked_for(its: Any, key: str, run: Run) -> Iterator[None]:
    """Stop the run where its task is not asked for any more, or the worker leaves.

    Dask ends no thread: who works in one has to look.
    """
    from distributed.core import Status

    over = threading.Event()
    leaving = {Status.closing, Status.closed, Status.closing_gracefully, Status.failed}

    def watch() -> None:
        while not over.wait(_POLL):
            task = its.state.tasks.get(key)
            if (
                task is None
                or task.state not in ("executing", "long-running")
                or (its.status in leaving)
            ):
                run.live.stop()
                return

    watcher = threading.Thread(target=watch, daemon=True, name=f"asked for {key}")
    watcher.start()
    try:
        yield
    finally:
        over.set()


class Told:
    """A Reporter that writes to the worker's log, and has the phases of work told to clients."""

    def __init__(self, reporter: Reporter, its: Any, key: str, where: str) -> None:
        self._reporter = reporter
        self._its = its
        self._key = key
        self._where = where

    def line(self, text: str) -> None:
        self._reporter.line(f"{self._key}: {text}")

    def transfer(self, label: str) -> Task:
        self.tell(label)
        return _Phases(self)

    def work(self, label: str) -> Task:
        self.tell(label)
        return _Phases(self)

    def tell(self, phase: str, detail: str = "") -> None:
        """Have clients told; one that is gone, or a scheduler, is told nothing."""
        said = {"key": self._key, "where": self._where, "phase": phase, "detail": detail[:200]}
        self._its.log_event(TOPIC, said)


class _Phases:
    """A Task whose phases are told, none sooner than a second after the last."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._phase = ""
        self._last = 0.0

    def total(self, amount: int) -> None: ...
    def advance(self, amount: int) -> None: ...

    def show(self, phase: str, detail: str = "") -> None:
        now = time.monotonic()
        if phase != self._phase or now - self._last > _EVENTS:
            self._phase, self._last = phase, now
            self._told.tell(phase, detail)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...
