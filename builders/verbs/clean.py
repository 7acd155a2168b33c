# SPDX-License-Identifier: GPL-2.0-or-later
"""Remove what was built.

Of one recipe, or with --all of every one; a release stays, and so do sources and images, unless an
option says otherwise. Without any option it asks; --yes answers.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.text import amount
from builders.verbs.option import Reported, option

if TYPE_CHECKING:
    from builders.progress import Reporter
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported):
    recipe: str = option("what was built of this recipe")
    old: bool = option(
        "only what newer builds have replaced, of every recipe if none is named", False
    )
    release: bool = option("also the release, with the older versions in it", False)
    images: bool = option("the images and volumes in the engine", False)
    cache: bool = option("the cached sources", False)
    all: bool = option("what was built of every recipe, images and sources", False)
    yes: bool = option("do not ask before what was built of every recipe goes", False)


def run(options: Options) -> Outcome:
    from builders.show.terminal import Terminal

    return clean(options, Terminal())


def clean(options: Options, reporter: Reporter) -> Outcome:
    """Remove what the options name. It is said as it is done, and the outcome has no text."""
    from builders.ground.sources.cache import Cache
    from builders.pipeline import run
    from builders.show import upkeep
    from builders.show.outcome import Outcome

    name = options.recipe
    stem = Path(name).stem if name.endswith(".toml") else name
    # Only folders that are there and ours: a name never leads out of the artifacts.
    ours = sorted(f for f in run.artifacts().glob("*/") if run.is_ours(f))
    folders = [folder for folder in ours if not name or folder.name == stem]
    if name and not folders:
        there = ", ".join(folder.name for folder in ours) or "nothing"
        raise BuildError(f"nothing was built of recipe {name}", hint=f"there is: {there}")
    if not _meant(options, folders):
        folders = []
    removed: list[upkeep.FolderEntry] = []
    engine = freed = None
    for folder in folders:
        with run.alone_in(folder):
            gone = None
            if options.old:
                gone = _forget_replaced(folder)
                reporter.line(f"{folder.name}: removed {gone} replaced output(s)")
            else:
                kept = _remove(folder, release=options.release)
                note = "; its release is kept, which --release removes" if kept else ""
                reporter.line(f"{folder.name}: removed{note}")
        removed.append(upkeep.FolderEntry(folder.name, gone))
    if options.images or options.all:
        from builders.ground.engine import connection
        from builders.ground.engine.leftovers import remove_images

        engine = remove_images(connection.connect(reporter, setup=False))
        reporter.line(f"the engine: removed {engine} image(s) and volume(s)")
    if options.cache or options.all:
        freed = Cache.default().prune()
        reporter.line(f"the source cache: freed {amount(freed)}")
    return Outcome(upkeep.RemovedDocument(removed, engine, freed))


def _meant(options: Options, folders: Sequence[Path]) -> bool:
    """Whether the artifacts in these folders are to go; asks a person where nothing says so.

    Raises BuildError where there is nobody to ask.
    """
    if options.recipe or options.old or options.all or options.yes or not folders:
        return True
    if options.images or options.cache:
        return False
    names = ", ".join(folder.name for folder in folders)
    if not sys.stdin.isatty():
        raise BuildError(
            f"this would remove what was built of every recipe: {names}",
            hint="name one with --recipe, or take --yes; --all removes images and sources too",
        )
    try:
        answer = input(f"Remove what was built of {names}? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise BuildError("nothing was removed", hint="name one recipe with --recipe")
    return True


def _forget_replaced(folder: Path) -> int:
    """Remove the outputs of stages that the manifest does not name; how many those were.

    Raises BuildError where the manifest is damaged, or something can't be removed.
    """
    from builders.pipeline import artifacts
    from builders.pipeline.record import build_stage, finish_stage, image_records
    from builders.pipeline.stages import STAGES, Store

    manifest = artifacts.read(folder)
    store = Store(folder / STAGES)
    if manifest is None or not manifest.builds:
        return 0  # nothing is current, so nothing was replaced
    keep: dict[str, set[str]] = {stage: set() for stage in store.stages()}
    keep["image"], packages = set(), set()
    for target, noted in manifest.builds.items():
        published = manifest.targets.get(target, artifacts.NOTHING)
        stage, current = build_stage(target), {noted.key, published.build}
        keep[stage], keep[finish_stage(target)] = current, {published.stage}
        for build in (store.read(stage, key) for key in current):
            keep["image"] |= {each.key for each in image_records(store, build)} if build else set()
        packages |= {listed.sha256 for listed in published.packages.values()}
    # What boot-test boots with: made of the hypervisor's package.
    keep["initramfs"] = {o.key for o in store.all("initramfs") if o.inputs.get("xen") in packages}
    # Disks that the current packages are installed on, and what those disks began as.
    disks = [o for o in store.all("host-installed") if packages & _digests(o.inputs)]
    keep["host-installed"] = {disk.key for disk in disks}
    keep["host-disk"] = {disk.inputs["disk"] for disk in disks if "disk" in disk.inputs}
    return store.forget(keep)


def _digests(inputs: Mapping[str, str]) -> set[str]:
    """The sha256 of each package on a disk."""
    return {word.rpartition("=")[2] for word in inputs.get("packages", "").split()}


def _remove(folder: Path, *, release: bool) -> bool:
    """Remove what is in the folder of a recipe; whether a release stays there."""
    from builders.release.publish import FOLDER

    kept = not release and (folder / FOLDER).exists()
    try:
        if not kept:
            shutil.rmtree(folder)
            return False
        for path in folder.iterdir():
            if path.name == FOLDER:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        return True
    except OSError as error:
        raise BuildError(
            f"{error.filename or folder} cannot be removed: {error.strerror}",
            hint="make it yours, then run it again",
            exit=Exit.ENGINE,
        ) from None
