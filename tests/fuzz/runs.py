# SPDX-License-Identifier: GPL-2.0-or-later
"""One verb on one package of a stranger: what it may need, how it may end, what it may leave."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from builders.text import plain

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
    def refusal(self) -> str:
        """Why the verb could not take the package; "" where it could."""
        if self.verb == "inspect":
            unread = re.search(
                r"\b(unreadable|path-traversal|duplicate-member)\s+(.*)", self.output
            )
            return unread[2] if unread else ""
        if self.status != 2:
            return ""
        return re.sub(r"^error: (/[^ ]*: )?", "", self.output.partition("\n")[0])

    @property
    def outcome(self) -> str:
        """How it ended, in a few words."""
        if self.fault:
            return f"FAULT: {self.fault}"
        if self.refusal:
            return f"refused: {self.refusal}"[:60]
        return "findings" if self.status else "done"

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


def left(folder: Path, verb: str, status: int, *, judged: bool = True) -> str:
    """What is wrong about the files that a run left; it takes them away.

    folder: the one of `verbs`, with the folders out, tmp and state that the run had.
    judged: dpkg-deb reads what was made, where it is installed.
    """
    made = list((folder / "out").iterdir())
    other = [*(folder / "tmp").iterdir(), *(folder / "state").iterdir()]
    wrong = f"leaves {other[0].name}" if other else ""
    if len(made) != (verb == "finish" and status == 0):
        wrong = wrong or f"leaves {len(made)} files"
    elif made and judged and shutil.which("dpkg-deb"):
        wrong = wrong or _refused(made[0])
    for path in (*made, *other):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return wrong


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
