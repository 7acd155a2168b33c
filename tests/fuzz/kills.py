# SPDX-License-Identifier: GPL-2.0-or-later
"""Real work of the tool that is ended at random moments, and run again until it is done.

    python -m tests.fuzz.kills --count 100 --seed N [--kind NAME]...

Each kind of work is first done once undisturbed. Then it is begun anew, in a process group of its
own, ended by a signal at a moment between its start and 1.1 times as long as it took undisturbed,
begun again where that left it, perhaps ended once more, and at last left alone. What then lies in
its folder has to be the undisturbed run's, byte for byte, and nothing beside it; nothing of it may
run on. The table says how often; what was wrong is told with the series that led to it.

    python -m tests.fuzz.kills --again 'KIND SEED'

repeats one series. A release tells of which commit its tool is, and whether files of that are
changed: the project has to stay as it is meanwhile.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from builders import ROOT
from builders.release.layout import entries

WITHIN = 5.0  # seconds from a signal to the end of all that it ends
PATIENCE = 600.0  # seconds for a run that is left alone
LATEST = 1.1  # of the undisturbed run's time: the last moment of a signal
AGAIN = 0.4  # how often a run that goes on after a signal gets another one
OTHER = ("cache/dom0-debs/identity", "state/dom0-debs/releases.json")
MEMORY = ".durations.json"  # how long work took: one that was killed may have noted nothing
DEFAULT = "--default-signal=INT,TERM"  # whoever started this may ignore them (env(1))
TIMES = ("seconds", "ended", "signs")  # of a stage's record: when it was made, and in which inode


@dataclass
class Work:
    """A command of the tool, and the one folder that it may write to.

    words: after ./inv. base: a folder that is copied to `box` before the work begins. environment:
    besides what every work has. says: whether what it prints is part of what comes out.
    varying: names of files whose content is another each time. wrong: what else is wrong with what
    came out; what is left in an engine. A thing that is on its way out may be named at first.
    """

    name: str
    words: Sequence[str]
    base: Path
    box: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    says: bool = False
    varying: Collection[str] = ()
    wrong: Callable[[], list[str]] = list

    def reset(self) -> None:
        """Have the box as it is before the work."""
        shutil.rmtree(self.box, ignore_errors=True)
        subprocess.run(["cp", "-a", str(self.base), str(self.box)], check=True)
        for name in ("tmp", "home"):
            (self.box / name).mkdir(exist_ok=True)

    def start(self, said: Path) -> subprocess.Popen[bytes]:
        """Begin the work in a process group of its own; what it says goes to the file `said`."""
        environment = {
            **{k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"},
            "DOM0_DEBS_ARTIFACTS": str(self.box / "artifacts"),
            "XDG_CACHE_HOME": str(self.box / "cache"),
            "XDG_STATE_HOME": str(self.box / "state"),
            "HOME": str(self.box / "home"),
            "TMPDIR": str(self.box / "tmp"),
            **self.environment,
        }
        with said.open("wb") as out, said.with_suffix(".err").open("wb") as err:
            return subprocess.Popen(
                ["env", DEFAULT, str(ROOT / "inv"), *self.words],
                cwd=self.box,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def came_out(self, said: Path) -> dict[str, str]:
        """Name -> mode and content: what lies in the box, and what was printed if that counts."""
        found = {}
        for path, entry in entries(self.box):
            if path.endswith(MEMORY):
                continue
            mode = stat.filemode(entry.stat(follow_symlinks=False).st_mode)
            if entry.is_symlink():
                content = os.readlink(entry.path)  # noqa: PTH115
            elif entry.is_file() and entry.name not in self.varying:
                content = hashlib.sha256(_lasting(path, Path(entry.path).read_bytes())).hexdigest()
            else:
                content = ""
            found[path] = f"{mode} {content}"
        if self.says:
            found["(standard output)"] = hashlib.sha256(said.read_bytes()).hexdigest()
        return found

    def running(self) -> list[str]:
        """The processes that work in the box, by their environment or their command line."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                line = (process / "cmdline").read_bytes()
                known = line + (process / "environ").read_bytes()
                # A command line that is empty is a process that has ended, and was not asked for.
                if line and os.fsencode(self.box) in known and int(process.name) != os.getpid():
                    found.append(f"{process.name} {os.fsdecode(line.replace(bytes(1), b' '))}")
        return found


def _lasting(path: str, content: bytes) -> bytes:
    """The content without what no two runs have in common: times, and a random word.

    Nor is the same what is remembered of releases: the newest that was verified here, which a run
    has made itself where it goes on after the exchange.
    """
    if path.endswith("/stage.json"):
        record = json.loads(content)
        kept = {key: value for key, value in record.items() if key not in TIMES}
        return json.dumps(kept, sort_keys=True).encode()
    return b"" if "/logs/" in path or path.endswith(OTHER) else content


@dataclass
class Undisturbed:
    """How a work goes where nobody disturbs it."""

    status: int
    seconds: float
    result: Mapping[str, str]


@dataclass
class Tally:
    """What became of one kind of work.

    hits: signals that came while it worked. repeats: those to a run that went on after one.
    """

    seconds: float = 0.0
    series: int = 0
    kills: int = 0
    hits: int = 0
    repeats: int = 0
    faults: list[str] = field(default_factory=list)


def undisturbed(work: Work, place: Path) -> Undisturbed:
    """Do the work as it should be: how long it takes, and what comes out."""
    work.reset()
    begun = time.monotonic()
    status = work.start(place / "said").wait(PATIENCE)
    seconds = time.monotonic() - begun
    told = (place / "said.err").read_text(errors="replace")
    assert status in (0, 1), f"{work.name}: status {status}: {told}"
    wrong = _gone(work.running) + _gone(work.wrong)
    assert not wrong, f"{work.name}, undisturbed: {wrong}"
    return Undisturbed(status, seconds, work.came_out(place / "said"))


def _different(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    wrong = [f"left: {name}" for name in sorted(found.keys() - expected.keys())]
    wrong += [f"missing: {name}" for name in sorted(expected.keys() - found.keys())]
    common = sorted(expected.keys() & found.keys())
    return wrong + [f"differs: {name}" for name in common if expected[name] != found[name]]


def series(work: Work, usual: Undisturbed, seed: str, place: Path, tally: Tally, most: int) -> None:
    """Disturb the work at most `most` times, then let it come to its end; `tally` is told."""
    rng = random.Random(seed)  # noqa: S311 - only has to vary
    work.reset()
    story: list[str] = []
    wrong: list[str] = []
    tally.series += 1
    for n in range(most):
        number = rng.choices((signal.SIGKILL, signal.SIGTERM, signal.SIGINT), (8, 1, 1))[0]
        group, moment = rng.random() < 0.5, rng.uniform(0, LATEST * usual.seconds)
        waits, again = rng.random() < 0.5, rng.random() < AGAIN
        hit, faults = _disturbed(work, usual, place / "said", number, moment, group=group)
        story.append(f"{number.name}{' to the group' * group} at {moment:.2f} s{' (hit)' * hit}")
        wrong += faults
        tally.kills += 1
        tally.hits += hit
        tally.repeats += n > 0
        if waits:  # otherwise the next one begins beside what is on its way out
            wrong += [f"runs on: {one}" for one in _gone(work.running)]
        if not again:
            break
    begun = time.monotonic()
    status = work.start(place / "said").wait(PATIENCE)
    told = (place / "said.err").read_text(errors="replace")
    story.append(f"status {status} after {time.monotonic() - begun:.2f} s")
    if status != usual.status:
        wrong.append(f"status {status}: {told[-2000:]}")
    if "Traceback" in told:
        wrong.append(f"a traceback: {told[-2000:]}")
    wrong += _different(usual.result, work.came_out(place / "said"))
    wrong += [f"runs on: {one}" for one in _gone(work.running)]
    wrong += _gone(work.wrong)
    tally.faults += [f"{work.name} {seed}: {one} [{', '.join(story)}]" for one in wrong]


def _disturbed(
    work: Work,
    usual: Undisturbed,
    said: Path,
    number: signal.Signals,
    moment: float,
    *,
    group: bool,
) -> tuple[bool, list[str]]:
    """Begin the work and send it a signal; whether it was at work, and what was wrong."""
    process = work.start(said)
    with suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    hit = process.poll() is None
    if hit and group:
        os.killpg(process.pid, number)
    elif hit:
        process.send_signal(number)
    try:
        status = process.wait(WITHIN)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return hit, [f"{number.name} did not end it in {WITHIN:g} s"]
    told = said.with_suffix(".err").read_text(errors="replace")
    wrong = ["a traceback: " + told[-2000:]] if "Traceback" in told else []
    if status not in ((usual.status, 128 + number, -number) if hit else (usual.status,)):
        wrong.append(f"status {status} after {number.name}: {told[-2000:]}")
    return hit, wrong


def _gone(left: Callable[[], list[str]]) -> list[str]:
    """What is left after the time in which it has to go."""
    until = time.monotonic() + WITHIN
    while (found := left()) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def disturb(
    works: Sequence[Work], count: int, seed: int, place: Path
) -> Iterator[tuple[str, Tally]]:
    """Send `count` signals, as many to each kind of work; each kind with what became of it."""
    for n, work in enumerate(works):
        share = count // len(works) + (n < count % len(works))
        usual = undisturbed(work, place)
        tally = Tally(usual.seconds)
        while tally.kills < share:
            series(work, usual, f"{seed}-{tally.series}", place, tally, share - tally.kills)
        yield work.name, tally


def table(tallies: Mapping[str, Tally]) -> str:
    """The figures, a line for each kind and one for all."""
    head = "| work | undisturbed | kills | while it worked | repeats | differences |\n"
    rows = head + "| --- | --- | --- | --- | --- | --- |\n"
    for name, it in tallies.items():
        rows += f"| {name} | {it.seconds:.1f} s | {it.kills} | {it.hits} | {it.repeats} "
        rows += f"| {len(it.faults)} |\n"
    kills, hits, repeats, faults = (
        sum(number)
        for number in zip(
            *((t.kills, t.hits, t.repeats, len(t.faults)) for t in tallies.values()), strict=True
        )
    )
    return f"{rows}| all | | {kills} | {hits} | {repeats} | {faults} |"


def main() -> int:
    from tests.fuzz import works

    parser = argparse.ArgumentParser(description="End work of the tool at random moments.")
    parser.add_argument("--count", type=int, default=100, help="how many signals in all")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--kind", action="append", help="only this kind of work")
    parser.add_argument("--again", default="", help="KIND SEED: repeat one series")
    options = parser.parse_args()
    kinds = [options.again.rpartition(" ")[0]] if options.again else options.kind
    tallies: dict[str, Tally] = {}
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kills-")))
        os.environ["XDG_STATE_HOME"] = str(place / "state")  # of what checks a release here
        made = stack.enter_context(works.made(place, kinds or works.KINDS))
        subprocess.run([str(ROOT / "inv"), "--version"], check=True)  # with all that it sets up
        print(f"seed {options.seed}, {len(made)} kinds", flush=True)
        if options.again:
            (work,) = made
            usual = undisturbed(work, place)
            tallies[work.name] = Tally(usual.seconds)
            seed = options.again.rpartition(" ")[2]
            series(work, usual, seed, place, tallies[work.name], options.count)
        else:
            for name, tally in disturb(made, options.count, options.seed, place):
                tallies[name] = tally
                print(f"{name}: {tally.kills} kills, {len(tally.faults)} faults", flush=True)
    faults = [fault for tally in tallies.values() for fault in tally.faults]
    print("\n".join([*faults, table(tallies)]), flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
