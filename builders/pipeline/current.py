# SPDX-License-Identifier: GPL-2.0-or-later
"""What is current of a recipe: what its manifest names, in the recipe that it was made from.

For all that reads packages and builds none. What was given by `--set` when they were built holds
on, so that nothing is told or made of a recipe that the packages are not from.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.files import of_file
from builders.ground import defaults
from builders.pipeline import artifacts, chosen, durations
from builders.pipeline import recipe as recipes
from builders.pipeline.artifacts import Manifest, Package, Target
from builders.pipeline.record import build_stage
from builders.pipeline.stages import STAGES, Store
from builders.text import duration

if TYPE_CHECKING:
    from builders.pipeline.recipe import Recipe
    from builders.pipeline.run import Run


@dataclass(frozen=True)
class Current:
    """The finished packages of a recipe.

    run: of the recipe that they were made from. flavour: of the kernel, "" where none was built.
    targets: what the manifest says of each one that is meant, by name.
    """

    run: Run
    flavour: str
    targets: Mapping[str, Target]

    def packages(self) -> list[Package]:
        """The packages, each with the digest that it was built with.

        Raises BuildError where one is gone or not what was built.
        """
        found = []
        for name, target in self.targets.items():
            for file, listed in target.packages.items():
                path = self.run.folder / file
                verify(path, listed.sha256, build_again(named(self.run), name, target.overrides))
                found.append(Package(path=path, **vars(listed)))
        return found

    def raw(self) -> list[Path]:
        """The packages that these were made from, as they were before correction."""
        store = Store(self.run.folder / STAGES)
        builds = (
            store.read(build_stage(name), target.build) for name, target in self.targets.items()
        )
        return [
            build.folder / name
            for build in builds
            if build
            for name in sorted(store.verified(build).files)
            if name.endswith(".deb")
        ]


def current(run: Run, flavour: str = "", only: str = "") -> Current:
    """What was built of the recipe of `run`; of two kernels the one of `flavour`. It is said which.

    only: "xen" or "kernel", where the other one is not meant. Raises BuildError where nothing was
    built, or no kernel of that flavour, or where there are kernels of several flavours and none is
    named.
    """
    there = manifest(run.folder, named(run)).targets
    names = [name for name in there if name.partition("-")[0] == only] if only else list(there)
    targets = {name: there[name] for name in choose(names, flavour, named(run), run.folder)}
    if not targets:
        raise nothing_built(run.folder, named(run), only)
    say(run, targets)
    run = dataclasses.replace(run, recipe=recipe_of(run, recorded(targets.values())))
    return Current(run, "".join(chosen.flavours(list(targets))), targets)


def say(run: Run, targets: Iterable[str]) -> None:
    """Say which targets a verb means that reads what was built."""
    run.reporter.line(f"{run.recipe.name}, as it was built: {', '.join(targets)}")


def named(run: Run) -> str:
    """What names the recipe of a run on a command line: its name, or its file."""
    return run.origin or run.recipe.name


def manifest(folder: Path, name: str) -> Manifest:
    """The manifest in `folder` of the recipe `name`; BuildError where nothing was built of it."""
    there = artifacts.read(folder)
    if there is None or not there.targets:
        raise nothing_built(folder, name)
    return there


def nothing_built(folder: Path, name: str, target: str = "") -> BuildError:
    """The error where nothing was built of the recipe `name`, or not its "xen" or "kernel".

    folder: of its artifacts; what lies beside it of other recipes is named.
    """
    what = chosen.recipe_name(name)
    usual = ", the default recipe" if what == recipes.DEFAULT else ""
    again = f"./inv build-{target or 'all'} --recipe {shlex.quote(name)}"
    others = {
        each: targets for each, targets in chosen.built(folder.parent).items() if each != what
    }
    if target or not others:
        return BuildError(
            f"no {target} was built of {what}" if target else f"nothing was built of {what}{usual}",
            hint=again,
        )
    words = "; ".join(f"{each} ({', '.join(targets)})" for each, targets in others.items())
    return BuildError(
        f"nothing was built of {what}{usual}; built is: {words}",
        hint=f"{' or '.join(f'--recipe {each}' for each in others)}, or build it: {again}",
    )


def choose(
    names: Iterable[str], flavour: str, recipe: str, folder: Path | None = None
) -> list[str]:
    """Those of the targets `names` that are meant: Xen, and the kernel of `flavour`.

    flavour: "" is the one that was built; of several the one that dom0-debs.toml names. recipe:
    names it on a command line. folder: of its artifacts.
    """
    there = sorted(names)
    flavours = chosen.flavours(there)
    if flavour and flavour not in flavours:
        raise _no_flavour(flavour, flavours, recipe, folder)
    if not flavour and len(flavours) > 1:
        default = defaults.read().flavour
        if not default or default.value not in flavours:
            raise BuildError(
                f"kernels of {len(flavours)} flavours were built: {', '.join(flavours)}",
                hint="say which is meant: " + " or ".join(f"--flavour {name}" for name in flavours),
            )
        flavour = default.value
    return [name for name in there if name in ("xen", f"kernel-{flavour or ''.join(flavours)}")]


def _no_flavour(
    flavour: str, flavours: Sequence[str], recipe: str, folder: Path | None
) -> BuildError:
    """The error where a kernel of that flavour is to be read, and none or others were built.

    Raises that of a build where the recipe has no such flavour.
    """
    recipes.flavour(recipes.load(recipe), flavour)
    again = f"./inv build-all --recipe {shlex.quote(recipe)} --flavour {flavour}"
    what = f"kernel-{flavour} of {chosen.recipe_name(recipe)} was not built"
    if not flavours:
        return BuildError(what, hint=again)
    others = " or ".join(f"--flavour {name}" for name in flavours)
    seconds = durations.read(folder).get(build_stage(f"kernel-{flavour}")) if folder else None
    took = f" (took {duration(seconds)} the last time here)" if seconds is not None else ""
    return BuildError(
        f"{what}; built is: {', '.join(flavours)}",
        hint=f"add {others}, or build it first{took}: {again}",
    )


def recorded(targets: Iterable[Target]) -> tuple[str, ...]:
    """The overrides that targets were made with, of one key the last one's."""
    overrides: tuple[str, ...] = ()
    for target in targets:
        overrides = merged(overrides, target.overrides)
    return overrides


def merged(before: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """The overrides of a build and those of this run over them: of one key, the latter hold."""
    keys = {_key(text) for text in given if not _key(text).endswith("+")}
    kept = (t for t in before if _key(t).removesuffix("+") not in keys and t not in given)
    return (*kept, *given)


def _key(text: str) -> str:
    return text.partition("=")[0].strip()


def recipe_of(run: Run, before: Sequence[str]) -> Recipe:
    """The run's recipe with the overrides of a build, and those of the run over them."""
    overrides = merged(before, run.recipe.overrides)
    if overrides == run.recipe.overrides:
        return run.recipe
    return recipes.load(named(run), overrides)


def build_again(name: str, target: str, overrides: Sequence[str]) -> str:
    """The command that builds `target` of the recipe `name` with these overrides."""
    kind, _, flavour = target.partition("-")
    words = [f"./inv build-{kind} --recipe {shlex.quote(name)}"]
    words += [f"--flavour {flavour}"] if flavour else []
    return " ".join([*words, *(f"--set {shlex.quote(text)}" for text in overrides)])


def verify(path: Path, digest: str, again: str) -> None:
    """BuildError where the package at `path` is gone or not the one of that sha256.

    again: the command that builds it.
    """
    try:
        actual = of_file(path)
    except OSError as error:
        raise BuildError(f"{path}: {error.strerror}", hint=f"build it again: {again}") from None
    if actual != digest:
        raise BuildError(
            f"{path} is not what was built: its sha256 is not the manifest's",
            hint=f"build it again: {again}",
        )
