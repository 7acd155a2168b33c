# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs do that look at the box, list the recipes, and remove what was made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builders.errors import BuildError, Exit
from builders.ground.sources.cache import Cache
from builders.pipeline import artifacts, doctor, recipe, run
from builders.pipeline.recipe import Recipe
from builders.pipeline.record import build_stage, finish_stage, image_records
from builders.pipeline.run import Run
from builders.pipeline.stages import STAGES, Store
from builders.progress import Reporter
from builders.show import face
from builders.show.reports import Report
from builders.verbs.builds import known_form


def doctor_checks(it: Run) -> list[doctor.Check]:
    """Every check of the recipe; nothing is installed or started."""
    from builders.ground.engine import connection

    sources = dict(it.recipe.sources)
    return doctor.examine(it, sources, connect=lambda: connection.connect(it.reporter, setup=False))


def doctor_status(checks: Sequence[doctor.Check]) -> int:
    """The exit status for what the doctor found."""
    error = doctor.failed(list(checks))
    return int(error.exit) if error else 0


def list_recipes(form: str) -> str:
    """The recipes, the default one marked."""
    known_form(form)
    found: dict[str, Recipe | BuildError] = {}
    for name in recipe.names():
        try:
            found[name] = recipe.load(name)
        except BuildError as error:  # one file that is wrong hides no other
            found[name] = error
    if form == "json":
        return json.dumps([_about(name, each) for name, each in found.items()], indent=2)
    return face.table(
        [
            (
                name + ("*" if name == recipe.DEFAULT else ""),
                "not usable" if isinstance(each, BuildError) else each.suite.name,
                each.message if isinstance(each, BuildError) else each.summary,
            )
            for name, each in found.items()
        ]
    )


def _about(name: str, found: Recipe | BuildError) -> dict[str, Any]:
    about: dict[str, Any] = {"name": name, "default": name == recipe.DEFAULT}
    if isinstance(found, BuildError):
        return about | {"error": found.message, "hint": found.hint}
    return about | {
        "suite": found.suite.name,
        "summary": found.summary,
        "flavours": sorted(found.kernel.flavours) if found.kernel else [],
    }


def clean(reporter: Reporter, name: str, *, old: bool, images: bool, cache: bool) -> Report:
    """Remove what was built of one recipe or all; with the flags, less of it or more.

    old: only outputs of stages that a newer one has replaced. images: also what lies in the
    engine. cache: also the sources. It is said as it is done, and the report has no text.
    """
    wanted = Path(name).stem if name.endswith(".toml") else name
    # Only folders that are there and ours: a name never leads out of the artifacts.
    ours = sorted(f for f in run.artifacts().glob("*/") if run.is_ours(f))
    folders = [folder for folder in ours if not name or folder.name == wanted]
    if name and not folders:
        there = ", ".join(folder.name for folder in ours) or "nothing"
        raise BuildError(f"nothing was built of recipe {name}", hint=f"there is: {there}")
    removed: list[dict[str, Any]] = []
    document: dict[str, Any] = {"artifacts": removed, "engine": None, "freed": None}
    for folder in folders:
        with run.alone_in(folder):
            if old:
                gone = _forget_replaced(folder)
                reporter.line(f"{folder.name}: removed {gone} replaced output(s)")
            else:
                gone = None
                _remove(folder)
                reporter.line(f"{folder.name}: removed")
        removed.append({"recipe": folder.name, "replaced": gone})
    if images:
        from builders.ground.engine import connection
        from builders.ground.engine.leftovers import remove_images

        document["engine"] = remove_images(connection.connect(reporter, setup=False))
        reporter.line(f"the engine: removed {document['engine']} image(s) and volume(s)")
    if cache:
        document["freed"] = Cache.default().prune()
        reporter.line(f"the source cache: freed {document['freed'] / (1 << 20):.0f} MiB")
    return Report("", document)


def _forget_replaced(folder: Path) -> int:
    """Remove the outputs of stages that the manifest does not name; how many those were.

    Raises BuildError where the manifest is damaged, or something can't be removed.
    """
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
    return store.forget(keep)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise BuildError(
            f"{error.filename or folder} cannot be removed: {error.strerror}",
            hint="make it yours, then run it again",
            exit=Exit.ENGINE,
        ) from None
