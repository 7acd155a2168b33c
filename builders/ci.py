# SPDX-License-Identifier: GPL-2.0-or-later
"""What a CI job runs: the tests, or everything from the sources to a verified release.

Each stage prints one line when it is done, nobody is asked anything, and where the job has a
page for a summary (GITHUB_STEP_SUMMARY), it gets one.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from builders import boot, ccache, inspect, releasing, testing, verbs
from builders.cache import Cache
from builders.errors import BuildError, Exit
from builders.progress import Reporter, clock, printable

if TYPE_CHECKING:
    from builders.run import Run

PARTS = ("tests", "release")
KEY = "DOM0_DEBS_SIGN_KEY"  # a fingerprint, a file, or the armored secret key itself
SUMMARY = "GITHUB_STEP_SUMMARY"
_ACTIONS = "GITHUB_ACTIONS"


@dataclass
class Summary:
    """The stages of one job as Markdown; written after each, so that a failure shows too."""

    title: str
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    def text(self) -> str:
        lines = [f"## {self.title}", "", "| stage | | time | |", "| --- | --- | --- | --- |"]
        lines += ["| " + " | ".join(_cell(c) for c in row) + " |" for row in self.rows]
        return "\n".join([*lines, "", *self.parts]) + "\n"

    def write(self) -> None:
        """Put it where the job's page is made from; nothing where there is no such place."""
        place = os.environ.get(SUMMARY)
        if place:
            with suppress(OSError):  # a page that can't be written fails no build
                Path(place).write_text(self.text(), encoding="utf-8")


def _cell(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def run(part: str, name: str, flavour: str, overrides: list[str], reporter: Reporter) -> int:
    """Run a part; its exit status. BuildError where a stage can't be done."""
    if part not in PARTS:
        raise BuildError(f"--part {part}: no such part", hint=f"one of: {', '.join(PARTS)}")
    if part == "tests":
        summary = Summary("Tests")
        return _stage(
            summary, reporter, "tests", lambda: (testing.run(reporter, "", build=True), "")
        )
    it = verbs.begin(name, overrides, reporter)
    return _release(it, flavour, reporter)


def _release(it: Run, flavour: str, reporter: Reporter) -> int:
    """Build, audit, judge, install, boot, release and verify, until something fails."""
    name, folder = it.recipe.name, it.folder / "release"
    summary = Summary(f"{name}, {flavour}")
    kept = Cache.default().root / "ccache"

    def build() -> tuple[int, str]:
        image = verbs.make_image(it)
        ccache.load(it, image.name, kept)
        made = verbs.build(it, flavour)
        size = ccache.save(it, image.name, kept).stat().st_size
        summary.parts += ["### Packages", "", *(f"- `{p.path.name}` {p.sha256}" for p in made), ""]
        return Exit.DONE, f"{len(made)} packages; ccache {size >> 20} MiB"

    def audit() -> tuple[int, str]:
        actions = bool(os.environ.get(_ACTIONS))
        wanted = inspect.Wanted(form="github" if actions else "table")
        text, code = inspect.inspect([], wanted, name, it.recipe.overrides)
        if not actions:
            return code, _last(text)
        for line in text.splitlines():
            reporter.line(line)  # a command to the machine that runs the job
        return code, ""

    def judged() -> tuple[int, str]:
        text, code = verbs.check(it, flavour, [], "table")
        return code, _last(text)

    def installed() -> tuple[int, str]:
        text, code = verbs.install_test(it, flavour, [], "table")
        return code, _last(text)

    def booted() -> tuple[int, str]:
        text, code = boot.verb(it, flavour, "auto", 300.0, "table")
        return code, text.partition("\n")[0]

    def released() -> tuple[int, str]:
        with _key() as key:
            wanted = releasing.Wanted(flavour=flavour, key=key)
            text = releasing.release(name, wanted, reporter)
        return Exit.DONE, text.partition("\n")[0]

    def verified() -> tuple[int, str]:
        text, code = releasing.verify([str(folder)], "", "table", reporter)
        return code, text.partition("\n")[0]

    stages: list[tuple[str, Callable[[], tuple[int, str]]]] = [
        ("build", build),
        ("audit", audit),
        ("check", judged),
        ("install-test", installed),
    ]
    if flavour == "minimal":  # another kernel has its drivers as modules, which the proof lacks
        stages.append(("boot-test", booted))
    stages += [("release", released), ("verify", verified)]
    for stage, do in stages:
        code = _stage(summary, reporter, stage, do)
        if code:
            return code
    return Exit.DONE


@contextmanager
def _key() -> Iterator[str]:
    """The key that the environment gives, as `release` takes it; "" where it gives none."""
    given = os.environ.get(KEY, "")
    if not given.lstrip().startswith("-----BEGIN"):
        yield given.strip()
        return
    # A secret of the CI machine is text; it is written for as long as it is needed.
    with tempfile.NamedTemporaryFile("w", suffix=".asc") as file:
        file.write(given)
        file.flush()
        yield file.name


def _last(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]


def _stage(
    summary: Summary, reporter: Reporter, name: str, do: Callable[[], tuple[int, str]]
) -> int:
    """One stage, with its line on the terminal and in the summary."""
    begun = time.monotonic()
    try:
        code, said = do()
    except BuildError as error:
        summary.rows.append((name, "failed", clock(time.monotonic() - begun), error.message))
        summary.write()
        raise
    state, took = "failed" if code else "passed", clock(time.monotonic() - begun)
    reporter.line(f"{name}: {state} in {took}{'; ' if said else ''}{said}")
    summary.rows.append((name, state, took, said))
    summary.write()
    return code
