# SPDX-License-Identifier: GPL-2.0-or-later
"""A build's packages, finished: corrected as the recipe says, by this tool's own code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from builders import ROOT
from builders.files import of_file
from builders.pipeline.record import FinishRecord, epoch, stated

if TYPE_CHECKING:
    from builders.pipeline.recipe import Recipe
    from builders.pipeline.run import Run
    from builders.pipeline.stages import Making, Output

# What a finished package's bytes also depend on.
_CODE = (
    "builders/debkit/codecs/*.py",
    "builders/debkit/deb/*.py",
    "builders/debkit/finish/*.py",
    "builders/debkit/*.py",
)


def record(recipe: Recipe, target: str, build: Output) -> FinishRecord:
    """What the packages of `build` are finished from. target: "xen" or "kernel"."""
    code = sorted(path for glob in _CODE for path in ROOT.glob(glob))
    names = "\n".join(f"{path.relative_to(ROOT)} {of_file(path)}" for path in code)
    return FinishRecord(
        hashlib.sha256(names.encode()).hexdigest(),
        corrections_digest(recipe, target),
        build.files,
        hashlib.sha256(pem.encode()).hexdigest() if (pem := _certificate(recipe, target)) else "",
    )


def ready(run: Run, recipe: Recipe, targets: Iterable[str]) -> None:
    """BuildError where what these targets are finished with is missing: told before the build."""
    from builders.debkit.codecs import known

    for target in targets:
        if compression := recipe.finish[target].compression:
            known(compression)
    if any(_certificate(recipe, target) for target in targets):
        from builders.pipeline import modulekey

        with modulekey.signing(recipe, run.module_key, run.reporter):
            pass


def _certificate(recipe: Recipe, target: str) -> str:
    """The certificate whose key signs what is finished; "" where nothing is signed."""
    return recipe.kernel.certificate if recipe.kernel and target == "kernel" else ""


def corrections_digest(recipe: Recipe, target: str) -> str:
    """Of all that the recipe says of how the packages of "xen" or "kernel" are finished."""
    return hashlib.sha256(repr((recipe.finish[target], recipe.suite.name)).encode()).hexdigest()


def correct(run: Run, recipe: Recipe, target: str, build: Output, making: Making) -> None:
    """Write each package of `build`, corrected, and those of its symbols. Raises BuildError."""
    from builders.debkit.finish import Beside, finish
    from builders.pipeline import modulekey

    notes = making.notes["packages"] = {}
    time = epoch(build)
    with ExitStack() as stack:
        task = stack.enter_context(run.reporter.work(making.stage))
        sign = None
        if _certificate(recipe, target):
            sign = stack.enter_context(modulekey.signing(recipe, run.module_key, run.reporter))
        for raw in sorted(build.folder.glob("*.deb")):
            task.show("finish", raw.name)
            needs = stated(build.folder / f"{raw.name}.depends", 1 << 20).split(",")
            finished = finish(
                raw,
                recipe.finish[target],
                elf_depends=[need.strip() for need in needs if need.strip()],
                destination_dir=making.folder,
                epoch=time,
                beside=Beside(
                    _there(build.folder / f"{raw.name}.symbols.tar"),
                    _there(build.folder / "copyright"),
                    _there(build.folder / "changelog"),
                    recipe.suite.name,
                    sign,
                ),
            )
            for each in (finished, finished.symbols):
                if each:
                    notes[each.path.name] = {
                        "package": each.package,
                        "version": each.version,
                        "architecture": each.architecture,
                        "notes": list(each.notes),
                    }


def _there(path: Path) -> Path | None:
    return path if path.exists() else None
