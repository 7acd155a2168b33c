# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages and source packages of the suite, fetched by its own apt, which verifies them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from debian.debian_support import Version

from builders.errors import BuildError, Exit
from builders.recipe import DebianPackage, DebianSource, Pooled
from builders.run import Run
from builders.sources.fetching import DebianResult
from builders.steps.step import Step
from builders.suite import image, mirror

_VERSION = re.compile(r"([0-9]+:)?[0-9][A-Za-z0-9.+~-]*")  # deb-version(7)


class SuiteFetcher:
    """Fetches in a container made from the suite's clean root."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def fetch(
        self, sources: Sequence[DebianSource | DebianPackage], into: Path
    ) -> Mapping[str, DebianResult]:
        """Download each source to `into`/NAME; what came, by the source's name."""
        suite = self._run.recipe.suite
        root = image.clean_root(self._run)
        results: dict[str, DebianResult] = {}
        with Step(self._run, "apt", root, network=True, root=True) as step:
            listing = mirror.sources_list(suite, mirror.of(suite)).encode()
            step.container.put("/etc/apt", [("sources.list", listing)])
            image.update(self._run, step)
            for source in sources:
                there = _admitted(source, step.output(_madison(source)), suite.name)
                results[source.name] = self._download(step, source, there, into / source.name)
        return results

    def _download(
        self, step: Step, source: DebianSource | DebianPackage, versions: list[str], target: Path
    ) -> DebianResult:
        """The newest version that the mirror really has: its index may run ahead of its pool."""
        folder = f"/tmp/{source.name}"  # noqa: S108 - in the container
        tries = [(version, _download(source, version)) for version in versions]
        pooled = _pooled(source)
        if pooled and pooled.version not in versions:
            main = mirror.of(self._run.recipe.suite).main
            tries.append((pooled.version, _from_pool(pooled, main)))
        for n, (version, command) in enumerate(tries, 1):
            try:
                step.phase(
                    f"download {source.package}",
                    f"rm -rf {folder}\nmkdir {folder}\ncd {folder}\n{command}\nchmod 644 *",
                    hint="the mirror lists a file that it does not have, or the connection broke: "
                    f"try again, or name another one ({mirror.MAIN}, {mirror.SECURITY})",
                )
                break
            except BuildError as error:
                if error.exit is not Exit.STEP:  # the engine, not the mirror
                    raise
                error.exit = Exit.SOURCE
                if not tries[n:] or not _missing(step.log, source.package):
                    raise
                other = tries[n][0]
                what = "the next older one" if other in versions else "what the recipe pins"
                self._run.reporter.line(
                    f"{source.name}: the mirror lists {source.package} {version} and can't serve "
                    f"it: taking {what}, {other}"
                )
        target.mkdir(parents=True)
        return DebianResult(version, tuple(step.fetch(folder, target)))


def _missing(log: Path, package: str) -> bool:
    """Whether the download that has just failed did so only as the mirror has no such file.

    A file of another content than its list states is no reason to take an older version.
    """
    said = log.read_text(encoding="utf-8", errors="replace")
    said = said.rpartition(f"### download {package}\n")[2]
    return "404  Not Found" in said and "Hash Sum mismatch" not in said


def _madison(source: DebianSource | DebianPackage) -> str:
    return f"apt-cache madison '{source.package}'"


def _download(source: DebianSource | DebianPackage, version: str) -> str:
    # Downloads as root: the sandbox user can't write to a folder of root's.
    if isinstance(source, DebianSource):
        # The upstream tarball is all that is used, and the signed index has its digest.
        return (
            "apt-get -o APT::Sandbox::User=root source --download-only --only-source --tar-only "
            f"'{source.package}={version}'"
        )
    return f"apt-get -o APT::Sandbox::User=root download '{source.package}={version}'"


def _from_pool(pooled: Pooled, main: str) -> str:
    # What apt does with an address and a digest out of its lists.
    return (
        "/usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "
        f"'{main}/{pooled.path}' '{pooled.path.rpartition('/')[2]}' 'SHA256:{pooled.sha256}'"
    )


def _pooled(source: DebianSource | DebianPackage) -> Pooled | None:
    """The version beside the listed ones, where the pin admits it."""
    found = source.pooled if isinstance(source, DebianSource) else None
    return found if found and _admits(source, found.version) else None


def _admits(source: DebianSource | DebianPackage, version: str) -> bool:
    return version == source.version or fnmatch.fnmatchcase(version, source.version)


def _admitted(source: DebianSource | DebianPackage, madison: str, suite: str) -> list[str]:
    """The versions that the pin admits, newest first, from what apt-cache(8) madison lists."""
    wanted = "Sources" if isinstance(source, DebianSource) else "Packages"
    there: set[str] = set()
    for line in madison.splitlines():
        columns = [column.strip() for column in line.split("|")]
        if len(columns) != 3 or columns[0] != source.package or not columns[2].endswith(wanted):
            continue
        if _VERSION.fullmatch(columns[1]):
            there.add(columns[1])
    if not there:
        raise BuildError(
            f"sources.{source.name}: {suite} has no package {source.package}",
            hint=f"correct sources.{source.name}.package, or suite.components",
            exit=Exit.SOURCE,
        )
    admitted = [version for version in there if _admits(source, version)]
    if not admitted and not _pooled(source):
        has = ", ".join(sorted(there, key=Version))
        raise BuildError(
            f"sources.{source.name}: {suite} no longer has {source.package} {source.version}: "
            f"it has {has}",
            hint=f"--set sources.{source.name}.version=..., or name a mirror that keeps old ones "
            "(--set suite.mirror=...)",
            exit=Exit.SOURCE,
        )
    return sorted(admitted, key=Version, reverse=True)
