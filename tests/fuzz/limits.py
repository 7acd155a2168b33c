# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs need for hostile packages: memory and time of a child of its own for each.

    python -m tests.fuzz.limits [--jobs 2] [NAME or PACKAGE.deb...]

Names are those of `products.PRODUCTS` and `hostile.HOSTILE`, all of them where none is given. A
run is told where it goes past a limit, or ends as no verb may end.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from builders import ROOT
from tests.fuzz.hostile import HOSTILE
from tests.fuzz.products import LIMIT, PRODUCTS

SECONDS = 20  # of processor time: a box may have other work
MEMORY = 256 << 10  # KiB of resident memory
OUTPUT = 8 << 20  # bytes that are printed
_ENDS = (0, 1, 2)  # exit statuses; 70 is a defect
_HANG = 120  # seconds after which a child is killed
_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from builders.program import main; main()"
)


@dataclass(frozen=True)
class Run:
    """One verb on one package. seconds: of processor time. memory: KiB. output: what it printed."""

    name: str
    verb: str
    seconds: float
    memory: int
    status: int
    output: str

    @property
    def fault(self) -> str:
        """What goes past a limit, "" where nothing does."""
        faults = []
        if self.seconds > SECONDS:
            faults.append(f"{self.seconds:.1f} s")
        if self.memory > MEMORY:
            faults.append(f"{self.memory >> 10} MiB")
        if self.status not in _ENDS or "Traceback" in self.output:
            faults.append(f"exit status {self.status}")
        if len(self.output) >= OUTPUT:
            faults.append("prints without end")
        return ", ".join(faults)

    def __str__(self) -> str:
        words = f"{self.name:40} {self.verb:8} {self.seconds:5.1f} s {self.memory >> 10:5} MiB"
        return f"{words}  {self.fault and f'FAULT: {self.fault}'}"


def verbs(package: Path, rules: Path, out: Path) -> dict[str, list[str]]:
    """The command lines that read a package of somebody else."""
    return {
        "inspect": ["inspect", str(package)],
        "finish": ["finish", str(package), f"--rules={rules}", f"--out={out}"],
        "diff": ["inspect", "--diff", str(package), str(package)],
    }


def run(name: str, verb: str, words: list[str], folder: Path) -> Run:
    """One verb in a child of its own, as ./inv runs it."""
    said = folder / f"{verb}.out"
    command = [sys.executable, "-I", "-c", _START, str(ROOT), *words]
    with said.open("wb") as out:
        pid = os.posix_spawn(
            command[0],
            command,
            {**os.environ, "DOM0_DEBS_SETUP": "no"},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, out.fileno(), 2),
            ],
        )
    timer = threading.Timer(_HANG, os.kill, (pid, signal.SIGKILL))
    timer.start()
    _, status, usage = os.wait4(pid, 0)
    timer.cancel()
    with said.open("rb") as file:
        output = file.read(OUTPUT).decode("utf-8", "replace")
    seconds = usage.ru_utime + usage.ru_stime
    return Run(name, verb, seconds, usage.ru_maxrss, os.waitstatus_to_exitcode(status), output)


def measured(package: Path, folder: Path) -> Iterator[Run]:
    """Every verb on one package. folder: an empty one, for what is written."""
    rules = folder / "rules.toml"
    rules.write_text('revision = "+own.1"\n')
    for verb, words in verbs(package, rules, folder / "out").items():
        yield run(package.stem, verb, words, folder)


def of(name: str) -> list[Run]:
    """Every verb on the package of that name, or at that path."""
    with tempfile.TemporaryDirectory(prefix="limits-") as place:
        folder = Path(place)
        package = Path(name)
        if not name.endswith(".deb"):
            data = (PRODUCTS.get(name) or HOSTILE[name])()
            assert len(data) <= LIMIT, f"{name}: {len(data)} bytes"
            package = folder / f"{name}.deb"
            package.write_bytes(data)
        return list(measured(package, folder))


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the verbs on hostile packages.")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="tell every run, not only faults")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    names = options.names or [*PRODUCTS, *HOSTILE]
    count = faults = 0
    most, longest = 0, 0.0
    with ThreadPoolExecutor(options.jobs) as pool:
        for runs in pool.map(of, names):
            for each in runs:
                count += 1
                faults += bool(each.fault)
                most, longest = max(most, each.memory), max(longest, each.seconds)
                if each.fault or options.all:
                    print(each, flush=True)
    print(f"{len(names)} packages, {count} runs, {faults} past a limit;", end=" ")
    print(f"at most {longest:.1f} s and {most >> 10} MiB")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
