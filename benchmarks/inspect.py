# SPDX-License-Identifier: GPL-2.0-or-later
"""The auditor's speed: inspect against lintian of the suite, and against dpkg-deb -I plus -c.

    python -m benchmarks.inspect [PACKAGE.deb...] [--recipe NAME] [--runs N]

Without a package: what the recipe built (its raw and its finished Xen), and the full kernel of the
box's own suite, downloaded by apt. lintian runs in a container of the recipe's suite on the same
machine; its time is taken inside, without the container's start. Ours is told twice: the whole
command, ./inv with Python's start and all, and the audit alone, in this process. The tools take
turns. The largest memory of the command is told too.

lintian judges with all of its tags; the fast rules are those that need no contents of files.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.machine import Row, show
from builders import ROOT
from builders.debkit.audit import audit
from builders.debkit.deb import Deb
from builders.errors import BuildError
from builders.ground.engine.step import Step
from builders.pipeline import run
from builders.progress import Silent
from builders.proofs.trial import clean
from builders.verbs import builds

RECIPE = "xen-4.17-bookworm"
LINTIAN_GOAL, DPKG_GOAL = 0.03, 2.0
KERNEL = "linux-image-amd64"  # depends on the one with the files

_LINTIAN = """
cd {folder}
a=$(date +%s.%N)
lintian --no-cfg --color never --tag-display-limit 0 ./{name} >/dev/null || test $? -le 2
b=$(date +%s.%N)
echo "TOOK $a $b"
"""


def measure(packages: Sequence[Path], recipe: str, runs: int) -> tuple[list[Row], dict[str, float]]:
    """Rows for each package, and the peak MiB of `inspect` by what to call it.

    A package that cannot be read ends the benchmark.
    """
    it = builds.begin(recipe, [], Silent())
    rows: list[Row] = []
    peaks: dict[str, float] = {}
    with it.alone():
        clean.judge_image(it)
        for path in packages:
            Deb.open(path)
            rows += _rows(it, path, runs)
            peaks[f"peak MiB of inspect {_name(path)}"] = _peak(path)
    return rows, peaks


def _rows(it: run.Run, path: Path, runs: int) -> list[Row]:
    command: dict[str, list[float]] = {"whole": [], "fast": []}
    alone: dict[str, list[float]] = {"whole": [], "fast": []}
    lintian, dpkg = [], []
    with clean.judge(it, "lintian", [path]) as step:
        for _ in range(runs):
            lintian.append(_lintian(step, path))
            dpkg.append(_seconds(lambda: _dpkg(path)))
            for name, options in (("whole", []), ("fast", ["--fast"])):
                command[name].append(_seconds(lambda o=options: _inspect(path, o)))  # type: ignore[misc]
                fast = name == "fast"
                alone[name].append(_seconds(lambda f=fast: audit(path, fast=f)))  # type: ignore[misc]
    return [
        Row(f"inspect {_name(path)} : lintian", command["whole"], lintian, LINTIAN_GOAL),
        Row("  the audit alone : lintian", alone["whole"], lintian, LINTIAN_GOAL),
        Row("  inspect --fast : dpkg-deb -I, -c", command["fast"], dpkg, DPKG_GOAL),
        Row("  the audit alone : dpkg-deb -I, -c", alone["fast"], dpkg, DPKG_GOAL),
    ]


def _name(path: Path) -> str:
    return f"{path.stem.partition('_')[0][:24]} ({path.stat().st_size >> 20} MiB)"


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _lintian(step: Step, path: Path) -> float:
    status, said = step.attempt("lintian", _LINTIAN.format(folder=clean.FOLDER, name=path.name))
    match = re.search(r"TOOK ([0-9.]+) ([0-9.]+)", said)
    if status or not match:
        raise BuildError(f"lintian ended with {status} on {path.name}")
    return float(match[2]) - float(match[1])


def _dpkg(path: Path) -> None:
    for option in ("-I", "-c"):
        subprocess.run(["dpkg-deb", option, str(path)], check=True, stdout=subprocess.DEVNULL)


def _inspect(path: Path, options: Sequence[str]) -> None:
    command = [str(ROOT / "inv"), "inspect", *options, str(path.absolute())]
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    if done.returncode not in (0, 1):
        raise BuildError(f"inspect ended with {done.returncode} on {path.name}")


_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _peak(path: Path) -> int:
    """MiB of memory that the command takes at most, asked for by a small process.

    A process begins with the peak of the one that started it (getrusage(2)), and this one is large.
    """
    command = [sys.executable, "-c", _PEAK, str(ROOT / "inv"), "inspect", str(path.absolute())]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout) >> 10


def _ours(recipe: str) -> list[Path]:
    """The raw and the finished Xen package."""
    folder = run.artifacts() / recipe
    raw = sorted(folder.glob("stages/xen-build/*/*.deb"), key=lambda p: p.stat().st_mtime)
    found = [*raw[-1:], *sorted(folder.glob("xen-*.deb"))[:1]]
    if not found:
        raise BuildError(f"{folder} has no packages", hint=f"./inv build-xen --recipe {recipe}")
    return found


def _kernel(folder: Path) -> Path:
    """The full kernel of the box's suite, as apt downloads it."""
    shown = _apt("apt-cache", "depends", "--important", KERNEL)
    match = re.search(r"Depends: (linux-image-\S+)", shown)
    if not match:
        raise BuildError(f"apt knows no {KERNEL}", hint="name a package to measure")
    subprocess.run(
        ["apt-get", "download", "--quiet=2", "-o", "APT::Sandbox::User=root", match[1]],
        check=True,
        cwd=folder,
    )
    return next(folder.glob("linux-image-*.deb"))


def _apt(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packages", nargs="*", type=Path)
    parser.add_argument("--recipe", default=RECIPE)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="inspect-") as name:
        packages = options.packages or [*_ours(options.recipe), _kernel(Path(name))]
        rows, peaks = measure(packages, options.recipe, options.runs)
    show(rows, **peaks, load=round(os.getloadavg()[0], 1))


if __name__ == "__main__":
    main()
