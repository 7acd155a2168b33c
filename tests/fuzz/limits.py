# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs need for hostile packages: memory and time of a child of its own for each.

    python -m tests.fuzz.limits [--jobs 2] [--every] [KIND, CASE or PACKAGE.deb...]

Without names: every kind, one case of each, or all cases with --every. A table of all runs is
printed; one that goes past a limit, or ends as no verb may end, is a fault, and makes the exit
status 1. --list tells the kinds instead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.fuzz.catalogue import CASES, kinds
from tests.fuzz.child import Children
from tests.fuzz.kinds import LIMIT
from tests.fuzz.runs import OUTPUT, RULES, Run, left, verbs
from tests.unit import debs

CORES = 16  # that the children believe to have: what is done side by side takes memory


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
        wrong = left(folder, verb, needed.status)
        yield Run(name, verb, needed.seconds, needed.memory, needed.status, output, wrong)


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
