# SPDX-License-Identifier: GPL-2.0-or-later
"""The graph of stages: image and sources -> builds -> finished packages -> artifacts.

A stage that is there is not made again, and where nothing is missing no
engine is asked. Xen and the kernel are built side by side, sharing the job
slots. A failure or a Ctrl-C ends what runs and keeps what is finished.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from builders.errors import BuildError, Exit, Interrupted
from builders.ground.engine.container import BUILDER, ENVIRONMENT, HOSTNAME, PLACE, Place
from builders.ground.engine.step import Step
from builders.ground.engine.transfer import ChangedError
from builders.pipeline import current, durations, finishing, kernel, trees, xen
from builders.pipeline.artifacts import NOTHING, Made, Manifest, Noted, Package, note_build, publish
from builders.pipeline.artifacts import read as read_manifest
from builders.pipeline.plan import Plan
from builders.pipeline.recipe import Recipe
from builders.pipeline.record import BuildRecord, build_stage, finish_stage
from builders.pipeline.run import Run
from builders.pipeline.stages import HIT, MISS, STAGES, UNKNOWN, Making, Output, State, Store
from builders.pipeline.steps import ccache, kept
from builders.pipeline.steps.slots import MAKEFLAGS, OPEN, Slots, Turns
from builders.pipeline.steps.tree import explain_patch, prepare
from builders.pipeline.supplies import Supplies, source_stage
from builders.text import amount, clock

if TYPE_CHECKING:
    from builders.ground.sources.cache import Fetched
    from builders.pipeline.shared import Shared

_WORTH = 60.0  # seconds of compiling, which what was compiled is carried for
Outputs = Mapping[str, Output]  # of supplies and stages, by name


@dataclass(frozen=True)
class Stage:
    """A step on the way from the supplies to finished packages.

    name: of its outputs in the store. needs: the supplies and stages that it reads. inputs: of
    these outputs, what its key is made of: it is made with the first, and where it is kept under
    any of them it is there. make: fills the folder of a new output.
    """

    name: str
    needs: tuple[str, ...]
    inputs: Callable[[Outputs], Sequence[Mapping[str, str]]]
    make: Callable[[Outputs, Making], None]


class Surroundings(Protocol):
    """Another box for the builds, as far as one container can play it."""

    @property
    def place(self) -> Place: ...

    def recipe(self, recipe: Recipe) -> Recipe:
        """`recipe` with the sources that the other box needs."""

    def plan(self, plan: Plan) -> Plan:
        """`plan` as it runs there."""


@dataclass(frozen=True)
class Spell:
    """A stage that was made: from when to when, in seconds since 1970, and on which machine."""

    stage: str
    begun: float
    ended: float
    where: str = ""


class Maker(Protocol):
    """Other machines that make stages."""

    def make(
        self, pipeline: Pipeline, stage: Stage, inputs: Mapping[str, str], outputs: Outputs
    ) -> str:
        """Have a stage of a pipeline made, so that the shared store has it; the machine's name.

        inputs: what its key is made of. Raises BuildError, and Interrupted after a stop.
        """


class Pipeline:
    """The stages of one run: for each target its build, and that finished.

    flavour: of the kernel, or several of them; of no meaning without one. targets: "xen", "kernel"
    or both; those of the recipe if left out. clean: nothing is taken from ccache, nor is a build
    that was. keep: the trees stay, and are built in where they are there.
    variation: the builds run as if on another box. supplies: the image, and the sources that are
    read. turns: with the builds of other pipelines. maker: makes the stages in this box's place.
    """

    def __init__(
        self,
        run: Run,
        flavour: str | Sequence[str] = "",
        targets: Iterable[str] | None = None,
        *,
        shell: Callable[[Step], None] | None = None,
        keep_going: bool = False,
        clean: bool = False,
        keep: bool = False,
        variation: Surroundings | None = None,
        supplies: Callable[[Run, Recipe, Sequence[str]], Supplies] = Supplies,
        turns: Turns | None = None,
        maker: Maker | None = None,
    ) -> None:
        self._run = run
        flavours = [flavour] if isinstance(flavour, str) else list(flavour)
        self.flavour = flavours[0]
        self._recipe: Recipe = variation.recipe(run.recipe) if variation else run.recipe
        self._store = Store(run.folder / STAGES)
        self._shell = shell
        self._keep_going = keep_going
        self._clean = clean
        self._keep = keep
        self._noting = threading.Lock()  # two builds at once write one manifest
        self._place = variation.place if variation else PLACE
        self._slots: Slots | None = None
        self._builder = ""  # the image's name in the engine
        self._turns = turns
        self._maker = maker
        self.made: dict[str, float] = {}  # stage -> seconds, of what this run made
        self.spells: list[Spell] = []  # of the same
        self._plans: dict[str, Plan] = {}
        self._chains: dict[str, tuple[Stage, Stage]] = {}  # by the name that the manifest has
        sources: list[str] = []
        for target in self._recipe.targets if targets is None else targets:
            plans = (
                [xen.describe(self._recipe)]
                if target == "xen"
                else [kernel.describe(self._recipe, each) for each in flavours]
            )
            for plan in plans:
                plan = variation.plan(plan) if variation else plan
                self._plans.setdefault(target, plan)
                self._chains[plan.name] = self._built(plan), self._finished(plan.name, self._recipe)
                sources += [*self._recipe.reads(target), *plan.sources]
        self.supplies = supplies(run, self._recipe, list(dict.fromkeys(sources)))

    @property
    def run(self) -> Run:
        """The run whose stages these are."""
        return self._run

    @property
    def clean(self) -> bool:
        """Whether nothing is taken from ccache."""
        return self._clean

    @property
    def targets(self) -> list[str]:
        """What is built, by the names that the manifest has."""
        return list(self._chains)

    def plan(self, target: str) -> Plan:
        """The plan of "xen" or "kernel"."""
        return self._plans[target]

    def inputs(self, target: str) -> Mapping[str, str]:
        """What the build of a target, by its name in the manifest, is made from."""
        build, _ = self._chains[target]
        return build.inputs(self.supplies.outputs())[0]

    # The stages

    def _built(self, plan: Plan) -> Stage:
        """The build of a plan. A clean one serves any run, one with ccache no clean run."""
        known: list[object] = [ENVIRONMENT, BUILDER, HOSTNAME, plan.makeflags]
        if self._place != PLACE:
            known.append(dataclasses.asdict(self._place))
        environment = hashlib.sha256(json.dumps(known).encode()).hexdigest()

        def inputs(outputs: Outputs) -> list[dict[str, str]]:
            fingerprint = str(outputs["image"].notes["fingerprint"])
            sources = {name: outputs[source_stage(name)].key for name in plan.sources}
            record = BuildRecord(fingerprint, environment, plan.record(), sources)
            clean = dataclasses.replace(record, ccache=False)
            records = [clean] if self._clean else [record, clean]
            if self._keep:  # of a clean tree is better, where it is there
                records = [dataclasses.replace(records[0], kept=True), *records]
            return [each.inputs() for each in records]

        needs = ("image", *map(source_stage, plan.sources))
        return Stage(build_stage(plan.name), needs, inputs, partial(self._compile, plan))

    def _finished(self, name: str, recipe: Recipe) -> Stage:
        """The build of a target, finished as `recipe` says."""
        target, build = name.partition("-")[0], build_stage(name)

        def inputs(outputs: Outputs) -> list[dict[str, str]]:
            its = self._versioned(recipe, name, outputs[build])
            return [finishing.record(its, target, outputs[build]).inputs()]

        def make(outputs: Outputs, making: Making) -> None:
            raw = self._store.verified(outputs[build])
            its = self._versioned(recipe, name, raw)
            finishing.correct(self._run, its, target, raw, making)

        return Stage(finish_stage(name), (build,), inputs, make)

    def _versioned(self, recipe: Recipe, name: str, build: Output) -> Recipe:
        """The recipe that a build is finished by: of a changed tree with a version of its own."""
        target = name.partition("-")[0]
        if build.notes.get("kept"):
            recipe = trees.uncompressed(recipe, target)
        if not trees.changed(recipe, target):
            return recipe
        manifest = read_manifest(self._run.folder) or Manifest()
        return trees.versioned(recipe, name, build.key, manifest)

    def _made(self, recipe: Recipe, name: str, build: Output, finished: Output) -> Made:
        its = self._versioned(recipe, name, build)
        target = name.partition("-")[0]
        commits = build.notes.get("sources", {})
        notes = (*trees.said(its, target), *trees.followed(its, target, commits))
        return Made(its, build, finished, notes, trees.number(its, name))

    # What there is already

    @property
    def _shared(self) -> Shared | None:
        """The store that other machines use too, where this run may ask it."""
        # A tree that is kept is of this engine alone, and so is what came out of it.
        return None if self._run.offline or self._keep else self._run.shared

    def _find(self, stage: Stage, inputs: Sequence[Mapping[str, str]]) -> Output | None:
        """The output of a stage, brought from the shared store where only that has it."""
        there = self._store.find(stage.name, *inputs)
        if there is None and self._shared and self._shared.bring(self._store, stage.name, inputs):
            there = self._store.find(stage.name, *inputs)
            if there:
                self._run.reporter.line(f"{stage.name}: from the store")
        return there

    def _offer(self, output: Output) -> None:
        if self._shared:
            self._shared.offer(self._store, output)

    def _state(
        self, stage: Stage, outputs: dict[str, Output], current: str = "", *, bring: bool = False
    ) -> State:
        """Whether a stage is there; `outputs` has what is, and then this too.

        current: key of the output to compare with where it is not. bring: from the shared store.
        """
        missing = [name for name in stage.needs if name not in outputs]
        if missing:
            return State(stage.name, UNKNOWN, f"{missing[0]} comes first")
        inputs = stage.inputs(outputs)
        output = self._find(stage, inputs) if bring else self._store.find(stage.name, *inputs)
        if output is None and not bring and self._shared and self._shared.has(stage.name, inputs):
            return State(stage.name, HIT, "in the store")
        if output is None:
            return State(stage.name, MISS, self._store.why(stage.name, inputs[0], current))
        outputs[stage.name] = output
        return State(stage.name, HIT, output.key)

    def explain(self) -> list[State]:
        """Every stage with hit or miss, and on a miss which input changed. Makes nothing."""
        outputs = self.supplies.outputs()
        states = self.supplies.states(outputs)
        manifest = read_manifest(self._run.folder) or Manifest()
        for target, chain in self._chains.items():
            old = manifest.targets.get(target, NOTHING)
            for stage, key in zip(chain, (old.build, old.stage), strict=True):
                states.append(self._state(stage, outputs, key))
        return states

    def ready(self) -> bool:
        """Whether every package is finished already, so that no engine is needed."""
        return self._there() is not None

    def _there(self) -> Outputs | None:
        """The outputs of all stages, where none is missing."""
        outputs = self.supplies.outputs()
        states = [
            self._state(stage, outputs, bring=True)
            for chain in self._chains.values()
            for stage in chain
        ]
        return outputs if all(state.state == HIT for state in states) else None

    # Making what is missing

    def build(self) -> list[Package]:
        """Make all that is missing and publish the finished packages; they are returned."""
        outputs = self._there()
        if outputs:
            for chain in self._chains.values():
                for stage in chain:
                    self._offer(outputs[stage.name])
        else:
            finishing.ready(self._run, self._recipe, self._plans)
            outputs = self._make()
            self._carry()
        self._run.clear_engine()
        made = {
            target: self._made(self._recipe, target, outputs[build.name], outputs[finish.name])
            for target, (build, finish) in self._chains.items()
        }
        return publish(self._run.folder, made)

    def finish_again(self) -> list[Package]:
        """Correct the current build of each target that was built, and publish.

        The `--set` of the build hold on, under those of this run.
        """
        manifest = read_manifest(self._run.folder) or Manifest()
        made: dict[str, Made] = {}
        for target, (stage, _) in self._chains.items():
            noted = manifest.builds.get(target, Noted("", ()))
            build = self._store.read(stage.name, noted.key)
            if build:
                recipe = current.recipe_of(self._run, noted.overrides)
                finished = self._output(self._finished(target, recipe), {stage.name: build})
                made[target] = self._made(recipe, target, build, finished)
        if not made:
            raise current.nothing_built(self._run.folder, current.named(self._run))
        return publish(self._run.folder, made)

    def _make(self) -> Outputs:
        self._announce()
        with ThreadPoolExecutor(2, "first") as pool:
            made = pool.submit(self.supplies.image)
            self._all([made, pool.submit(self.supplies.fetch)])
        self._builder = made.result().name
        outputs = self.supplies.outputs()
        if self._maker:
            self.supplies.offer()
            if self._shared and (failure := self._shared.failure()):
                raise failure  # workers would miss what is not there
            return self._together(outputs, len(self._chains))
        if self._shell:  # it wants the terminal for itself: one after the other
            for target in self._chains:
                outputs |= self._chain(target, outputs)
            return outputs
        builds = [build for build, _ in self._chains.values()]
        self._warm(outputs)
        missing = [b for b in builds if not self._find(b, b.inputs(outputs))]
        if self._turns:
            return self._together(outputs, len(self._chains))
        # Each build has a slot of its own: with one in all they take turns.
        together = min(len(missing), self._run.jobs)
        with (
            Slots(self._run, self._builder, together)
            if together > 1
            else nullcontext() as self._slots
        ):
            return self._together(outputs, max(1, together))

    def _together(self, outputs: Outputs, at_once: int) -> Outputs:
        """The outputs of all stages, so many chains side by side."""
        with ThreadPoolExecutor(at_once, "build") as pool:
            futures = [pool.submit(self._chain, target, outputs) for target in self._chains]
            self._all(futures)
        return {name: output for f in futures for name, output in f.result().items()}

    def make_one(self, name: str, build: Output | None = None) -> Output:
        """The output of one stage, made where it is missing; for a machine that makes no other.

        build: the output that is finished, where the stage finishes one.
        """
        chains = self._chains.values()
        stage = next(stage for chain in chains for stage in chain if stage.name == name)
        if build:
            return self._output(stage, {build.stage: build})
        self._builder = self.supplies.image().name
        return self._output(stage, self.supplies.outputs())

    def _carries(self) -> bool:
        """Whether what was compiled goes from machine to machine: of the project's recipes alone.

        Whoever writes a recipe decides what lies in its ccache, and two may have one name.
        """
        return bool(self._shared) and not self._clean and not self._run.origin

    def _warm(self, outputs: Outputs) -> None:
        """Fill a ccache that has nothing from the shared store, where something is to be built."""
        run, shared, name = self._run, self._shared, self._recipe.name
        if not shared or not self._carries() or ccache.there(run):
            return
        builds = [build for build, _ in self._chains.values()]
        if all(self._find(build, build.inputs(outputs)) for build in builds):
            return
        with run.cache.scratch() as folder:
            if shared.compiled(run.recipe.suite.name, name, ccache.carried(run, folder)):
                size = ccache.load(run, self._builder, folder)
                run.reporter.line(f"ccache: {amount(size)} from the store")

    def _carry(self) -> None:
        """Put what was compiled into the shared store, where it took long."""
        run, shared = self._run, self._shared
        spent = sum(s for stage, s in self.made.items() if stage.endswith("-build"))
        if not shared or not self._carries() or spent < _WORTH:
            return
        with run.cache.scratch() as folder:
            shared.offer_compiled(
                run.recipe.suite.name,
                self._recipe.name,
                lambda: ccache.save(run, self._builder, folder),
            )

    def _announce(self) -> None:
        """Say of each build that is missing how long it took the last time."""
        outputs = self.supplies.outputs()
        states = [self._state(build, outputs) for build, _ in self._chains.values()]
        missing = [state.stage for state in states if state.state != HIT]
        durations.announce(self._run, missing)
        memory = durations.read(self._run.folder)
        if missing and not any(stage in memory for stage in missing):
            self._run.reporter.line("README.md, Figures, has what builds took on another box")

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

    def _chain(self, target: str, outputs: Outputs) -> dict[str, Output]:
        """The outputs of a target's stages and what they are made from, made where missing."""
        build, finish = self._chains[target]
        built = self._output(build, outputs)
        with self._noting:
            note_build(self._run.folder, target, Noted(built.key, self._recipe.overrides))
        outputs = {**outputs, build.name: built}
        return {**outputs, finish.name: self._output(finish, outputs)}

    def _output(self, stage: Stage, outputs: Outputs) -> Output:
        """The output of a stage; made where it is missing."""
        inputs = stage.inputs(outputs)
        there = self._find(stage, inputs)
        if there:
            self._run.reporter.line(f"{stage.name}: done before")
            self._offer(there)
            return there
        damage = self._store.damage(stage.name, inputs[0])
        if damage:
            self._run.reporter.line(
                f"{stage.name}: what was made before is damaged: {damage}; it is made again, and "
                "the damaged one set aside"
            )
        if self._maker and self._travels(stage):
            where = self._maker.make(self, stage, inputs[0], outputs)
            output = self._brought(stage, inputs, where)
        else:
            where, output = "", self._made_here(stage, inputs, outputs)
        begun = output.ended - output.seconds
        self.spells.append(Spell(stage.name, begun, output.ended, where))
        self.made[stage.name] = output.seconds
        durations.note(self._run.folder, stage.name, output.seconds)
        self._run.reporter.line(f"{stage.name}: done in {clock(output.seconds)}")
        if left_out := kernel.left_out(output):
            self._run.reporter.line(f"{stage.name}: {left_out}")
        return output

    def _made_here(
        self, stage: Stage, inputs: Sequence[Mapping[str, str]], outputs: Outputs
    ) -> Output:
        compiles = stage.name.endswith("-build")
        turn = self._turns.turn(self._run, self._builder) if self._turns and compiles else None
        try:
            with turn or nullcontext(), self._store.make(stage.name, inputs[0]) as making:
                stage.make(outputs, making)
        except BuildError as error:
            if error.log and self._shared:
                self._shared.offer_log(stage.name, inputs[0], error.log)
            raise
        output = self._store.made(stage.name, inputs[0])
        self._offer(output)
        return output

    def _travels(self, stage: Stage) -> bool:
        """Whether other machines can make a stage: its key is no secret, its version not counted.

        A private key stays on this box, and so does the number of the next build of a changed tree.
        """
        build = stage.name.endswith("-build")
        target = stage.name.partition("-")[0]
        signed = self._recipe.kernel and self._recipe.kernel.certificate and target == "kernel"
        return build or not (signed or trees.changed(self._recipe, target))

    def _brought(self, stage: Stage, inputs: Sequence[Mapping[str, str]], where: str) -> Output:
        """A stage that another machine has put into the store."""
        output = self._find(stage, inputs)
        if output is None:
            raise BuildError(
                f"{stage.name}: {where} has made it, and the store does not have it",
                hint="does that machine use the same store? run it again: what is kept is not "
                "made again",
                exit=Exit.ENGINE,
            )
        return output

    def _compile(self, plan: Plan, outputs: Outputs, making: Making) -> None:
        """Run a plan in a container of the builder image, and fetch what comes out."""
        slots = self._turns.slots if self._turns else self._slots
        fetched = {name: outputs[source_stage(name)].notes["fetched"] for name in plan.sources}
        volumes = {} if self._clean else {ccache.volume(self._run): "/ccache"}
        volumes |= {slots.volume: "/slots"} if slots else {}
        tree = self._kept(plan, outputs, fetched) if self._keep else None
        volumes |= {kept.volume(self._run, plan): plan.work} if tree else {}
        with Step(
            self._run, making.stage, self._builder, volumes=volumes, place=self._place
        ) as step:
            try:
                if tree:
                    early = [p.name for p in plan.phases if p.name not in ("build", "collect")]

                    def anew() -> None:
                        prepare(step, plan, fetched)
                        self._phases(step, plan, early, slots)

                    def again(names: Collection[str]) -> None:
                        self._phases(step, plan, names, slots)

                    tree.build(step, anew, again)
                else:
                    prepare(step, plan, fetched)
                    self._phases(step, plan, [phase.name for phase in plan.phases], slots)
            except ChangedError:  # what is damaged goes, so that the next run fetches it again
                self.supplies.check(plan.sources)
                raise
            except BuildError:
                if self._shell:
                    self._shell(step)
                raise
            finally:
                if slots and not self._turns:
                    slots.give()
            step.fetch(f"{plan.work}/out", making.folder)
        making.notes = {
            "ccache": not self._clean,
            **({"kept": True} if tree else {}),
            "sources": {n: fetched[n].version for n in plan.sources if fetched[n].version},
            "unserved": {n: list(fetched[n].unserved) for n in plan.sources if fetched[n].unserved},
        }

    def _kept(self, plan: Plan, outputs: Outputs, fetched: Mapping[str, Fetched]) -> kept.Kept:
        """The tree of a plan that stays in the engine."""
        build, _ = self._chains[plan.name]
        return kept.kept(self._run, plan, fetched, build.inputs(outputs)[0])

    def _phases(self, step: Step, plan: Plan, names: Collection[str], slots: Slots | None) -> None:
        """Run the phases of these names, in the plan's order."""
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
        for phase in (each for each in plan.phases if each.name in names):
            script = prelude + phase.script if phase.parallel else phase.script
            try:
                step.phase(
                    phase.name,
                    script,
                    folder=phase.folder,
                    environment=environment if phase.parallel else None,
                )
            except BuildError as error:
                if phase.name not in ("patch", "apply"):
                    raise
                names = trees.titles(self._recipe, plan.name.partition("-")[0])
                raise explain_patch(error, plan, names) from None
            if phase.name in plan.after:
                plan.after[phase.name](step.container.read)
