# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit itself: every rule applied to a package, and what a path names."""

from __future__ import annotations

import contextlib
import filecmp
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import builders.debkit.audit.rules  # noqa: F401  # registers them
from builders.debkit import codecs
from builders.debkit.audit.expectations import Expectations
from builders.debkit.audit.facts import Facts, gather
from builders.debkit.audit.model import RULES, Finding, Found, Needs, Report
from builders.debkit.audit.rules.package import PROBLEMS
from builders.debkit.deb import Deb, DebError
from builders.errors import BuildError, Exit
from builders.text import cut, printable


def audit_all(
    paths: Sequence[Path], expectations: Expectations | None = None, *, fast: bool = False
) -> list[Report]:
    """`audit` for several packages, side by side; the reports in the order of `paths`."""
    workers = min(len(paths), codecs.cores(), _WORKERS)
    if workers < 2 or sum(path.stat().st_size for path in paths) < _WORTH:
        return [audit(path, expectations, fast=fast) for path in paths]
    # Slow to import, and not needed for one package.
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    largest = sorted(range(len(paths)), key=lambda n: -paths[n].stat().st_size)
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, context, _begin, (expectations, fast)) as pool:
        try:
            running = {n: pool.submit(_one, paths[n]) for n in largest}
            return [running[n].result() for n in range(len(paths))]
        except BrokenProcessPool:
            raise BuildError(
                "a worker of the audit was killed",
                hint="look for what kills processes (dmesg: out of memory), or name fewer packages",
                exit=Exit.ENGINE,
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_WORKERS = 4
_WORTH = 4 << 20  # bytes that are worth a process


def _begin(expectations: Expectations | None, fast: bool) -> None:
    """In a worker: what all packages are held to, handed on by fork and not copied."""
    global _shared
    _shared = (expectations, fast)
    # The parent says that it was interrupted.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    # A worker whose parent was killed would wait for work for ever (PR_SET_PDEATHSIG, prctl(2)).
    import ctypes  # slow to import

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


_shared: tuple[Expectations | None, bool] = (None, False)


def _one(path: Path) -> Report:
    return audit(path, _shared[0], fast=_shared[1])


_TOLD = 1000  # findings of one rule: a hostile package could have millions
_MESSAGE, _LINE = 600, 4096  # characters of a message and of a path
_FIELD = 256  # characters of a name or version in a report


def audit(path: Path, expectations: Expectations | None = None, *, fast: bool = False) -> Report:
    """Apply every rule to the package `path`. A package that cannot be read is a finding.

    fast: only the rules that need no contents of files: names, modes and fields.
    """
    findings: list[Finding] = []
    facts: Facts | None = None
    known: tuple[Needs, ...] = (Needs.CONTROL,)
    try:
        package = Deb.open(path)
        facts = Facts.of(package, expectations or Expectations())
        gather(package, facts, contents=not fast)
        known = (Needs.CONTROL, Needs.MEMBERS) if fast else tuple(Needs)
    except BuildError as error:
        name = (
            PROBLEMS.get(error.kind, "unreadable") if isinstance(error, DebError) else "unreadable"
        )
        message = error.message.removeprefix(f"{path}: ")
        findings.append(Finding(name, RULES[name].severity, printable(message)))
    if facts is None:
        return Report(path, "", "", "", tuple(findings))
    for each in RULES.values():
        if each.needs in known:
            for told, found in enumerate(each.check(facts), 1):
                if told > _TOLD:
                    found = Found(f"there are more than {_TOLD} of them: the rest is not told")
                findings.append(
                    Finding(
                        each.name,
                        found.severity or each.severity,
                        printable(cut(found.message, _MESSAGE)),
                        printable(cut(found.subject, _LINE)),
                    )
                )
                if told > _TOLD:
                    break
    package_name, version, architecture = (
        printable(facts.control.get(name, "")[:_FIELD])
        for name in ("Package", "Version", "Architecture")
    )
    return Report(path, package_name, version, architecture, tuple(findings))


def expand(paths: Sequence[Path]) -> list[Path]:
    """The .debs that `paths` name: files as they are, folders for all .debs below them, once each.

    What a build keeps of its stages is passed over, unless that very folder is named. Of files
    below one folder that are the same, as a release has those of a build, one counts: the nearest.
    Raises BuildError for a path that is not there and for a folder without any.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(
                p
                for p in path.rglob("*.deb")
                if p.is_file() and (p.parent == path or not (p.parent / "stage.json").exists())
            )
            if not inside:
                os.scandir(path).close()  # an OSError where this user may not look into it
                raise BuildError(f"{path}: no .deb in it", hint="name a folder with packages")
            found.update(dict.fromkeys(sorted(_distinct(inside))))
        elif path.exists():
            found[path] = None
        else:
            raise BuildError(f"{path}: no such file", hint="name a .deb or a folder with .debs")
    return list(found)


def _distinct(paths: Sequence[Path]) -> Iterator[Path]:
    """Each file once, whatever names and copies it has."""
    inodes: set[tuple[int, int]] = set()
    sizes: dict[int, list[Path]] = {}
    for path in sorted(paths, key=lambda p: (len(p.parts), p)):
        state = path.stat()
        if (state.st_dev, state.st_ino) in inodes:
            continue
        inodes.add((state.st_dev, state.st_ino))
        alike = sizes.setdefault(state.st_size, [])
        if not any(filecmp.cmp(path, other, shallow=False) for other in alike):
            alike.append(path)
            yield path
