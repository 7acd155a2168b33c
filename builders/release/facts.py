# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of each build that is released: its packages, and every input by digest.

The manifest names the finished stage of each build and the build, whose record names its image.
What the recipe says today is compared with those records, so that a release never tells of inputs
that the packages were not made from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builders import ROOT
from builders.debkit.deb import Deb
from builders.errors import BuildError, Exit
from builders.ground.sources.cache import Cache
from builders.ground.suite import mirror
from builders.pipeline import current, kernel, recipe, trees, xen
from builders.pipeline.artifacts import Target
from builders.pipeline.finishing import corrections_digest
from builders.pipeline.recipe import RECIPES, Recipe, Source
from builders.pipeline.record import (
    BuildRecord,
    FinishRecord,
    build_stage,
    epoch,
    finish_stage,
    image_records,
)
from builders.pipeline.stages import STAGES, Output, Store, changes
from builders.pipeline.supplies import digest_of


@dataclass(frozen=True)
class Packed:
    """A finished package: its file, size in bytes, digest, and its control fields."""

    path: Path
    size: int
    sha256: str
    control: Mapping[str, str]


@dataclass(frozen=True)
class Material:
    """A file that went into a build: bytes and sha256; size is None where nobody noted it."""

    name: str
    sha256: str
    size: int | None = None


@dataclass(frozen=True)
class Origin:
    """A source of the recipe as it was resolved; about: the recipe's entry."""

    name: str
    version: str
    files: tuple[Material, ...]
    about: Source


@dataclass(frozen=True)
class Installed:
    """A package of the builder image."""

    name: str
    version: str
    architecture: str


@dataclass(frozen=True)
class Build:
    """One build that is released.

    target: "xen" or "kernel-FLAVOUR". source, version: of its source package. epoch: its
    SOURCE_DATE_EPOCH. recipe_files: of the recipe, by path below the project. record: what it was
    made from. stages: the image, the build and the finishing.
    """

    recipe: Recipe
    target: str
    source: str
    version: str
    architecture: str
    packages: tuple[Packed, ...]
    epoch: int
    overrides: tuple[str, ...]
    origins: tuple[Origin, ...]
    recipe_files: tuple[Material, ...]
    record: BuildRecord
    image: str
    installed: tuple[Installed, ...]
    stages: tuple[Output, ...]

    @property
    def cached(self) -> bool:
        """Whether its compilers may have taken objects from ccache; so too where nobody noted."""
        return self.stages[1].notes.get("ccache") is not False

    @property
    def changed(self) -> tuple[str, ...]:
        """The trees and patches of somebody's own that it is from, each in words."""
        return trees.said(self.recipe, self.target.partition("-")[0])

    @property
    def digests(self) -> dict[str, str]:
        """File name -> sha256 of each package."""
        return {p.path.name: p.sha256 for p in self.packages}

    @property
    def base(self) -> str:
        """The stem of the names of this build's files: as in deb-buildinfo(5), without an epoch.

        The flavours of a kernel are one source package, so that theirs is named too.
        """
        version = self.version.partition(":")[2] or self.version
        _, dash, flavour = self.target.partition("-")
        return f"{self.source}{dash}{flavour}_{version}_{self.architecture}"

    @property
    def patches(self) -> tuple[Material, ...]:
        """The patches, in their order of name."""
        return _materials(self.record.plan.patches)

    @property
    def fragments(self) -> tuple[Material, ...]:
        """The files that the recipe adds to the tree, kernel fragments among them."""
        found = _materials(self.record.plan.files)
        if self.target != "xen" or self.recipe.xen is None:
            return found
        # Xen's lie in the step by number; in the tree they have the names that the recipe says.
        names = {f"files/{n}": path for n, path in enumerate(self.recipe.xen.files)}
        return tuple(dataclasses.replace(f, name=names.get(f.name, f.name)) for f in found)


def _materials(digests: Mapping[str, str]) -> tuple[Material, ...]:
    return tuple(Material(name, digest) for name, digest in sorted(digests.items()))


def collect(name: str, folder: Path, cache: Cache, flavour: str = "") -> list[Build]:
    """Every build that the manifest in `folder` names; of the kernels only `flavour` if given.

    name: of the recipe, or its file. Raises BuildError (usage) where nothing was built, a
    package is not what the manifest says or not in it, or the recipe has changed since.
    """
    targets = current.manifest(folder, name).targets
    listed = {file for target in targets.values() for file in target.packages}
    if flavour:
        targets = {n: targets[n] for n in current.choose(targets, flavour, name)}
    strange = sorted(p.name for p in folder.glob("*.deb") if p.name not in listed)
    if strange:
        raise BuildError(
            f"{folder} has packages that the manifest does not name: {', '.join(strange)}",
            hint="move them elsewhere: only what was built here is released",
        )
    return [_build(name, folder, cache, target, slot) for target, slot in sorted(targets.items())]


def _build(name: str, folder: Path, cache: Cache, target: str, slot: Target) -> Build:
    kind, _, flavour = target.partition("-")
    again = current.build_again(name, target, slot.overrides)
    loaded = recipe.load(name, slot.overrides)
    store = Store(folder / STAGES)
    finished = store.read(finish_stage(target), slot.stage)
    built = store.read(build_stage(target), slot.build)
    kept = image_records(store, built) if built else []
    if not finished or not built or not kept or FinishRecord.of(finished).raw != built.files:
        raise BuildError(
            f"the records of how {target} was built are gone or damaged",
            hint=f"what is missing of them is made again by: {again}",
        )
    image, built, finished = map(store.verified, (kept[0], built, finished))
    said = {file: about.sha256 for file, about in slot.packages.items()}
    plan = xen.describe(loaded) if kind == "xen" else kernel.describe(loaded, flavour)
    record = BuildRecord.of(built)
    if record.kept:
        raise BuildError(
            f"{target} was built in a kept tree, and has in it what earlier builds left there",
            hint=f"release --clean builds it in a clean tree first, or: {again}",
        )
    changed = changes(plan.record().inputs(), record.plan.inputs())
    if FinishRecord.of(finished).corrections != corrections_digest(loaded, kind):
        changed.append("corrections")
    if changed:
        raise BuildError(
            f"the recipe is no longer the one that {target} was built from; changed: "
            f"{', '.join(changed)}",
            hint=f"build it again: {again}",
        )
    packages = tuple(_package(folder / file, digest, again) for file, digest in said.items())
    first = packages[0].control
    source, _, version = first.get("Source", first["Package"]).partition(" ")
    return Build(
        loaded,
        target,
        source,
        version.strip("()") or first["Version"],
        next((a for p in packages if (a := p.control["Architecture"]) != "all"), "all"),
        packages,
        epoch(built),
        slot.overrides,
        tuple(_origin(loaded, record, n, cache, again) for n in plan.sources),
        _recipe_files(name),
        record,
        str(image.notes["fingerprint"]),
        _installed((image.folder / "packages.txt").read_text(encoding="utf-8")),
        (image, built, finished),
    )


def _package(path: Path, digest: str, again: str) -> Packed:
    current.verify(path, digest, again)
    return Packed(path, path.stat().st_size, digest, dict(Deb.open(path).control))


def _origin(loaded: Recipe, record: BuildRecord, name: str, cache: Cache, again: str) -> Origin:
    """The files of a source, from the cache, where they are those that the build read."""
    source = loaded.sources[name]
    fetched = cache.resolved(source, scope=mirror.scope(loaded.suite))
    if not fetched or digest_of(fetched) != record.sources.get(name):
        raise BuildError(
            f"source {name}: the files that the build read are not in the cache any more",
            hint=again,
            exit=Exit.SOURCE,
        )
    materials = tuple(Material(f.name, f.sha256, f.size) for f in fetched.files)
    return Origin(name, fetched.version, materials, source)


def _recipe_files(name: str) -> tuple[Material, ...]:
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    found: dict[Path, None] = {}
    waiting = [path.resolve()]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found[file] = None
            includes = tomllib.loads(file.read_text(encoding="utf-8")).get("include", [])
            waiting += [(file.parent / str(included)).resolve() for included in includes]
    return tuple(
        _material(str(f.relative_to(ROOT)) if f.is_relative_to(ROOT) else f.name, f)
        for f in sorted(found)
    )


def _material(name: str, path: Path) -> Material:
    content = path.read_bytes()
    return Material(name, hashlib.sha256(content).hexdigest(), len(content))


def _installed(text: str) -> tuple[Installed, ...]:
    return tuple(Installed(*line.split()[:3]) for line in text.splitlines() if line.strip())


def commit() -> str:
    """The project's own git commit, "-dirty" after it where files differ; "" without one."""

    def git(*words: str) -> str:
        # A CI machine's checkout may be another user's.
        command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        head = git("rev-parse", "HEAD") if (ROOT / ".git").exists() else ""
        return head + ("-dirty" if head and git("status", "--porcelain", "-uno") else "")
    except OSError:  # no git
        return ""
