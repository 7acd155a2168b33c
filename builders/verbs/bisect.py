# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the commit of a local tree that broke something.

Each step builds the tree of a commit and runs the verb after "--", whose exit status judges: 0 is
good, 125 skips, 1 and 5 are bad. Without a verb the build itself judges (docs/trees.md).
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from builders import ROOT
from builders.errors import BuildError, Exit, Interrupted
from builders.verbs.building import ForHost
from builders.verbs.option import OfRecipe, Reported, option

if TYPE_CHECKING:
    from builders.ground.sources.history import History
    from builders.pipeline.artifacts import Target
    from builders.pipeline.run import Run
    from builders.show.bisected import Step
    from builders.show.outcome import Outcome

SKIP = 125  # as for `git bisect run`
_BAD = (Exit.AUDIT, Exit.STEP)
_WORDS = "VERB ..."


@dataclass(frozen=True, kw_only=True)
class Options(Reported, ForHost, OfRecipe):
    tree: str = option("the repository: of xen or linux", value="TARGET=FOLDER")
    good: str = option("a commit that is good, older than the bad one", value="COMMIT")
    bad: str = option("a commit that is bad", "HEAD", value="COMMIT")
    all_parents: bool = option("also the commits that were merged, not only the merges", False)
    keep_tree: bool = option("build in a tree that is kept from step to step", False)
    jobs: int = option("compilers at once", 0, usual="every core")
    judge: str = option("the verb that judges, in one word; or write it after --", value=_WORDS)


def run(options: Options) -> Outcome:
    from builders.files import scratch
    from builders.ground.sources.history import History
    from builders.pipeline import artifacts
    from builders.pipeline.trees import TARGETS
    from builders.show.bisected import outcome
    from builders.verbs import builds

    word, equals, path = options.tree.partition("=")
    if word not in TARGETS or not equals or not path:
        raise BuildError(
            f"--tree {options.tree}: not of the form xen=FOLDER or linux=FOLDER",
            hint="name the repository: --tree xen=../xen",
        )
    if not options.good:
        raise BuildError("--good is missing", hint="name a commit that is good")
    target = TARGETS[word]
    words = judge(options.judge)
    it = builds.begun(options, jobs=options.jobs, own=builds.Own(lsmod=options.lsmod))
    if target not in it.recipe.targets:
        raise it.recipe.lacks(target)
    manifest = artifacts.read(it.folder)
    before = dict(manifest.targets) if manifest else {}
    with scratch("dom0-debs-bisect-") as place:
        history = History(Path(path).expanduser(), place, stop=it.live.stopping)
        good, bad = history.commit(options.good), history.commit(options.bad)
        search = _Search(it, options, history, target, words)
        try:
            found = search.run(good, bad)
        finally:
            search.put_back(before)
        return outcome(
            history.folder,
            [(commit, history.subject(commit)) for commit in found],
            search.steps,
        )


def judge(text: str) -> list[str]:
    """The words of the verb that judges; BuildError where it is none."""
    from builders.verbs.catalogue import VERBS, plain

    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BuildError(f"--judge {text}: {error}", hint="close the quotation") from None
    if not words:
        return []
    words[0] = plain(words[0])
    if words[0] not in VERBS or words[0] == "bisect":
        raise BuildError(
            f"{words[0]} is no verb that can judge",
            hint="such as: -- boot-test --check assignable",
        )
    return words


class _Search:
    """A search that is under way; steps: those that were tried."""

    def __init__(
        self, it: Run, options: Options, history: History, target: str, words: Sequence[str]
    ) -> None:
        self._it = it
        self._options = options
        self._history = history
        self._target = target
        self._words = words
        self.steps: list[Step] = []

    def run(self, good: str, bad: str) -> tuple[str, ...]:
        """The first bad commit; those that may be it, where some could not be tried."""
        from builders.show.bisected import Step

        following = self._history.start(good, bad, every=self._options.all_parents)
        while following.commit:
            begun = time.monotonic()
            subject = self._history.subject(following.commit)
            self._say(f"{following.commit[:12]} {subject} (about {following.left + 1} to go)")
            verdict = self._verdict(following.commit)
            seconds = time.monotonic() - begun
            self.steps.append(Step(following.commit, subject, verdict, round(seconds, 1)))
            self._say(f"{following.commit[:12]} is {verdict}, {seconds:.0f} s")
            following = self._history.judge(verdict)
        return following.found

    def _say(self, text: str) -> None:
        self._it.reporter.line(f"bisect: {text}")

    def _verdict(self, commit: str) -> str:
        """ "good", "bad" or "skip"; BuildError where neither is the commit's doing."""
        from builders.pipeline import recipe, trees
        from builders.pipeline.current import named
        from builders.verbs import builds

        it = self._it
        name = it.recipe.reads(self._target)[0]
        snapshot = self._history.snapshot(commit, name, it.cache)
        given = [*it.recipe.overrides, *trees.of_tree(snapshot.source)]
        step = replace(it, recipe=recipe.load(named(it), given))
        try:
            builds.build(step, self._options.flavour, [self._target], keep=self._options.keep_tree)
        except BuildError as error:
            if error.exit is not Exit.STEP:
                raise
            self._say(f"{commit[:12]} does not build: {error.message.splitlines()[0]}")
            return "skip" if self._words else "bad"
        return self._judged() if self._words else "good"

    def _judged(self) -> str:
        """The verdict of the verb on what was built."""
        from builders.pipeline.current import named
        from builders.verbs.catalogue import VERBS

        known = VERBS[self._words[0]].options
        words = [str(ROOT / "inv"), *self._words]
        words += ["--recipe", named(self._it)] if "recipe" in known else []
        if "set" in known:
            words += [word for text in self._options.set for word in ("--set", text)]
        if "flavour" in known and self._options.flavour:
            words += ["--flavour", self._options.flavour]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=2, check=False)
        if self._it.live.stopping.is_set() or done.returncode in (130, -2):
            raise Interrupted
        if done.returncode == Exit.DONE:
            return "good"
        if done.returncode == SKIP:
            return "skip"
        if done.returncode in _BAD:
            return "bad"
        raise BuildError(
            f"{' '.join(self._words)} ended with {done.returncode}, which says nothing of the "
            "commit",
            hint="see what it says above; what was built is kept, and the same command goes on",
            exit=Exit.ENGINE,
        )

    def put_back(self, before: dict[str, Target]) -> None:
        """Make current again what was, as far as it is still there."""
        from builders.pipeline import artifacts, trees
        from builders.pipeline.current import named
        from builders.pipeline.recipe import load
        from builders.pipeline.record import build_stage, finish_stage
        from builders.pipeline.stages import STAGES, Store

        store = Store(self._it.folder / STAGES)
        made = {}
        for name, target in before.items():
            kind = name.partition("-")[0]
            build = store.read(build_stage(name), target.build)
            finished = store.read(finish_stage(name), target.stage)
            if kind != self._target or not self.steps:
                continue
            if not build or not finished:
                self._say(f"the {name} that was current before is not kept any more")
                continue
            recipe = load(named(self._it), target.overrides)
            made[name] = artifacts.Made(recipe, build, finished, trees.said(recipe, kind))
        if made:
            with self._it.alone():
                artifacts.publish(self._it.folder, made)
            self._say(f"current again, as before: {', '.join(made)}")
