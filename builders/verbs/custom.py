# SPDX-License-Identifier: GPL-2.0-or-later
"""Correct any package with rules of one's own: the verbs of a recipe's [finish.xen], in a file."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from builders import epoch
from builders.debkit import elf
from builders.debkit.corrections import Corrections
from builders.debkit.deb import Deb, Edit, rewrite
from builders.debkit.deb.tar import FILE_TYPES
from builders.debkit.finish import Beside, Finished, finish
from builders.errors import BuildError
from builders.files import scratch
from builders.ground.engine.log import lines
from builders.pipeline import plan
from builders.pipeline.recipe import read_corrections
from builders.text import printable

if TYPE_CHECKING:
    from builders.ground.engine.step import Step
    from builders.pipeline.run import Run

_IN = f"{plan.WORK}/in/own"
LEFT_OUT = "what its ELF files depend on is left out: --recipe names whose builder computes it"
STAY = "symbols stay in its ELF files: --recipe names whose builder takes them out"


def correct(paths: Sequence[Path], rules: Path, out: Path, it: Run | None) -> list[Finished]:
    """Write each package of `paths`, corrected by the file `rules`, into the folder `out`.

    Each is returned, followed by the package of its debugging symbols where one was written.
    it: a run of the recipe whose builder has the suite's tools; without one, what needs them is
    left out, and the notes say so. The packages that are read stay as they are.
    BuildError where the rules, a package or the folder can't be used; nothing is left then.
    """
    corrections = read_corrections(rules)
    raw = [_package(path) for path in paths]
    # What fails at the last package must not leave the first.
    made: list[Finished] = []
    with scratch("dom0-debs-finish-") as folder:
        read = folder / "read"
        if it:
            _in_builder(it, raw, read)
        for n, package in enumerate(raw):
            handed = read / _inside(n, package)
            done = finish(
                package,
                corrections,
                elf_depends=_needs(handed) if it else (),
                destination_dir=folder / "made" / str(n),
                epoch=_epoch(package),
                beside=_beside(it, package, handed) if it else None,
            )
            if not it:
                done = replace(done, notes=(*done.notes, *_left_out(package, corrections)))
            made.append(done)
        _check_places(paths, made, out)
        return _moved(made, out)


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
    try:
        return epoch.parse(stated or str(max(member.mtime for member in package.members)))
    except ValueError as error:
        raise BuildError(
            f"SOURCE_DATE_EPOCH is {error}" if stated else f"{package.path} bears {error}",
            hint="set SOURCE_DATE_EPOCH to seconds since 1970"
            + (", or unset it" if stated else ""),
        ) from None


def _inside(n: int, package: Deb) -> str:
    """What the package is called in the builder, whatever its file is called here."""
    name = package.control.get("Package", "")
    return f"{n}-{name if re.fullmatch(r'[a-z0-9][a-z0-9+.-]*', name) else 'package'}.deb"


def _in_builder(it: Run, raw: Sequence[Deb], into: Path) -> None:
    """What the suite's tools make of each package, as `plan.collect` has it."""
    from builders.ground.engine.step import Step
    from builders.ground.suite import image

    with it.alone():
        found = image.find(it) or image.build(it)
        with Step(it, "finish", found.name) as step:
            here = step.output("dpkg --print-architecture").strip()
            for package in raw:
                _check_architecture(package, here)
            step.phase("folders", f"mkdir -p {_IN} {plan.OUT}")
            into.mkdir()
            inside = {_inside(n, package): package for n, package in enumerate(raw)}
            files = [(name, _readable(each, into / name)) for name, each in inside.items()]
            step.container.put(_IN, files)
            step.container.put(plan.WORK, [("epoch", b"0\n")])
            phase = plan.collect((f"{_IN}/*.deb",))
            try:
                step.phase(phase.name, phase.script)
            except BuildError as error:
                raise _explained(error, raw, step) from None
            step.fetch(plan.OUT, into)


def _readable(package: Deb, place: Path) -> Path:
    """The package as an ordinary user can unpack and remove it: where need be a copy at `place`.

    The copy has no devices, lets its owner into everything, and has no symbols that are filed by
    build id already.
    """
    entries = package.index.entries
    usual = (*FILE_TYPES, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)
    remove = {e.path for e in entries if e.info.type not in usual}
    remove |= _filed(package)
    modes = {
        e.path: e.info.mode | needed
        for e in entries
        if not (e.info.issym() or e.info.islnk())
        and e.info.mode & (needed := 0o700 if e.info.isdir() else 0o400) != needed
        and e.path not in remove
    }
    if not remove and not modes:
        return package.path
    edit = Edit(remove=frozenset(remove), modes=modes, compression="none")
    return rewrite(package, place, edit)


def _filed(package: Deb) -> set[str]:
    """The members of a package that are debugging symbols, filed by build id."""
    return {e.path for e in package.index.entries if e.path.startswith("/usr/lib/debug/.build-id/")}


def _explained(error: BuildError, raw: Sequence[Deb], step: Step) -> BuildError:
    """Where libraries are missing in the builder: which, and how it gets them."""
    missing: dict[str, str] = {}
    for line in lines(error.log) if error.log else ():
        # It tells the first library only.
        if match := re.search(r"n[o']t find library (\S+) needed by tree(\S+)", line):
            missing[match[1]] = match[2]
    if not missing:
        return error
    _, cache = step.attempt("libraries", "/sbin/ldconfig -p")
    there = set(cache.split()) | {e.path.rpartition("/")[2] for d in raw for e in d.index.entries}
    for package in raw:
        for path, found in _elves(package):
            missing |= {name: path for name in (found.needed if found else ()) if name not in there}
    # Policy 8.1: libz.so.1 is in libz1, libyaml-0.so.2 in libyaml-0-2.
    names = [re.sub(r"(\d)\.so\.", r"\1-", n).replace(".so.", "").lower() for n in sorted(missing)]
    adding = " ".join(f"--set builder.packages+={printable(name)}" for name in names)
    wanted = ", ".join(f"{printable(k)} for {printable(v)}" for k, v in sorted(missing.items()))
    return BuildError(
        f"the builder has no {wanted}",
        hint=f"add its packages, by Policy 8.1: {adding}. Or leave --recipe out",
        log=error.log,
        exit=error.exit,
    )


def _elves(package: Deb) -> Iterator[tuple[str, elf.Elf | None]]:
    """The path of each program and library, and what it says; None where it is damaged."""
    budget = elf.Budget()
    for entry, content in package.settled():
        aside = entry.path.startswith("/usr/lib/debug/")
        part = bytes(content.chunk()) if entry.info.isreg() and not aside else b""
        if budget.spent or not elf.is_object(part):
            continue
        window = elf.Window()
        while part:
            window.feed(part)
            part = bytes(content.chunk())
        try:
            yield entry.path, elf.read(window, budget)
        except elf.ElfError:
            yield entry.path, None


def _check_architecture(package: Deb, here: str) -> None:
    stated = package.control.get("Architecture", "").strip()
    if stated not in (here, "all"):
        raise BuildError(
            f"{package.path} is for {printable(stated)}, the builder for {here}",
            hint="leave --recipe out: what needs no builder is corrected all the same",
        )


def _needs(handed: Path) -> list[str]:
    """What dpkg-shlibdeps(1) of the suite computed for a package."""
    stated = handed.with_name(f"{handed.name}.depends").read_text()
    return [need.strip() for need in stated.split(",") if need.strip()]


def _beside(it: Run, package: Deb, handed: Path) -> Beside:
    symbols = handed.with_name(f"{handed.name}.symbols.tar")
    return Beside(
        symbols if symbols.exists() and not _filed(package) else None, suite=it.recipe.suite.name
    )


def _left_out(package: Deb, corrections: Corrections) -> tuple[str, ...]:
    """What was left out because it needs the suite's own tools, as notes."""
    found = [each for _, each in _elves(package)]
    stay = corrections.symbols and any(each and (each.symbols or each.debug) for each in found)
    return (*((LEFT_OUT,) if found else ()), *((STAY,) if stay else ()))


def _check_places(paths: Sequence[Path], made: Sequence[Finished], out: Path) -> None:
    """BuildError where a result would take the place of what was read, or of another result."""
    taken: set[str] = set()
    for done in _each(made):
        name = done.path.name
        place = out / name
        if place.exists() and any(place.samefile(path) for path in paths):
            raise BuildError(
                f"{place} would be written over",
                hint="state a revision, such as +1, or another folder with --out",
            )
        if name in taken:
            raise BuildError(f"two packages would be {name}", hint="correct them one by one")
        taken.add(name)


def _each(made: Sequence[Finished]) -> list[Finished]:
    """The packages, each followed by that of its debugging symbols."""
    return [one for done in made for one in (done, done.symbols) if one]


def _moved(made: Sequence[Finished], out: Path) -> list[Finished]:
    """Put all into `out`, by renames, as every other output: a file that is there is whole."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with scratch(".finish-", out) as near:
            for done in _each(made):
                shutil.copyfile(done.path, near / done.path.name)
            for done in _each(made):
                (near / done.path.name).replace(out / done.path.name)
    except OSError as error:
        raise BuildError(
            f"{out}: {error.strerror}", hint="name another folder with --out"
        ) from None
    return [replace(done, path=out / done.path.name) for done in _each(made)]
