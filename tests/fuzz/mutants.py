# SPDX-License-Identifier: GPL-2.0-or-later
"""Many mutated packages, each through the verbs `inspect`, `inspect --diff` and `finish`.

A verb runs as ./inv runs it, with its own handling of errors, in one of several processes that are
replaced every now and then. Package N of a seed is always the same one.
"""

from __future__ import annotations

import contextlib
import gc
import io
import multiprocessing
import os
import random
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from types import FrameType
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit as Leave

import tasks
from builders.debkit.deb import Deb
from builders.errors import BuildError
from tests.fuzz import mutate, seeds
from tests.fuzz.runs import RULES, SECONDS, Run, left

Verb = Callable[[Path, Path], None]  # it reads the first package, and knows the other one
SEED = 2026
_CHUNK = 250  # packages that a process tries: what it needs at most is still that of one of them
_JUDGED = 50  # dpkg-deb reads the results of one package in so many
_COMPRESSIONS = ("", "none", "gzip", "zstd", "xz")
# What the rules state besides, half of the time: keys, and tables.
_STATED = (
    ('package = "renamed"\nversion = "2:1"\n', ""),
    ('grub = true\npurge = ["/etc/sample.d/"]\ndepends = ["some | other (>= 1)"]\n', ""),
    ('description = "other\\nMore of it."\nremove = ["/usr/bin/*"]\n', ""),
    ("python = false\ndocuments = false\nlibraries = false\nconffiles = false\n", ""),
    ("", '[move]\n"/usr/bin" = "/usr/sbin"\n'),
    ("", '[files]\n"/etc/sample.d/x" = "x\\n"\n"/usr/bin/x" = "#!/bin/sh\\n"\n'),
)
_SERVED = (
    ("", '[services]\nsample = "boot"\n'),
    ("", '[services]\nsample = "restart"\n'),
)  # and where there is such a service
# On a disk a small package takes an eighth more of the processor's time, and it has to wait.
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
_SHOWN = 4000  # characters that are shown of what tells of a failure
_WAIT = 3 * SECONDS  # of any time, not of the processor's alone
_IT = Context()
# Loaded once, by the process that the others are forked from.
_LOADED = (
    "tests.fuzz.mutants",
    "builders.debkit.compare",
    "builders.debkit.finish",
    "builders.show.changes",
    "builders.show.findings",
    "builders.verbs.custom",
    "zstandard",
)


def _inspect(new: Path, _old: Path) -> None:
    _run("inspect", path=[str(new)])


def _diff(new: Path, old: Path) -> None:
    _run("inspect", path=[str(old), str(new)], diff=True)


def _finish(new: Path, _old: Path) -> None:
    _run("finish", path=[str(new)], rules="../rules.toml", out="../out")


def _run(verb: str, **options: Any) -> None:
    tasks.namespace[verb](_IT, **options)


VERBS: tuple[tuple[str, Verb], ...] = (("inspect", _inspect), ("diff", _diff), ("finish", _finish))


@dataclass(frozen=True)
class Failure:
    """A run that failed, over package `number` of a seed.

    detail: the traceback, where there is one, or what was printed.
    """

    seed: int
    number: int
    run: Run
    detail: str

    def __str__(self) -> str:
        again = f"python -m tests.fuzz --seed {self.seed} --start {self.number} --count 1"
        return (
            f"{self.run.verb}: {self.run.fault}\n{self.detail[-_SHOWN:].rstrip()}\nagain: {again}"
        )


@dataclass
class Tally:
    """What became of packages. counts: by layer of `mutate`, and verb, or "" for the packages.

    seconds, memory (KiB): the most that one verb needed for one package. spent: seconds of all
    processors, for all of it.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: float = 0
    memory: int = 0
    spent: float = 0
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count what another process has counted."""
        self.counts += other.counts
        self.seconds = max(self.seconds, other.seconds)
        self.memory = max(self.memory, other.memory)
        self.spent += other.spent
        self.failures += other.failures

    def taken(self, verb: str = "") -> int:
        """How many packages a verb took, or how many there are."""
        return sum(count for (_, name), count in self.counts.items() if name == verb)

    def __str__(self) -> str:
        lines = [f"{'layer':10} {'packages':>9} {'refused':>9} {'compared':>9} {'finished':>9}"]
        for layer in (*mutate.LAYERS, "all"):
            number, compared, finished = (
                self.taken(verb) if layer == "all" else self.counts[layer, verb]
                for verb in ("", "diff", "finish")
            )
            cells = (number, number - compared, compared, finished)
            lines.append(f"{layer:10} {' '.join(f'{cell:9}' for cell in cells)}")
        most = f"at most {self.seconds:.1f} s and {self.memory >> 10} MiB"
        lines.append(f"{len(self.failures)} failures; {most} for one, {self.spent:.0f} s for all")
        return "\n".join(lines)


def run(
    seed: int, start: int, count: int, jobs: int = 0, verbs: Sequence[tuple[str, Verb]] = VERBS
) -> Iterator[Tally]:
    """Try packages `start` to `start + count` of a seed; a tally for some at a time, in order.

    jobs: processes, 0 for as many as there are cores. verbs: names of `runs`, and functions that
    can be pickled.
    """
    jobs = jobs or len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_LOADED])
    starts = range(start, start + count, _CHUNK)
    counts = [min(_CHUNK, start + count - at) for at in starts]
    with ProcessPoolExecutor(jobs, context, max_tasks_per_child=1) as pool:
        yield from pool.map(_tried, repeat(seed), starts, counts, repeat(verbs))


def package(seed: int, number: int, corpus: Sequence[bytes]) -> tuple[str, bytes, bytes, str]:
    """A package: the layer that is mutated, what it was made of, itself, the rules for it."""
    rng = random.Random(f"{seed}:{number}")  # noqa: S311  # nothing is secret
    old, layer = rng.choice(corpus), mutate.drawn(rng)
    new, compression = mutate.mutated(old, rng, layer), rng.choice(_COMPRESSIONS)
    stated = (*_STATED, *_SERVED) if b"/sample.service" in old else _STATED
    keys, tables = rng.choice(stated) if rng.random() < 0.5 else ("", "")
    keys += f'compression = "{compression}"\n' * bool(compression)
    return layer, old, new, keys + RULES + tables


def _tried(seed: int, start: int, count: int, verbs: Sequence[tuple[str, Verb]]) -> Tally:
    """Packages of a seed, in this process."""
    gc.freeze()
    signal.signal(signal.SIGALRM, _late)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="mutants-", dir=_MEMORY) as name:
        folder = Path(name)
        corpus = [path.read_bytes() for path in seeds.small(folder)]
        for each in ("out", "tmp", "state"):
            (folder / each).mkdir()
        # Whatever is written without a place of its own is seen as left there.
        os.chdir(folder / "tmp")
        tempfile.tempdir = str(folder / "tmp")
        os.environ |= {
            "DOM0_DEBS_SETUP": "no",
            "TMPDIR": tempfile.tempdir,
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(folder / "tmp"),
        }
        for number in range(start, start + count):
            layer, old, new, rules = package(seed, number, corpus)
            for each, content in (("old.deb", old), ("new.deb", new)):
                (folder / each).write_bytes(content)
            (folder / "rules.toml").write_text(rules)
            tally.counts[layer, ""] += 1
            for verb, body in verbs:
                one, detail = _measured(folder, number, verb, body)
                tally.seconds = max(tally.seconds, one.seconds)
                tally.memory = max(tally.memory, one.memory)
                tally.counts[layer, verb] += not (one.fault or one.refusal)
                if one.fault:
                    tally.failures.append(Failure(seed, number, one, detail))
        os.chdir("/")
    tally.spent = time.process_time()
    return tally


def _measured(folder: Path, number: int, verb: str, body: Verb) -> tuple[Run, str]:
    """A verb on the package in `folder`, and what tells more of a failure."""
    said = io.StringIO()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark is that of now (proc(5))
    begun = time.process_time()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = _status(body, folder)
    seconds = time.process_time() - begun
    lines = Path("/proc/self/status").read_text().splitlines()
    memory = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    output = said.getvalue()
    logs = [path.read_text() for path in (folder / "state").rglob("bug-*.txt")]
    faults = _unread(folder / "out"), left(folder, verb, status, judged=not number % _JUDGED)
    wrong = ", ".join(fault for fault in faults if fault)
    return Run(str(number), verb, seconds, memory, status, output, wrong), "".join(logs) or output


def _status(body: Verb, folder: Path) -> int:
    """The exit status that the verb ends with; 255 where it does not end as verbs do."""
    signal.alarm(_WAIT)
    try:
        body(folder / "new.deb", folder / "old.deb")
    except Leave as leaving:
        return int(leaving.code or 0)
    except (Exception, _Late):
        traceback.print_exc()
        return 255
    finally:
        signal.alarm(0)
    return 0


class _Late(BaseException):
    """A verb takes too long; nothing that catches exceptions is to catch it."""


def _late(_number: int, _frame: FrameType | None) -> None:
    raise _Late


def _unread(out: Path) -> str:
    """What our own reader has against the packages that `finish` has written."""
    for path in out.glob("*.*deb"):
        try:
            made = Deb.open(path)
            made.index, made.conffiles, made.md5sums  # noqa: B018  # they are read
        except BuildError as error:
            return f"makes what can't be read: {error.message}"
    return ""
