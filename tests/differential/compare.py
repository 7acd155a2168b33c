# SPDX-License-Identifier: GPL-2.0-or-later
"""`inspect` beside dpkg and apt: where the two disagree over a package.

By hand: python -m tests.differential.compare --start 0 --count 200000 --jobs 2
With DIFFERENTIAL_SYSTEM=/folder the dpkg of the system in that folder judges, such as one that
mmdebstrap or `docker export` has made of another suite.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from builders.debkit.audit import RULES, Expectations, Severity, audit
from builders.debkit.corrections import Corrections
from builders.debkit.finish import finish
from builders.errors import BuildError
from tests.differential.containers import Container, containers
from tests.differential.judge import Judge, Verdict
from tests.differential.odd import Odd, packages

# What only Policy or lintian calls an error: dpkg takes it.
POLICY = frozenset(
    [
        "etc-not-conffile",
        "relation-to-itself",
        "copyright-missing",
        "path-traversal",
        "path-outside-fhs",
        "special-file",
        "setuid-file",
        "world-writable",
        "wrong-owner",
        "file-name",
        "link-loop",
    ]
)
# Other packages may bring an interpreter; in the scratch root there are none.
_UNKNOWN = "which no relation names"
_STEP = 256
SYSTEM = "DIFFERENTIAL_SYSTEM"  # the root of another suite's system, whose dpkg is to judge


@dataclass(frozen=True)
class Disagreement:
    """number, label: of the odd package. refusal: of the judges. errors: of `inspect`."""

    number: int
    label: str
    refusal: str
    errors: tuple[str, ...]


def errors(path: Path, suite: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The errors of `inspect` for a suite: what its dpkg or apt ought to refuse, and others."""
    shared: list[str] = []
    own: list[str] = []
    for finding in audit(path, Expectations(suite=suite)).findings:
        told = f"{finding.rule}: {finding.message}"
        if finding.severity is not Severity.ERROR and _UNKNOWN not in finding.message:
            continue
        if finding.subject == "config":  # debconf runs that one
            continue
        (own if finding.rule in POLICY else shared).append(told)
    return tuple(shared), tuple(own)


def _agreed(verdict: Verdict, shared: Sequence[str], own: Sequence[str]) -> bool:
    """What the judges refuse has an error, what they take has none but by Policy."""
    return bool(shared or own) if verdict.refusal else not shared


Package = Odd | Container
Source = Callable[[int, int], Iterator[Package]]


def compared(start: int, count: int, source: Source = packages) -> tuple[int, list[Disagreement]]:
    """How many of these the judges refuse, and what is not agreed upon."""
    judge = Judge(os.environ.get(SYSTEM, ""))
    try:
        refused, found = 0, []
        for at in range(start, start + count, _STEP):
            odds = list(source(at, min(_STEP, start + count - at)))
            for number, (odd, verdict, shared, own) in enumerate(_step(judge, odds), at):
                refused += bool(verdict.refusal)
                if not _agreed(verdict, shared, own):
                    found.append(Disagreement(number, odd.label, verdict.refusal, shared))
        return refused, found
    finally:
        judge.close()


Step = tuple[Package, Verdict, tuple[str, ...], tuple[str, ...]]


def _step(judge: Judge, odds: Sequence[Package]) -> Iterator[Step]:
    """Each package, its verdict, and the errors of `inspect` as `errors` has them."""
    with tempfile.TemporaryDirectory(dir=judge.folder) as name:
        folder = Path(name)
        paths = {odd.name: odd.write(folder) for odd in odds}
        verdicts = judge.judge(paths)
        for odd in odds:
            shared, own = errors(paths[odd.name], judge.suite())
            verdict = verdicts[odd.name]
            if not _agreed(verdict, shared, own):
                verdict = judge.alone(paths[odd.name], odd.name)
            yield odd, verdict, shared, own


def promised(start: int, count: int, source: Source = packages) -> tuple[int, list[Disagreement]]:
    """How many of these `finish` accepts, and what comes out that is not as it promises.

    A finished package unpacks, is configured, verified and removed, but for what its own scripts
    do; and `inspect` has no error of it whose remedy is to finish it.
    """
    judge = Judge(os.environ.get(SYSTEM, ""))
    try:
        accepted, broken = 0, []
        for at in range(start, start + count, _STEP):
            odds = list(source(at, min(_STEP, start + count - at)))
            with tempfile.TemporaryDirectory(dir=judge.folder) as name:
                finished = _finished(odds, Path(name))
                verdicts = judge.judge({odd.name: path for odd, path in finished.items()})
                for number, odd in enumerate(odds, at):
                    if odd not in finished:
                        continue
                    accepted += 1
                    path, verdict = finished[odd], verdicts[odd.name]
                    if verdict.refusal:
                        verdict = judge.alone(path, odd.name)
                    refusal = "" if "script" in verdict.refusal else verdict.refusal
                    told = tuple(
                        f"{finding.rule}: {finding.message}"
                        for finding in audit(path).findings
                        if finding.severity is Severity.ERROR
                        and RULES[finding.rule].remedy.startswith("finish the package")
                    )
                    if refusal or told:
                        broken.append(Disagreement(number, odd.label, refusal, told))
        return accepted, broken
    finally:
        judge.close()


def _finished(odds: Sequence[Package], folder: Path) -> dict[Package, Path]:
    """Those that `finish` accepts, and what it makes of each."""
    finished = {}
    for odd in odds:
        raw = odd.write(folder)
        out = folder / f"out-{odd.name}"
        with contextlib.suppress(BuildError):
            made = finish(
                raw, Corrections(), elf_depends=(), destination_dir=out, epoch=1_700_000_000
            )
            # The judge tells packages by the names of their files.
            finished[odd] = made.path.rename(folder / f"finished-{odd.name}.deb")
    return finished


Task = Callable[[int, int, Source], tuple[int, list[Disagreement]]]


def spread(
    start: int, count: int, jobs: int, task: Task = compared, source: Source = packages
) -> tuple[int, list[Disagreement]]:
    """A task on these packages, in several processes."""
    if jobs < 2:
        return task(start, count, source)
    size = max(_STEP, -(-count // (jobs * 4)))
    starts = range(start, start + count, size)
    counts = [min(size, start + count - at) for at in starts]
    refused, found = 0, []
    with ProcessPoolExecutor(jobs) as pool:
        for number, some in pool.map(task, starts, counts, [source] * len(counts)):
            refused += number
            found += some
    return refused, found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--containers", action="store_true", help="odd ar, tar and compression")
    parser.add_argument("--finish", action="store_true", help="what comes out of finish")
    options = parser.parse_args()
    begun = time.monotonic()
    task = promised if options.finish else compared
    source: Source = containers if options.containers else packages
    chosen, found = spread(options.start, options.count, options.jobs, task, source)
    took = time.monotonic() - begun
    for one in found:
        print(f"{one.number} {one.label}\n    judges: {one.refusal or 'take it'}")
        print(f"    inspect: {'; '.join(one.errors) or 'no error'}")
    word = "accepted" if options.finish else "refused"
    print(f"{options.count} packages in {took:.0f} s, {chosen} {word}, {len(found)} disagreements")
    kinds = Counter(one.label.split()[0] for one in found)
    print(", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))


if __name__ == "__main__":
    main()
