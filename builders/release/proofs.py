# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot proofs that a release includes: those of its own packages, by their digests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from builders.pipeline.recipe import TARGETS
from builders.proofs.boot import proof
from builders.proofs.boot.proof import Proof
from builders.release.facts import Build

FOLDER = "proofs"


def of(builds: Iterable[Build], logs: Path) -> tuple[list[Proof], list[str]]:
    """The good proofs in `logs` of the builds' packages; a line for each build that has none."""
    builds = list(builds)
    proofs = list(proof.found(logs))
    digests = {name: sha for build in builds for name, sha in build.digests.items()}
    ours = [p for p in proofs if _within(p.packages, digests)]
    good = [p for p in ours if p.good]
    booted = {name for p in good if not p.must_fail for name in p.packages}
    missing = []
    for build in builds:
        if booted.isdisjoint(build.digests):
            missing.append(f"a boot of {build.target}: {_why(build, proofs, ours)}")
    return good, missing


def _why(build: Build, proofs: Sequence[Proof], ours: Sequence[Proof]) -> str:
    for target in TARGETS:
        if target not in build.recipe.targets:
            return f"the recipe has no {target}, and a boot takes both"
    if any(not p.good and set(p.packages) & set(build.digests) for p in ours):
        return "it failed"
    if any(set(p.packages) & set(build.digests) for p in proofs):
        return "what was booted was not these very packages"
    return "it was not booted (./inv boot-test)"


def place(one: Proof) -> str:
    """The folder of a proof in a release: one for each pair of packages that were booted."""
    return f"{FOLDER}/{'_'.join(name.removesuffix('.deb') for name in sorted(one.packages))}"


def kept(folder: Path, packages: Mapping[str, str]) -> list[Proof]:
    """The proofs of the release in `folder` whose packages are all among `packages`."""
    proofs = (p for below in sorted(folder.glob(f"{FOLDER}/*/")) for p in proof.found(below))
    return [p for p in proofs if _within(p.packages, packages)]


def _within(some: Mapping[str, str], all_: Mapping[str, str]) -> bool:
    return bool(some) and all(all_.get(name) == sha for name, sha in some.items())
