# SPDX-License-Identifier: GPL-2.0-or-later
"""Build what was released again, from its sources, and compare every byte.

Nothing that another machine built takes part: of a store, sources and the builder image are taken
alone, both by digest. What comes out is said in a signed statement.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.pipeline.graph import Pipeline
from builders.proofs.rebuild.differ import differences
from builders.release import rebuilt, verify
from builders.release.layout import record
from builders.release.rebuilt import Released

if TYPE_CHECKING:
    from builders.pipeline.run import Run
    from builders.progress import Reporter
    from builders.release.signing import Signer

FOLDER = "rebuild"  # in a recipe's artifacts: kept where something differs


@dataclass(frozen=True)
class Pair:
    """A package as it was released and as it came out here; digests, "" where it is missing."""

    file: str
    released: str
    made: str
    differences: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        return self.released == self.made


@dataclass(frozen=True)
class Again:
    """A build that was made again. statement: on it, with its signature."""

    build: Released
    pairs: tuple[Pair, ...]
    statement: bytes
    signature: bytes

    @property
    def same(self) -> bool:
        return all(pair.same for pair in self.pairs)


def of(folder: Path, key: Path, reporter: Reporter) -> tuple[str, list[Released]]:
    """The recipe and the builds of a release that is sound by `key`; BuildError where it is not."""
    verdict = verify.verify(folder, reporter, key)
    if verdict.problems:
        problem = verdict.problems[0]
        raise BuildError(
            f"{folder} is not sound: {problem.file}: {problem.why}",
            hint=f"./inv verify {folder} --key {key} says all that is wrong",
            exit=Exit.AUDIT,
        )
    return str(record(folder)["recipe"]), rebuilt.released(folder)


def rebuild(
    run_of: Callable[[Sequence[str]], Run],
    folder: Path,
    builds: Sequence[Released],
    signer: Signer,
) -> list[Again]:
    """Build each of these builds of the release in `folder` again.

    run_of: a run of their recipe with these overrides, which takes no stage from a store. What is
    the same is removed; what differs is kept in FOLDER for a closer look. Raises BuildError as a
    build does, and where one would not be of the same inputs.
    """
    return [_again(run_of(build.overrides), folder, build, signer) for build in builds]


def _again(run: Run, folder: Path, build: Released, signer: Signer) -> Again:
    kind, _, flavour = build.target.partition("-")
    with run.alone():
        kept = run.folder / FOLDER
        own = kept / build.target
        aside = dataclasses.replace(run, folder=own / run.recipe.name, _swept=False)
        shutil.rmtree(own, ignore_errors=True)
        pipeline = Pipeline(aside, flavour, [kind], clean=True)
        pipeline.supplies.take()
        image = pipeline.supplies.image()
        pipeline.supplies.fetch()
        here = pipeline.inputs(build.target)
        if names := rebuilt.differing(build.inputs, here):
            raise rebuilt.other_inputs(build, names)
        made = {package.path.name: package for package in pipeline.build()}
        pairs = []
        for name in sorted({*build.packages, *made}):
            released, package = build.packages.get(name, ""), made.get(name)
            digest = package.sha256 if package else ""
            told: tuple[str, ...] = ()
            if not package or not released:
                told = (f"only the {'release' if released else 'build here'} has it",)
            elif released != digest:
                told = tuple(differences(folder / build.paths[name], package.path, ()))
            pairs.append(Pair(name, released, digest, told))
        digests = {name: package.sha256 for name, package in made.items()}
        statement = rebuilt.statement(folder, build, digests, image.fingerprint)
        again = Again(build, tuple(pairs), statement, signer.detached(statement))
        if again.same:
            shutil.rmtree(own, ignore_errors=True)
            with suppress(OSError):  # another build that differs is there
                kept.rmdir()
        return again
