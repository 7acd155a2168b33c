# SPDX-License-Identifier: GPL-2.0-or-later
"""Build once more, as if on another box, and compare every byte with what was built before."""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.ground.suite import image
from builders.pipeline.artifacts import Package
from builders.pipeline.current import named
from builders.pipeline.graph import Pipeline
from builders.proofs.rebuild.variation import Variation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builders.pipeline.run import Run
    from builders.proofs.rebuild.evidence import Known

FOLDER = "reproduce"  # in a recipe's artifacts: the second build, kept where it differs
DAY = 24 * 3600


@dataclass(frozen=True)
class Compared:
    """One package of both builds: its digests ("" where it is missing), and what differs."""

    file: str
    first: str
    second: str
    differences: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        return self.first == self.second


def reproduce(
    run: Run,
    flavour: str,
    targets: Iterable[str] | None = None,
    *,
    seconds: int = DAY + 3 * 3600,
    fresh_image: bool = False,
) -> list[Compared]:
    """Build what is missing, then all of it again elsewhere; every package, compared.

    flavour: of the kernel. targets: those of the recipe if left out. fresh_image: the second
    build's image is made anew of what the run's lock pins, where both builds share one otherwise.

    The second build is as Variation says, with a clock that is `seconds` ahead. It is removed
    where every package is the same, and else kept below FOLDER for a closer look.
    Raises BuildError as a build does.
    """
    wanted = list(run.recipe.targets if targets is None else targets)
    with run.alone():
        one = Pipeline(run, flavour, wanted)
        if fresh_image and not one.ready():
            raise _of_another_image(run)
        first = one.build()
        folder = run.folder / FOLDER
        shutil.rmtree(folder, ignore_errors=True)
        variation = Variation(seconds=seconds)
        again = dataclasses.replace(
            run,
            folder=folder,
            # $JOBS is neither all of the first build's nor its half, where it shared them.
            jobs=len(wanted) * (run.jobs + 1),
            _swept=False,  # what lies in the engine is another folder's
        )
        if fresh_image and run.pinned:
            again.pinned = dataclasses.replace(run.pinned, anew=True)
            image.remove(again)  # of a run that was killed
        pipeline = Pipeline(again, flavour, wanted, variation=variation)
        pipeline.supplies.fetch()  # the cache is not the second build's alone
        try:
            with _umask(0o077):
                second = pipeline.build()
                compared = compare(first, second, variation.known())
        finally:
            if fresh_image:
                image.remove(again)
        if all(each.same for each in compared):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            for package in second:  # the stages have them: one copy is enough
                package.path.unlink(missing_ok=True)
    return compared


def _of_another_image(run: Run) -> BuildError:
    """The error where the first build is not there as the lock has it: it may take hours."""
    recipe = shlex.quote(named(run))
    return BuildError(
        f"{run.recipe.name} was not built of what its lock names",
        hint=f"build it from the lock first: ./inv build-all --recipe {recipe} --locked; or lock "
        f"what it was built of: ./inv lock --recipe {recipe}",
    )


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def compare(
    first: Sequence[Package], second: Sequence[Package], known: Sequence[Known] = ()
) -> list[Compared]:
    """The packages of two builds by file name, and where a pair is not the same, why.

    known: what differs between the boxes that built them.
    """
    from builders.proofs.rebuild.differ import differences

    one, other = ({p.path.name: p for p in packages} for packages in (first, second))
    found = []
    for name in sorted(one.keys() | other.keys()):
        a, b = one.get(name), other.get(name)
        if a is None or b is None:
            which = "second" if a is None else "first"
            told: tuple[str, ...] = (f"only the {which} build has it",)
        elif a.sha256 == b.sha256:
            told = ()
        else:
            told = tuple(differences(a.path, b.path, known))
        found.append(Compared(name, a.sha256 if a else "", b.sha256 if b else "", told))
    return found
