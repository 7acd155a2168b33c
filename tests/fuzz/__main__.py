# SPDX-License-Identifier: GPL-2.0-or-later
"""The fuzzer: breaks packages at random, and looks whether anything but an error comes of it.

    python -m tests.fuzz --minutes 60 [--seed N] [--keep FOLDER]

A traceback, a run of more than 20 s, and output with a control character are failures. Each is
kept in the folder, under the name of its target, and can be tried again:

    python -m tests.fuzz --again FOLDER/audit-0123456789ab.deb

With --count the verbs themselves run instead, as `mutants` has it:

    python -m tests.fuzz --count 200000 [--seed N] [--start N] [--jobs N]
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import mutants, mutate, seeds
from tests.fuzz.targets import TARGETS, compared_with, survive

_LONG = 20  # seconds for one package and target


def main() -> int:
    parser = argparse.ArgumentParser(description="Break packages at random.")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--again", type=Path, help="run one package that was kept")
    parser.add_argument("--count", type=int, help="run the verbs on so many packages of the seed")
    parser.add_argument("--start", type=int, default=0, help="at this package of the seed")
    parser.add_argument("--jobs", type=int, default=0, help="processes (default: as cores)")
    options = parser.parse_args()
    if options.count:
        return _verbs(options)
    options.seed = int(time.time()) if options.seed is None else options.seed
    faulthandler.enable()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        corpus = seeds.make(folder)
        targets = {**TARGETS, "difference": compared_with(corpus[0])}
        if options.again:
            for target in targets.values():
                survive(target, options.again)
            return 0
        return _run(options, folder, corpus, targets)


def _verbs(options: argparse.Namespace) -> int:
    """Tell each failure, and in the end what became of all."""
    begun, all_of_them = time.monotonic(), mutants.Tally()
    seed = mutants.SEED if options.seed is None else options.seed
    for tally in mutants.run(seed, options.start, options.count, options.jobs):
        all_of_them.add(tally)
        for failure in tally.failures:
            print(f"FAILED {failure}", flush=True)
    print(all_of_them)
    print(f"seed {seed}, from {options.start}, in {time.monotonic() - begun:.0f} s")
    return 1 if all_of_them.failures else 0


def _run(
    options: argparse.Namespace,
    folder: Path,
    corpus: list[Path],
    targets: dict[str, Callable[[Path], None]],
) -> int:
    rng = random.Random(options.seed)  # noqa: S311  # nothing is secret
    data = [path.read_bytes() for path in corpus]
    print(f"seed {options.seed}, {len(data)} packages, {len(targets)} targets", flush=True)
    tried: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    seen: set[str] = set()
    signal.signal(signal.SIGALRM, _too_long)
    begun = told = time.monotonic()
    path, text = folder / "case.deb", folder / "control"
    while time.monotonic() - begun < options.minutes * 60:
        case = mutate.mutated(rng.choice(data), rng)
        path.write_bytes(case)
        text.write_bytes(mutate.broken(seeds.CONTROL.encode(), rng))
        for name in rng.sample(sorted(targets), 3):
            tried[name] += 1
            it = text if name == "control" else path
            signal.alarm(_LONG)
            try:
                refused[name] += bool(survive(targets[name], it))
            except Exception:
                place = _place()
                if place not in seen:
                    seen.add(place)
                    kept = _keep(options.keep, name, it.read_bytes())
                    print(f"FAILED {kept}\n{traceback.format_exc()}", flush=True)
            finally:
                signal.alarm(0)
        if time.monotonic() - told > 60:
            told = time.monotonic()
            print(_summary(tried, refused, seen), flush=True)
    print(_summary(tried, refused, seen), flush=True)
    return 1 if seen else 0


def _too_long(_number: int, _frame: object) -> None:
    raise TimeoutError(f"more than {_LONG} s")


def _place() -> str:
    """The kind of an exception and the last line of ours that it passed."""
    kind, _, trace = sys.exc_info()
    frames = traceback.extract_tb(trace)
    ours = [f for f in frames if "site-packages" not in f.filename]
    assert kind
    return f"{kind.__name__} {ours[-1].filename}:{ours[-1].lineno}"


def _keep(folder: Path, name: str, case: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.blake2b(case, digest_size=6).hexdigest()
    kept = folder / f"{name}-{digest}.deb"
    kept.write_bytes(case)
    return kept


def _summary(tried: Counter[str], refused: Counter[str], seen: set[str]) -> str:
    parts = [f"{name} {tried[name]} ({refused[name]} refused)" for name in sorted(tried)]
    return f"{sum(tried.values())} runs, {len(seen)} failures: {', '.join(parts)}"


if __name__ == "__main__":
    sys.exit(main())
