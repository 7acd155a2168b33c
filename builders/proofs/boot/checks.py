# SPDX-License-Identifier: GPL-2.0-or-later
"""What the proof asserts of a console: the answers that dom0 gives between marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from builders.errors import BuildError
from builders.proofs.boot.parts import Parts
from builders.proofs.boot.qemu import DRIVER, HIDDEN, Console
from builders.text import nearest

BACKEND = "CONFIG_XEN_PCIDEV_BACKEND"


@dataclass(frozen=True)
class Check:
    """One thing that was asserted: whether it holds, and what was seen."""

    name: str
    good: bool
    seen: str


@dataclass(frozen=True)
class Boot:
    """One boot: its checks, how long it took in seconds, and its whole console.

    wanted: names of the checks that must fail; a negative control has some.
    """

    name: str
    checks: tuple[Check, ...]
    seconds: float
    log: Path
    wanted: frozenset[str] = field(default_factory=frozenset)

    @property
    def good(self) -> bool:
        """Whether all hold that should, and just those fail that must."""
        return {check.name for check in self.checks if not check.good} == self.wanted


def only(boots: Sequence[Boot], words: Sequence[str]) -> list[Boot]:
    """The boots with just those checks that have one of these words in their name; all without.

    BuildError (USAGE) where a word is in none.
    """
    if not words:
        return list(boots)
    names = sorted({check.name for boot in boots for check in boot.checks})
    for word in words:
        if not any(word in name for name in names):
            raise BuildError(
                f"--check {word}: no check has that in its name" + nearest(word, names),
                hint=f"there are: {', '.join(names)}",
            )
    return [
        replace(
            boot,
            checks=tuple(c for c in boot.checks if any(word in c.name for word in words)),
            wanted=frozenset(n for n in boot.wanted if any(word in n for word in words)),
        )
        for boot in boots
    ]


@dataclass(frozen=True)
class Answer:
    """What one command in dom0 said, and its status."""

    status: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.lines).strip()


def answers(lines: Sequence[str]) -> dict[str, Answer]:
    """The answers between the marks, by name; one that has no end is left out.

    A line of the hypervisor may come between the lines of dom0: it is no part of an answer.
    """
    found: dict[str, Answer] = {}
    name: str | None = None
    said: list[str] = []
    for line in lines:
        if match := re.search(r"@@begin (\S+)$", line):
            name, said = match[1], []
        elif (match := re.search(r"@@end (\S+) (\d+)$", line)) and name == match[1]:
            found[match[1]] = Answer(int(match[2]), tuple(said))
            name = None
        elif name and not line.startswith("(XEN)"):
            said.append(line)
    return found


def _running(info: Answer) -> str:
    """The version of Xen in what `xl info` says; empty where there is none."""
    parts = re.findall(r"xen_(version|major|minor|extra) +: (\S+)", "\n".join(info.lines))
    told: dict[str, str] = dict(parts)
    if "major" in told and "minor" in told and "version" not in told:  # xl of Xen 4.2
        return f"{told['major']}.{told['minor']}{told.get('extra', '')}"
    return told.get("version", "")


def checks(console: Console, parts: Parts, cards: Sequence[str] = (HIDDEN,)) -> tuple[Check, ...]:
    """What the proof asserts of a console. cards: addresses of those that are to be hidden."""
    said = answers(console.lines)

    def answer(name: str) -> Answer:
        return said.get(name, Answer(-1, ("no answer",)))

    banner = next((x for x in console.lines if "Xen version " in x), "no banner")
    version = re.search(r"Xen version (\S+)", banner)
    info, listed = answer("info"), answer("list")
    running = _running(info)
    assignable, hidden, other = answer("assignable"), answer("hidden"), answer("other")
    off = "@@off" in console.lines and console.status == 0 and not console.why
    made = [
        Check(
            "hypervisor",
            bool(version) and version[1] == parts.version if version else False,
            banner.removeprefix("(XEN)").strip()[:60],
        ),
        Check("dom0", answer("uname").text == parts.release, answer("uname").text),
        Check(
            "xl info",
            info.status == 0 and bool(running),
            running or info.text[:60],
        ),
        Check(
            "xl list",
            listed.status == 0 and "Domain-0" in listed.text,
            next((x for x in listed.lines if "Domain-0" in x), listed.text)[:60],
        ),
        Check("kernel option", answer("option").text == f"{BACKEND}=y", answer("option").text),
        Check(
            "hidden card is assignable",
            assignable.status == 0 and set(cards) <= set(assignable.text.split()),
            assignable.text[:60] or "none is",
        ),
        Check("hidden card's driver", hidden.text.split() == ["pciback"] * len(cards), hidden.text),
        Check("other card's driver", other.text == DRIVER, other.text),
        Check("power-off", off, "clean" if off else console.why or f"status {console.status}"),
    ]
    if parts.drivers:
        names = " ".join(module.name for module in parts.drivers)
        names += ", all signed, as the kernel was told to ask for" if parts.signed else ""
        made.insert(2, Check("modules are loaded", answer("modules").status == 0, names))
    return tuple(made)
