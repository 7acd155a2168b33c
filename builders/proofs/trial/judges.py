# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own judges on the finished packages: lintian(1) and piuparts(1) of the suite."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from builders.debkit.deb import Deb
from builders.debkit.deb.relations import related
from builders.errors import BuildError, Exit
from builders.pipeline import durations
from builders.proofs.trial import clean, jail
from builders.text import printable

if TYPE_CHECKING:
    from builders.ground.engine.step import Step
    from builders.pipeline.run import Run
    from builders.proofs.trial.clean import Supply

ERROR, WARNING, OVERRIDDEN = "error", "warning", "overridden"

_HOURS = 3  # for one way; a package that never ends is not waited for
# What piuparts does, and the options for it. The last one begins with the raw packages.
_WAYS = {
    "purge": "--install-purge-install --no-upgrade-test",
    "remove": "--install-remove-install --no-upgrade-test",
    "upgrade": "--no-install-purge-test",
}


@dataclass(frozen=True)
class Finding:
    """One thing that a judge has to say. severity: "error", "warning" or "overridden"."""

    judge: str
    severity: str
    package: str
    tag: str
    detail: str


@dataclass(frozen=True)
class Verdict:
    """What one judge found. seconds: wall time; log: its whole output."""

    judge: str
    version: str
    seconds: float
    findings: tuple[Finding, ...]
    log: Path

    def count(self, severity: str) -> int:
        """How many findings have that severity."""
        return sum(finding.severity == severity for finding in self.findings)


def check(run: Run, debs: Sequence[Path], raw: Sequence[Path]) -> list[Verdict]:
    """Every judge's verdict on `debs`; `raw` are what an upgrade to them begins with.

    BuildError where a judge could not do its work, whatever the packages are like.
    """
    clean.named([*debs, *raw])
    with durations.timed(run, "check", again=bool(raw)):
        clean.judge_image(run)
        supplied = clean.supply(run, [*debs, *raw], _groups(debs, raw))
        work = [partial(lintian, run, debs)]
        first, then = layers(debs)
        for way in ("purge", "remove"):
            work.append(partial(piuparts, run, way, first, raw, supplied))
            if then:
                work.append(partial(piuparts, run, way, then, first, supplied, "dependent"))
        if raw:
            work.append(partial(piuparts, run, "upgrade", debs, raw, supplied))
        return clean.together(run, work)


def layers(debs: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Those that depend on none of the others, and the rest.

    piuparts installs what packages depend on before it looks at anything, and has to find it in
    a repository: what lies there is not on trial.
    """
    controls = {deb: Deb.open(deb).control for deb in debs}
    names = {str(control["Package"]) for control in controls.values()}

    def inner(deb: Path) -> bool:
        needed = related(controls[deb], "Pre-Depends", "Depends").keys()
        return bool(needed & names - {str(controls[deb]["Package"])})

    then = [deb for deb in debs if inner(deb)]
    if len(then) == len(debs):  # in a circle
        return then, []
    return [deb for deb in debs if deb not in then], then


def lintian(run: Run, debs: Sequence[Path]) -> Verdict:
    """What lintian(1) of the suite says of the packages, as an ordinary user with no rights."""
    begun = time.monotonic()
    with clean.judge(run, "lintian", debs) as step:
        version = _version(step, "lintian")
        names = shlex.join(f"./{deb.name}" for deb in debs)
        # --fail-on came with 2.77; before, only errors made the status 1.
        for options in ("--tag-display-limit 0 --fail-on error,warning", ""):
            script = clean.shell("lintian", names, folder=clean.FOLDER, options=options)
            status, said = step.attempt("lintian", script)
            if "Unknown option" not in said:
                break
        found = tags(said)
        wrong = any(f.severity != OVERRIDDEN for f in found)
        # With --show-overrides the status is 2 for what is overridden too.
        meant = {0: True, 1: wrong, 2: bool(found)}
        if not meant.get(status, False) or _BROKEN.search(said):
            raise _crashed(step, "lintian", status)
        return Verdict("lintian", version, time.monotonic() - begun, tuple(found), step.log)


_TAG = re.compile(r"([EWO]): (\S+?)(?: (?:source|changes|buildinfo|udeb))?: (\S+)(?: (.*))?")
_SEVERITY = {"E": ERROR, "W": WARNING, "O": OVERRIDDEN}
# What lintian prints where one of its checks died; it goes on, and may exit with 0.
_BROKEN = re.compile(r"^(?:internal error|warning: cannot run|Can't locate .* in @INC)", re.M)


def tags(said: str) -> list[Finding]:
    """The tags in lintian's output, those that are overridden too."""
    found = []
    for line in said.splitlines():
        if match := _TAG.fullmatch(line.strip("\r")):
            letter, package, tag, detail = match.groups()
            found.append(
                Finding("lintian", _SEVERITY[letter], package, tag, printable(detail or ""))
            )
    return found


def piuparts(
    run: Run,
    way: str,
    debs: Sequence[Path],
    repository: Sequence[Path],
    supplied: Supply,
    part: str = "",
) -> Verdict:
    """What piuparts(1) of the suite says, as root of a user namespace (`jail`).

    way: "purge" (install, purge, install, purge), "remove" (install, remove, install, purge) or
    "upgrade" (install what the repository has of their names, upgrade, purge). supplied: what
    they need of the suite; part: sets one run of that way apart from another.
    """
    begun = time.monotonic()
    names = " ".join(name for name, _ in _versions(debs))
    script = _script(run, way, debs)
    with clean.judge(run, f"piuparts-{way}-{part}".rstrip("-"), debs, repository, supplied) as step:
        version = _version(step, "piuparts")
        status, said = step.attempt("piuparts", script)
        found = complaints(said, way, names)
        if status == 0 and not _PASSED.search(said):
            found.append(Finding("piuparts", ERROR, names, f"{way}: it was not tried", ""))
        # The jail's own failure is no fault of a package, and a package that plays it gets nothing.
        broken = any(f"(status={jail.FAILED})" in f.tag for f in found)
        if broken or (status != 0 and not any(f.severity == ERROR for f in found)):
            raise _crashed(step, "piuparts", status)
        judge = f"piuparts {way} {part}".rstrip()
        return Verdict(judge, version, time.monotonic() - begun, tuple(found), step.log)


def _script(run: Run, way: str, debs: Sequence[Path]) -> str:
    return clean.shell(
        "piuparts",
        shlex.join(f"{clean.FOLDER}/{deb.name}" for deb in debs),
        folder=clean.FOLDER,
        downloads=clean.DOWNLOADS,
        root=clean.PACKED,
        jail=clean.JAIL,
        trees=jail.TREES,
        size=f"{max(1, run.recipe.builder.memory // 2)}g",
        hours=str(_HOURS),
        suite=run.recipe.suite.name,
        options=_WAYS[way],
    )


def _groups(debs: Sequence[Path], raw: Sequence[Path]) -> list[list[str]]:
    groups = [[name for name, _ in _versions(debs)]]
    return [*groups, [f"{name}={version}" for name, version in _versions(raw)]] if raw else groups


# Not the last line, which stands there also where there was nothing to try.
_PASSED = re.compile(r"^\d+m[\d.]+s INFO: PASS: Installation", re.MULTILINE)
_RECORD = re.compile(r"\d+m[\d.]+s (ERROR|WARN|INFO|DEBUG|DUMP): ?(.*)")
_SHOWN = 12  # lines of one complaint


def complaints(said: str, way: str, packages: str) -> list[Finding]:
    """The errors and warnings in piuparts' output; what it lists below each is the detail."""
    records: list[tuple[str, list[str]]] = []
    for line in said.split("\n"):  # no other end of a line is piuparts' own
        match = _RECORD.match(line)
        if match:
            records.append((match[1], [match[2]]))
        elif records:
            records[-1][1].append(line)
    found = []
    for level, lines in records:
        if level not in ("ERROR", "WARN"):
            continue
        severity = ERROR if level == "ERROR" else WARNING
        listed = [printable(line).strip() for line in lines[1:] if line.strip()]
        # Of a command that failed its end tells; of a list its beginning.
        command = lines[0].startswith("Command failed")
        shown = listed[-_SHOWN:] if command else listed[:_SHOWN]
        more = [f"and {len(listed) - len(shown)} more"] if len(shown) < len(listed) else []
        what = lines[0].removeprefix("FAIL: ").rstrip(":. ")
        found.append(
            Finding("piuparts", severity, packages, f"{way}: {what}", "\n".join(shown + more))
        )
    return found


def _versions(debs: Sequence[Path]) -> list[tuple[str, str]]:
    controls = [Deb.open(deb).control for deb in debs]
    return [(str(control["Package"]), str(control["Version"])) for control in controls]


def _version(step: Step, tool: str) -> str:
    return step.output(f"dpkg-query --show --showformat='${{Version}}' {tool}").strip()


def _crashed(step: Step, tool: str, status: int) -> BuildError:
    from builders.ground.engine.step import excerpt

    return BuildError(
        f"{tool} could not do its work: it ended with status {status}",
        hint="the log has the whole of what it said",
        log=step.log,
        excerpt=excerpt(step.log),
        exit=Exit.STEP,
    )


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """1 where a judge has an error or a warning, else 0."""
    wrong = any(v.count(ERROR) or v.count(WARNING) for v in verdicts)
    return int(Exit.AUDIT if wrong else Exit.DONE)
