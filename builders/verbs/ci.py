# SPDX-License-Identifier: GPL-2.0-or-later
"""Run what a CI job runs.

That is the tests, or everything from the sources to a verified release: a line for each stage, and
a summary where GITHUB_STEP_SUMMARY says, if it is set. Nobody is asked anything (docs/ci.md).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from builders.errors import BuildError, Exit, Interrupted
from builders.text import amount, clock, printable
from builders.verbs.building import OfStore
from builders.verbs.option import OfRecipe, Reported, option

if TYPE_CHECKING:
    from builders.pipeline.run import Run
    from builders.progress import Reporter
    from builders.show.jobs import JobDocument, JobStageEntry
    from builders.show.outcome import Outcome

PARTS = ("tests", "release")
KEY = "DOM0_DEBS_SIGN_KEY"  # a name, a file, or the secret key itself, in armor or base64
SUMMARY = "GITHUB_STEP_SUMMARY"
_ACTIONS = "GITHUB_ACTIONS"


@dataclass(frozen=True, kw_only=True)
class Options(Reported, OfStore, OfRecipe):
    part: str = option(
        "tests, or release: everything from the sources to a verified release",
        "tests",
        choices=PARTS,
    )
    flavour: str = option("of the kernel", "minimal")


def run(options: Options) -> Outcome:
    from builders.show import face
    from builders.show.outcome import Outcome
    from builders.show.terminal import Terminal

    summary = Summary()
    try:
        code = job(options, Terminal(), summary)
    except BaseException:  # of a stage that failed too
        face.show(Outcome(summary.document()).said(options.format))
        raise
    return Outcome(summary.document(), code=code)


def _tagged() -> bool:
    """Whether this job of GitHub's or GitLab's builds a tag."""
    return os.environ.get("GITHUB_REF_TYPE") == "tag" or bool(os.environ.get("CI_COMMIT_TAG"))


@dataclass
class Summary:
    """The stages of one job; written as Markdown after each, so that a failure shows too."""

    title: str = ""
    stages: list[JobStageEntry] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    _before: str | None = None  # what an earlier command of the same job said there

    def text(self) -> str:
        """The page's Markdown."""
        lines = [f"## {self.title}", "", "| stage | | time | |", "| --- | --- | --- | --- |"]
        rows: list[tuple[str, ...]] = [
            (s.stage, s.state, clock(s.seconds), s.said) for s in self.stages
        ]
        rows.append(("all", "", clock(sum(s.seconds for s in self.stages)), ""))
        lines += ["| " + " | ".join(_cell(c) for c in row) + " |" for row in rows]
        return "\n".join([*lines, "", *self.parts]) + "\n"

    def document(self) -> JobDocument:
        """The same for programs; people have read it, line by line."""
        from builders.show import jobs

        return jobs.JobDocument(self.title, tuple(self.stages))

    def write(self) -> None:
        """Put it where the job's page is made from; nothing where there is no such place."""
        place = os.environ.get(SUMMARY)
        if not place:
            return
        with suppress(OSError):  # a page that can't be written fails no build
            if self._before is None:
                there = Path(place)
                self._before = there.read_text(encoding="utf-8") if there.exists() else ""
            Path(place).write_text(self._before + self.text(), encoding="utf-8")


def _cell(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


@dataclass(frozen=True)
class _Done:
    """How a stage ended: its exit status, a line on it, and all that there is to say."""

    code: int
    said: str
    text: str = ""


def job(options: Options, reporter: Reporter, summary: Summary) -> int:
    """Run a part; its exit status. BuildError where a stage can't be done.

    summary: is told of each stage.
    """
    from builders.verbs import builds, test

    if options.part == "release":
        it = builds.with_store(builds.begin(options.recipe, options.set, reporter), options)
        if it.shared and _tagged():
            reporter.line(
                "a tag is built: sources and the image are taken from the store, no stage"
            )
            it.shared.stages = False
        return _release(it, options.flavour, reporter, summary)

    def tests() -> _Done:
        parts = test.test(test.Options(build=True), reporter).parts
        return _Done(Exit.DONE, ", ".join(f"{p.part} {clock(p.seconds)}" for p in parts))

    summary.title = "Tests"
    return _stage(summary, reporter, "tests", tests)


def _release(it: Run, flavour: str, reporter: Reporter, summary: Summary) -> int:
    """Build, audit, judge, install, boot, release and verify, until something fails.

    First the addresses that the recipe itself names are asked, where it names any.
    """
    from builders.debkit.deb.suites import tools
    from builders.pipeline import online
    from builders.pipeline.current import named
    from builders.pipeline.recipe import TARGETS
    from builders.pipeline.steps import ccache
    from builders.proofs.trial.clean import APT
    from builders.show import trials, upkeep
    from builders.verbs import boot_test, builds, check, inspect, install_test, release, verify

    name, folder = named(it), it.folder / "release"
    flavour = flavour if it.recipe.kernel else ""
    lacking = [target for target in TARGETS if target not in it.recipe.targets]
    summary.title = f"{it.recipe.name}, {flavour}" if flavour else it.recipe.name
    kept = it.cache.root / "ccache"
    builder: list[str] = []

    def asked() -> _Done:
        found = online.examine(it, full=False)
        outcome = upkeep.addresses(found)
        if outcome.code:
            reporter.line(outcome.said("table"))
        # One of two addresses may be dead, and what is cached is not fetched.
        code = Exit.SOURCE if online.lacking(it, found) else Exit.DONE
        return _Done(code, online.verdict(found))

    def prepared() -> _Done:
        made = builds.make_image(it)
        builder.append(made.name)
        loaded = ccache.load(it, made.name, kept)
        what = (
            f"what was compiled before: {amount(loaded)}" if loaded else "nothing compiled before"
        )
        return _Done(Exit.DONE, f"builder of {len(made.packages.splitlines())} packages; {what}")

    def built() -> _Done:
        made = builds.build(it, flavour)
        summary.parts += ["### Packages", ""]
        for package in made:
            size = amount(package.path.stat().st_size)
            summary.parts.append(f"- `{package.path.name}` {size}, sha256 `{package.sha256}`")
        summary.parts.append("")
        return _Done(Exit.DONE, f"{len(made)} packages")

    def keep() -> _Done:
        size = ccache.save(it, builder[0], kept).stat().st_size
        sources = it.cache.size() - sum(p.stat().st_size for p in kept.iterdir())
        return _Done(Exit.DONE, f"sources {amount(sources)}, what was compiled {amount(size)}")

    def audited() -> _Done:
        options = inspect.Options(recipe=name, set=it.recipe.overrides)
        if os.environ.get(_ACTIONS):
            github = inspect.run(replace(options, format="github")).said("github")
            for line in github.splitlines():
                if line.startswith("::"):  # a command to the machine that runs the job
                    reporter.line(line)
        outcome = inspect.run(options)
        text = outcome.said("table")
        return _Done(outcome.code, text.rstrip().rpartition("\n")[2], text)

    untried = ""
    if tools(it.recipe.suite.name).apt < APT:
        needed = ".".join(map(str, APT))
        untried = f"left out: trials need apt {needed}, and {it.recipe.suite.name}'s is older"

    def judged() -> _Done:
        if untried:
            return _Done(Exit.DONE, untried)
        verdicts = check.judge(it, check.Options(flavour=flavour))
        outcome = trials.verdicts(verdicts)
        return _Done(outcome.code, trials.verdicts_in_brief(verdicts), outcome.said("table"))

    def installed() -> _Done:
        if untried:
            return _Done(Exit.DONE, untried)
        cases = install_test.install_test(it, install_test.Options(flavour=flavour))
        outcome = trials.cases(cases)
        return _Done(outcome.code, trials.cases_in_brief(cases), outcome.said("table"))

    def booted() -> _Done:
        if lacking:
            return _Done(Exit.DONE, f"nothing to boot: the recipe has no {lacking[0]}")
        return _first(boot_test.boot(it, boot_test.Options(flavour=flavour, timeout=300.0)))

    def released() -> _Done:
        with _key() as key:
            options = release.Options(recipe=name, flavour=flavour, sign_key=key)
            return _first(release.release(options, reporter))

    def verified() -> _Done:
        return _first(verify.verify(verify.Options(path=(str(folder),)), reporter))

    stages = {
        **({"addresses": asked} if online.names_addresses(it.recipe) else {}),
        "prepare": prepared,
        "build": built,
        "keep": keep,
        "audit": audited,
        "check": judged,
        "install-test": installed,
        "boot-test": booted,
        "release": released,
        "verify": verified,
    }
    for stage, do in stages.items():
        code = _stage(summary, reporter, stage, do)
        if code:
            return code
    reporter.line(f"all: passed in {clock(sum(s.seconds for s in summary.stages))}")
    return Exit.DONE


@contextmanager
def _key() -> Iterator[str]:
    """The key that the environment gives, as `release` takes it; "" where it gives none."""
    from builders.release import signing

    given = os.environ.get(KEY, "")
    secret = signing.secret_key(given)
    if secret is None:
        yield given.strip()
        return
    # A secret of the CI machine is text, and is to be on no disk.
    with signing.in_memory(secret) as descriptor:
        yield signing.path_of(descriptor)


def _first(outcome: Outcome) -> _Done:
    """How a stage ended whose first line says enough where it passed."""
    text = outcome.said("table")
    return _Done(outcome.code, text.partition("\n")[0], text)


def _stage(summary: Summary, reporter: Reporter, name: str, do: Callable[[], _Done]) -> int:
    """One stage, with its line on the terminal and in the summary; where it failed, all of it."""
    from builders.show import jobs

    begun = time.monotonic()

    def ended(state: Literal["passed", "failed", "stopped"], said: str) -> str:
        took = time.monotonic() - begun
        summary.stages.append(jobs.JobStageEntry(name, state, round(took, 1), said))
        summary.write()
        return f"{name}: {state} in {clock(took)}{'; ' if said else ''}{said}"

    try:
        done = do()
    except BuildError as error:
        reporter.line(ended("failed", error.message))
        raise
    except (KeyboardInterrupt, Interrupted):
        ended("stopped", "")
        raise
    if done.code:
        reporter.line(done.text.rstrip("\n"))
    reporter.line(ended("failed" if done.code else "passed", done.said))
    return done.code
