# SPDX-License-Identifier: GPL-2.0-or-later
"""The graph of stages: image and sources -> builds -> finished packages -> artifacts.

A stage that is there is not made again, and where nothing is missing no
engine is asked. Xen and the kernel are built side by side, sharing the job
slots. A failure or a Ctrl-C ends what runs and keeps what is finished.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from builders import ROOT
from builders.epoch import parse as parse_epoch
from builders.errors import BuildError, Exit, Interrupted
from builders.files import of_file
from builders.ground.engine.container import BUILDER, ENVIRONMENT, HOSTNAME, PLACE, Place
from builders.ground.engine.step import Step
from builders.ground.engine.transfer import ChangedError
from builders.ground.suite import mirror
from builders.pipeline import current, kernel, xen
from builders.pipeline.artifacts import NOTHING, Made, Manifest, Noted, Package, note_build, publish
from builders.pipeline.artifacts import read as read_manifest
from builders.pipeline.plan import Plan
from builders.pipeline.recipe import Recipe
from builders.pipeline.run import Run
from builders.pipeline.stages import STAGES, Output, Store
from builders.pipeline.steps import ccache
from builders.pipeline.steps.slots import MAKEFLAGS, OPEN, Slots
from builders.pipeline.steps.tree import explain_patch, prepare
from builders.pipeline.supplies import Supplies
from builders.text import clock

if TYPE_CHECKING:
    from builders.ground.sources.cache import Fetched
    from builders.ground.suite.image import Image

# What a finished package's bytes also depend on.
_CODE = (
    "builders/debkit/codecs/*.py",
    "builders/debkit/deb/*.py",
    "builders/debkit/finish/*.py",
    "builders/debkit/*.py",
)


@dataclass(frozen=True)
class State:
    """One stage as `--explain` shows it: "hit", "miss" or "unknown", and why."""

    stage: str
    state: str
    why: str


class Surroundings(Protocol):
    """Another box for the builds, as far as one container can play it."""

    @property
    def place(self) -> Place: ...

    def recipe(self, recipe: Recipe) -> Recipe:
        """`recipe` with the sources that the other box needs."""

    def plan(self, plan: Plan) -> Plan:
        """`plan` as it runs there."""


class Pipeline:
    """The stages of one run.

    flavour: of the kernel; of no meaning without one. targets: "xen", "kernel" or both; those of
    the recipe if left out. clean: nothing is taken from ccache, nor is a build that was.
    variation: the builds run as if on another box. supplies: the image, and the sources that are
    read.
    """

    def __init__(
        self,
        run: Run,
        flavour: str = "",
        targets: Iterable[str] | None = None,
        *,
        shell: Callable[[Step], None] | None = None,
        keep_going: bool = False,
        clean: bool = False,
        variation: Surroundings | None = None,
    ) -> None:
        self._run = run
        self._recipe: Recipe = variation.recipe(run.recipe) if variation else run.recipe
        self._store = Store(run.folder / STAGES)
        self._shell = shell
        self._keep_going = keep_going
        self._clean = clean
        self._noting = threading.Lock()  # two builds at once write one manifest
        self._place = variation.place if variation else PLACE
        self._plans: dict[str, Plan] = {}
        sources: list[str] = []
        for target in self._recipe.targets if targets is None else targets:
            plan = (
                xen.describe(self._recipe)
                if target == "xen"
                else kernel.describe(self._recipe, flavour)
            )
            self._plans[target] = variation.plan(plan) if variation else plan
            sources += [*self._recipe.reads(target), *self._plans[target].sources]
        self.supplies = Supplies(run, self._recipe, sources)

    # What there is already

    def plan(self, target: str) -> Plan:
        """The plan of "xen" or "kernel"."""
        return self._plans[target]

    def _build_inputs(
        self, plan: Plan, fingerprint: str, fetched: Mapping[str, Fetched]
    ) -> dict[str, str]:
        known: list[object] = [ENVIRONMENT, BUILDER, HOSTNAME, plan.makeflags]
        if self._place != PLACE:
            known.append(asdict(self._place))
        surroundings = json.dumps(known)
        inputs = {
            "image": fingerprint,
            "environment": hashlib.sha256(surroundings.encode()).hexdigest(),
            **plan.inputs(),
        }
        for name in plan.sources:
            digests = sorted(f"{f.name} {f.sha256}" for f in fetched[name].files)
            inputs[f"source {name}"] = hashlib.sha256("\n".join(digests).encode()).hexdigest()
        return inputs

    def _found_build(
        self, plan: Plan, fingerprint: str, fetched: Mapping[str, Fetched]
    ) -> tuple[dict[str, str], Output | None]:
        """The inputs of a build, and that build where it is kept.

        A clean build serves any run, one with ccache no clean run.
        """
        stage, inputs = f"{plan.name}-build", self._build_inputs(plan, fingerprint, fetched)
        clean = inputs | {"ccache": "none"}
        if self._clean:
            return clean, self._store.find(stage, clean)
        return inputs, self._store.find(stage, inputs) or self._store.find(stage, clean)

    def _finish_inputs(self, recipe: Recipe, target: str, built: Output) -> dict[str, str]:
        code = sorted(path for glob in _CODE for path in ROOT.glob(glob))
        names = "\n".join(f"{path.relative_to(ROOT)} {of_file(path)}" for path in code)
        inputs = {
            "this tool's code": hashlib.sha256(names.encode()).hexdigest(),
            "corrections": corrections_digest(recipe, target),
        }
        return inputs | {f"raw {name}": digest for name, digest in built.files.items()}

    def explain(self) -> list[State]:
        """Every stage with hit or miss, and on a miss which input changed. Makes nothing."""
        states: list[State] = []
        image_output = self.supplies.recorded()
        manifest = read_manifest(self._run.folder) or Manifest()
        why = self._store.why("image", self.supplies.image_inputs())
        states.append(_state("image", image_output, why))
        resolved = self.supplies.resolved()
        for name in self.supplies.sources:
            there = resolved.get(name)
            states.append(
                State(f"source {name}", "hit", f"{there.version} in the cache".strip())
                if there
                else State(f"source {name}", "miss", "not in the cache")
            )
        for target, plan in self._plans.items():
            build, finish = f"{plan.name}-build", f"{plan.name}-finish"
            if image_output is None or any(s not in resolved for s in plan.sources):
                first = "the image" if image_output is None else "a source"
                states += [State(s, "unknown", f"{first} comes first") for s in (build, finish)]
                continue
            fingerprint = str(image_output.notes["fingerprint"])
            inputs, built = self._found_build(plan, fingerprint, resolved)
            old = manifest.targets.get(plan.name, NOTHING)
            states.append(_state(build, built, self._store.why(build, inputs, old.build)))
            if built is None:
                states.append(State(finish, "unknown", f"{build} comes first"))
                continue
            inputs = self._finish_inputs(self._recipe, target, built)
            done = self._store.find(finish, inputs)
            states.append(_state(finish, done, self._store.why(finish, inputs, old.stage)))
        return states

    # Making what is missing

    def build(self) -> list[Package]:
        """Make all that is missing and publish the finished packages; they are returned."""
        done = self._finished()
        if done is None:
            done = self._make()
        self._run.clear_engine()
        return publish(self._run.folder, done)

    def finish_again(self) -> list[Package]:
        """Correct the current build of each target that was built, and publish.

        The `--set` of the build hold on, under those of this run.
        """
        manifest = read_manifest(self._run.folder) or Manifest()
        made: dict[str, Made] = {}
        for target, plan in self._plans.items():
            noted = manifest.builds.get(plan.name, Noted("", ()))
            build = self._store.read(f"{plan.name}-build", noted.key)
            if build:
                recipe = current.recipe_of(self._run, noted.overrides)
                made[plan.name] = self._finish(recipe, target, plan, build)
        if not made:
            raise current.nothing_built(current.named(self._run))
        return publish(self._run.folder, made)

    def ready(self) -> bool:
        """Whether every package is finished already, so that no engine is needed."""
        return self._finished() is not None

    def _finished(self) -> dict[str, Made] | None:
        """Every target's build and finished packages where none is missing."""
        image_output = self.supplies.recorded()
        fetched = self.supplies.resolved()
        read = {name for plan in self._plans.values() for name in plan.sources}
        if image_output is None or not read <= fetched.keys():
            return None
        made: dict[str, Made] = {}
        for target, plan in self._plans.items():
            _, built = self._found_build(plan, str(image_output.notes["fingerprint"]), fetched)
            done = built and self._store.find(
                f"{plan.name}-finish", self._finish_inputs(self._recipe, target, built)
            )
            if not built or not done:
                return None
            made[plan.name] = Made(self._recipe, built, done)
        return made

    def _make(self) -> dict[str, Made]:
        with ThreadPoolExecutor(2, "first") as pool:
            work = (self.supplies.image, self.supplies.fetch)
            first: list[Future[Any]] = [pool.submit(each) for each in work]
            self._all(first)
            builder, fetched = first[0].result(), first[1].result()
        missing = [
            target
            for target, plan in self._plans.items()
            if not self._found_build(plan, builder.fingerprint, fetched)[1]
        ]
        if self._shell:  # it wants the terminal for itself: one after the other
            return {
                plan.name: self._target(target, builder, fetched, None)
                for target, plan in self._plans.items()
            }
        # Each build has a slot of its own: with one in all they take turns.
        together = len(missing) > 1 and self._run.jobs > 1
        with (
            Slots(self._run, builder.name, len(missing)) if together else nullcontext() as slots,
            ThreadPoolExecutor(2 if together else 1, "build") as pool,
        ):
            futures = {
                plan.name: pool.submit(
                    self._target, target, builder, fetched, slots if target in missing else None
                )
                for target, plan in self._plans.items()
            }
            self._all(list(futures.values()))
            return {name: future.result() for name, future in futures.items()}

    def _all(self, futures: list[Future[Any]]) -> None:
        """Wait for all; on the first failure or a Ctrl-C end the others, then raise it."""
        pending = set(futures)
        failure: BaseException | None = None
        while pending:
            try:
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt:
                failure = Interrupted()
                self._run.live.stop()
                self._run.reporter.line("stopping; once more to kill")
                continue
            for future in done:
                error = future.exception()
                if error and (failure is None or isinstance(failure, Interrupted)):
                    failure = failure or error
                    if isinstance(failure, Interrupted) and not isinstance(error, Interrupted):
                        failure = error if not self._run.live.stopping.is_set() else failure
                    if not self._keep_going:
                        self._run.live.stop()
        if failure:
            for future in futures:
                future.cancel()
            raise failure

    def _target(
        self, target: str, builder: Image, fetched: Mapping[str, Fetched], slots: Slots | None
    ) -> Made:
        plan = self._plans[target]
        try:
            built = self._build(plan, builder, fetched, slots)
        except ChangedError:  # what is damaged goes, so that the next run fetches it again
            for name in plan.sources:
                source, scope = self._recipe.sources[name], mirror.scope(self._recipe.suite)
                self._run.cache.resolved(
                    source, scope=scope, verify=True, note=self._run.reporter.line
                )
            raise
        with self._noting:
            note_build(self._run.folder, plan.name, Noted(built.key, self._recipe.overrides))
        return self._finish(self._recipe, target, plan, built)

    def _build(
        self, plan: Plan, builder: Image, fetched: Mapping[str, Fetched], slots: Slots | None
    ) -> Output:
        stage = f"{plan.name}-build"
        inputs, there = self._found_build(plan, builder.fingerprint, fetched)
        if there:
            self._run.reporter.line(f"{stage}: done before")
            return there
        self._say_damage(stage, inputs)
        volumes = {} if self._clean else {ccache.volume(self._run): "/ccache"}
        volumes |= {slots.volume: "/slots"} if slots else {}
        with (
            self._store.make(stage, inputs) as making,
            Step(self._run, stage, builder.name, volumes=volumes, place=self._place) as step,
        ):
            try:
                self._phases(step, plan, fetched, slots)
            except BuildError:
                if self._shell:
                    self._shell(step)
                raise
            finally:
                if slots:
                    slots.give()
            step.fetch(f"{plan.work}/out", making.folder)
            making.notes = {
                "ccache": not self._clean,
                "sources": {n: fetched[n].version for n in plan.sources if fetched[n].version},
            }
        output = self._store.made(stage, inputs)
        self._run.reporter.line(f"{stage}: done in {clock(output.seconds)}")
        return output

    def _phases(
        self, step: Step, plan: Plan, fetched: Mapping[str, Fetched], slots: Slots | None
    ) -> None:
        prepare(step, plan, fetched)
        # What can't share slots has its part of them for good.
        environment = {
            "JOBS": str(max(1, self._run.jobs // slots.steps if slots else self._run.jobs))
        }
        if self._clean:
            environment["CCACHE_DISABLE"] = "1"
        prelude = ""
        if plan.makeflags:
            environment["MAKEFLAGS"] = MAKEFLAGS if slots else f"-j{self._run.jobs}"
            prelude = OPEN if slots else ""
        for phase in plan.phases:
            script = prelude + phase.script if phase.parallel else phase.script
            try:
                step.phase(
                    phase.name,
                    script,
                    folder=phase.folder,
                    environment=environment if phase.parallel else None,
                )
            except BuildError as error:
                raise explain_patch(error, plan) if phase.name == "patch" else error from None
            if phase.name in plan.after:
                plan.after[phase.name](step.container.read)

    def _finish(self, recipe: Recipe, target: str, plan: Plan, built: Output) -> Made:
        from builders.debkit.finish import Beside, finish

        stage, inputs = f"{plan.name}-finish", self._finish_inputs(recipe, target, built)
        there = self._store.find(stage, inputs)
        if there:
            return Made(recipe, built, there)
        self._say_damage(stage, inputs)
        built = self._store.verified(built)
        with self._run.reporter.work(stage) as task, self._store.make(stage, inputs) as making:
            packages: dict[str, Any] = {}
            epoch = _epoch(built.folder / "epoch")
            for raw in sorted(built.folder.glob("*.deb")):
                task.show("finish", raw.name)
                stated = _stated(built.folder / f"{raw.name}.depends", 1 << 20)
                elf_depends = [d.strip() for d in stated.split(",") if d.strip()]
                result = finish(
                    raw,
                    recipe.finish[target],
                    elf_depends=elf_depends,
                    destination_dir=making.folder,
                    epoch=epoch,
                    beside=Beside(
                        _there(built.folder / f"{raw.name}.symbols.tar"),
                        _there(built.folder / "copyright"),
                        _there(built.folder / "changelog"),
                        recipe.suite.name,
                    ),
                )
                for each in (result, result.symbols):
                    if each:
                        packages[each.path.name] = {
                            "package": each.package,
                            "version": each.version,
                            "architecture": each.architecture,
                            "notes": list(each.notes),
                        }
            making.notes = {"packages": packages}
        output = self._store.made(stage, inputs)
        self._run.reporter.line(f"{stage}: done in {clock(output.seconds)}")
        return Made(recipe, built, output)

    def _say_damage(self, stage: str, inputs: Mapping[str, str]) -> None:
        damage = self._store.damage(stage, inputs)
        if damage:
            self._run.reporter.line(
                f"{stage}: what was made before is damaged: {damage}; it is made again, and the "
                "damaged one set aside"
            )


def _stated(path: Path, limit: int) -> str:
    """What a step wrote to one of its files; it may be anything. BuildError (STEP) where it is."""
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise ValueError("too long")
        return content.decode("ascii")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not what the step writes there"
        raise BuildError(
            f"{path.name}, as the build left it: {why}",
            hint="something in the build writes below /build/out, or /build/epoch",
            exit=Exit.STEP,
        ) from None


def _epoch(path: Path) -> int:
    """The time that a step says its source has."""
    try:
        return parse_epoch(_stated(path, 64).strip())
    except ValueError as error:
        raise BuildError(
            f"the time of the source is {error}",
            hint="the newest file of the source says when it was made: is its date right?",
            exit=Exit.STEP,
        ) from None


def corrections_digest(recipe: Recipe, target: str) -> str:
    """Of all that the recipe says of how the packages of "xen" or "kernel" are finished."""
    return hashlib.sha256(repr((recipe.finish[target], recipe.suite.name)).encode()).hexdigest()


def _state(stage: str, output: Output | None, why: str) -> State:
    return State(stage, "hit", output.key) if output else State(stage, "miss", why)


def _there(path: Path) -> Path | None:
    return path if path.exists() else None
