# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs need for hostile packages: memory and time of a child of its own for each.

    python -m tests.fuzz.limits [--jobs 2] [--every] [KIND, CASE or PACKAGE.deb...]

Without names: every kind, one case of each, or all cases with --every. A table of all runs is
printed; one that goes past a limit, or ends as no verb may end, is a fault, and makes the exit
status 1. --list tells the kinds instead.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from builders.text import plain
from tests.fuzz.catalogue import CASES, kinds
from tests.fuzz.child import Children
from tests.fuzz.kinds import LIMIT
from tests.unit import debs

SECONDS = 20  # of processor time: a box may have other work
MEMORY = 256 << 10  # KiB of resident memory
OUTPUT = 8 << 20  # bytes that are printed
CORES = 16  # that the children believe to have: what is done side by side takes memory
_ENDS = {"inspect": (0, 1), "finish": (0, 2), "diff": (0, 1, 2), "back": (0, 1, 2)}
# Corrections that look at many members; the others ask for what a package has to have.
RULES = """\
revision = "+own.1"
discard = ["/usr/share/doc/*/TODO*"]
[modes]
"/usr/share/*" = "0644"
"""


@dataclass(frozen=True)
class Run:
    """One verb on one case. seconds: of processor time. memory: KiB. output: what it printed.

    left: what is wrong about the files that it left.
    """

    name: str
    verb: str
    seconds: float
    memory: int
    status: int
    output: str
    left: str = ""

    @property
    def fault(self) -> str:
        """What goes past a limit or ends as it may not, "" where nothing does."""
        faults = [self.left] if self.left else []
        if self.seconds > SECONDS:
            faults.append("too long")
        if self.memory > MEMORY:
            faults.append("too much memory")
        if self.status not in _ENDS[self.verb] or "Traceback" in self.output:
            faults.append(f"exit status {self.status}")
        if self.status == 2 and not re.match(r"error: \S.*^next: \S", self.output, re.S | re.M):
            faults.append("an error without a remedy")
        if len(self.output) >= OUTPUT:
            faults.append("prints without end")
        if plain(self.output) != self.output:
            faults.append("prints control characters")
        return ", ".join(faults)

    @property
    def outcome(self) -> str:
        """How it ended, in a few words."""
        if self.fault:
            return f"FAULT: {self.fault}"
        if self.verb == "inspect" and (
            match := re.search(
                r"\b(unreadable|path-traversal|duplicate-member)\s+(.*)", self.output
            )
        ):
            return f"refused: {match[2]}"[:60]
        if self.status != 2:
            return "findings" if self.status else "done"
        said = self.output.partition("\n")[0].removeprefix("error: ")
        return f"refused: {re.sub(r'^/[^ ]*: ', '', said)}"[:60]

    def __str__(self) -> str:
        words = f"{self.name:38} {self.verb:7} {self.seconds:5.1f} s {self.memory >> 10:4} MiB"
        return f"{words}  {self.outcome}"


def verbs(new: Path, old: Path, folder: Path) -> dict[str, list[str]]:
    """The command lines that read a package of somebody else: into the second, and compared."""
    rules, out = folder / "rules.toml", folder / "out"
    return {
        "inspect": ["inspect", str(new)],
        "finish": ["finish", str(new), f"--rules={rules}", f"--out={out}"],
        "diff": ["inspect", "--diff", str(old), str(new)],
        "back": ["inspect", "--diff", str(new), str(old)],
    }


def measured(children: Children, name: str, folder: Path, cores: int = CORES) -> Iterator[Run]:
    """Every verb on the case of that name, or the package at that path.

    folder: an empty one, for what is written.
    """
    (folder / "rules.toml").write_text(RULES)
    for each in ("out", "tmp", "state"):
        (folder / each).mkdir()
    old = debs.mkdeb(folder / "old.deb")
    new = folder / "new.deb"
    if name.endswith(".deb"):
        new = Path(name)
    else:
        content = CASES[name].make()
        if isinstance(content, tuple):
            before, content = content
            old.write_bytes(before)
            assert len(before) <= LIMIT, f"{name}: {len(before)} bytes"
        assert len(content) <= LIMIT, f"{name}: {len(content)} bytes"
        new.write_bytes(content)
        del content
    environment = {
        "DOM0_DEBS_SETUP": "no",
        "TMPDIR": str(folder / "tmp"),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    for verb, words in verbs(new, old, folder).items():
        said = folder / f"{verb}.said"
        needed = children.run(words, said, cores, environment)
        with said.open("rb") as file:
            output = file.read(OUTPUT).decode("utf-8", "replace")
        left = _left(folder, verb, needed.status)
        yield Run(name, verb, needed.seconds, needed.memory, needed.status, output, left)


def _left(folder: Path, verb: str, status: int) -> str:
    """What is wrong about the files that a run left; it takes them away."""
    made = list((folder / "out").iterdir())
    other = [*(folder / "tmp").iterdir(), *(folder / "state").iterdir()]
    left = f"leaves {other[0].name}" if other else ""
    if len(made) != (verb == "finish" and status == 0):
        left = left or f"leaves {len(made)} files"
    elif made and shutil.which("dpkg-deb"):
        left = left or _refused(made[0])
    for path in (*made, *other):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return left


def _refused(package: Path) -> str:
    """Why dpkg-deb does not read a package that finish has written; "" where it does."""
    for words in (["--info"], ["--fsys-tarfile"]):
        done = subprocess.run(
            ["dpkg-deb", *words, str(package)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            return f"dpkg-deb refuses what it made: {done.stderr.decode(errors='replace')[:200]!r}"
    return ""


def _names(wanted: list[str], every: bool) -> list[str]:
    """The cases that words of the command line name."""
    found: list[str] = []
    for word in wanted or [kind for _, kind in kinds()]:
        if word.endswith(".deb") or (word in CASES and wanted):
            found.append(word)
            continue
        cases = [names for (_, kind), names in kinds().items() if kind == word]
        if not cases:
            raise SystemExit(f"{word}: no kind and no case")
        found += cases[0] if every else cases[0][:1]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the verbs on hostile packages.")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cores", type=int, default=CORES, help="that the verbs believe to have")
    parser.add_argument("--every", action="store_true", help="all cases of a kind, not one")
    parser.add_argument("--faults", action="store_true", help="tell only faults")
    parser.add_argument("--list", action="store_true", help="tell the kinds, and run nothing")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.list:
        for (area, kind), names in kinds().items():
            print(f"{area:12} {kind:40} {len(names):4}")
        print(f"{len(kinds())} kinds, {len(CASES)} cases;", _areas())
        return 0
    names = _names(options.names, options.every)
    idle: SimpleQueue[Children] = SimpleQueue()
    for _ in range(options.jobs):
        idle.put(Children())

    def one(name: str) -> list[Run]:
        children = idle.get()
        try:
            with tempfile.TemporaryDirectory(prefix="limits-") as place:
                return list(measured(children, name, Path(place), options.cores))
        finally:
            idle.put(children)

    runs: list[Run] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for found in pool.map(one, names):
            runs += found
            for run in found:
                if run.fault or not options.faults:
                    print(run, flush=True)
    for _ in range(options.jobs):
        idle.get().close()
    faults = [run for run in runs if run.fault]
    longest, most = max(run.seconds for run in runs), max(run.memory for run in runs)
    print(f"{len(names)} packages, {len(runs)} runs, {len(faults)} faults;", end=" ")
    print(f"at most {longest:.1f} s and {most >> 10} MiB")
    return 1 if faults else 0


def _areas() -> str:
    return ", ".join(f"{area} {count}" for area, count in Counter(a for a, _ in kinds()).items())


if __name__ == "__main__":
    sys.exit(main())
