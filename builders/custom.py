# SPDX-License-Identifier: GPL-2.0-or-later
"""Correct any package with rules of one's own: the verbs of a recipe's [finish.xen], in a file."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builders import plan
from builders.deb import Deb
from builders.errors import BuildError
from builders.finish import Finished, finish
from builders.recipe import read_corrections

if TYPE_CHECKING:
    from builders.run import Run

_IN = f"{plan.WORK}/in/own"
LEFT_OUT = "dependencies from ELF files are left out: --recipe names whose builder computes them"


def correct(paths: Sequence[Path], rules: Path, out: Path, it: Run | None) -> list[Finished]:
    """Write each package of `paths`, corrected by the file `rules`, into the folder `out`.

    it: a run of the recipe whose builder has the suite's tools; without one, what needs them is
    left out, and the notes say so. The packages that are read stay as they are.
    BuildError where the rules, a package or the folder can't be used; nothing is left then.
    """
    corrections = read_corrections(rules)
    raw = [_package(path) for path in paths]
    # What fails at the last package must not leave the first.
    made: list[Finished] = []
    with tempfile.TemporaryDirectory(prefix="dom0-debs-") as scratch:
        read = Path(scratch) / "read"
        if it:
            _in_builder(it, paths, read)
        for path, package in zip(paths, raw, strict=True):
            stated = read / f"{path.name}.depends"
            needs = stated.read_text().split(",") if it else []
            done = finish(
                path,
                corrections,
                elf_depends=[need.strip() for need in needs if need.strip()],
                destination_dir=Path(scratch) / "made",
                epoch=_epoch(package),
            )
            if (out / done.path.name).exists() and (out / done.path.name).samefile(path):
                raise BuildError(
                    f"{path} would be written over",
                    hint="state a revision, such as +1, or another folder with --out",
                )
            made.append(done)
        return [_moved(done, out, () if it else (LEFT_OUT,)) for done in made]


def _package(path: Path) -> Deb:
    try:
        if not path.is_file():
            raise BuildError(f"{path}: no such file", hint="name a .deb")
    except OSError as error:
        raise BuildError(f"{path}: {error.strerror}", hint="name a .deb") from None
    return Deb.open(path)


def _epoch(package: Deb) -> int:
    """$SOURCE_DATE_EPOCH, else the time that the package itself bears (deb(5))."""
    stated = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not stated:
        return max(member.mtime for member in package.members)
    if not stated.isascii() or not stated.isdigit():
        raise BuildError(
            f"SOURCE_DATE_EPOCH={stated!r} is no time", hint="seconds since 1970, or unset it"
        )
    return int(stated)


def _in_builder(it: Run, paths: Sequence[Path], into: Path) -> None:
    """What dpkg-shlibdeps(1) of the suite computes for each package, in NAME.depends."""
    from builders import image
    from builders.step import Step

    with it.alone():
        found = image.find(it) or image.build(it)
        with Step(it, "finish", found.name) as step:
            step.phase("folders", f"mkdir -p {_IN} {plan.OUT}")
            step.container.put(_IN, [(path.name, path) for path in paths])
            step.container.put(plan.WORK, [("epoch", b"0\n")])
            phase = plan.collect((f"{_IN}/*.deb",))
            step.phase(
                phase.name,
                phase.script,
                hint="the builder needs the libraries that the package links: add their packages "
                "to builder.packages of the recipe, or leave --recipe out",
            )
            into.mkdir()
            step.fetch(plan.OUT, into)


def _moved(done: Finished, out: Path, notes: Sequence[str]) -> Finished:
    destination = out / done.path.name
    try:
        out.mkdir(parents=True, exist_ok=True)
        # By a rename, as every other output: a file that is there is a whole one.
        with tempfile.TemporaryDirectory(prefix=".finish-", dir=out) as near:
            shutil.copyfile(done.path, Path(near) / "deb")
            (Path(near) / "deb").replace(destination)
    except OSError as error:
        raise BuildError(
            f"{destination}: {error.strerror}", hint="name another folder with --out"
        ) from None
    return Finished(
        destination, done.package, done.version, done.architecture, (*done.notes, *notes)
    )
