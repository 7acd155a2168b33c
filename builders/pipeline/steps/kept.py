# SPDX-License-Identifier: GPL-2.0-or-later
"""A built tree that stays in a volume of the engine, so that the next build only runs make again.

What the tree was made of is noted on the box, in artifacts/RECIPE/kept/, and a token of that note
is in the volume: they have to agree. Where anything but files of the tree changed, or a file that a
patch or the recipe changes too, or where a build was cut off in the midst of its objects, the tree
is made anew. What comes out depends on all that was built there before: it is for trying, and has
a key of its own.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import tarfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders import files
from builders.errors import BuildError, Exit
from builders.pipeline import plan as plans
from builders.pipeline.plan import Plan
from builders.pipeline.stages import key

if TYPE_CHECKING:
    from builders.ground.engine.step import Step
    from builders.ground.sources.cache import Fetched
    from builders.pipeline.run import Run

FOLDER = "kept"  # of the notes, in a recipe's artifacts
_MARK = ".kept"  # in the volume: the token of the note
_LARGEST = 256 << 20  # bytes of a note
_MEMBERS = 1_000_000  # of an archive
# What makes another Makefile of the tree, or says which programs there are (autoconf's).
_CONFIGURES = re.compile(r"(^|/)(configure[^/]*|[^/]*\.(in|ac|m4)|config\.(guess|sub))$|^m4/")
_TOUCHED = re.compile(
    rb"^(?:(?:---|\+\+\+) [^/\t\n]+/([^\t\n]+)|(?:rename|copy) (?:from|to) ([^\n]+))", re.MULTILINE
)

Signs = Mapping[str, str]  # path in the tree -> what it is: mode and digest, or where a link leads


def volume(run: Run, plan: Plan) -> str:
    """The volume in which the tree of a plan is kept: of this user, checkout and recipe alone."""
    return f"dom0-debs-tree-{run.recipe.suite.name}-{plan.name}-{run.domain}"


def signs(archive: Path) -> dict[str, str]:
    """The files and links of a tree's archive, each with what it is."""
    found: dict[str, str] = {}
    with tarfile.open(archive) as tar:
        for number, member in enumerate(tar):
            if number > _MEMBERS:
                raise BuildError(f"{archive}: more than {_MEMBERS:,} members", exit=Exit.SOURCE)
            name = member.name.partition("/")[2]
            if member.isreg():
                stream = tar.extractfile(member)
                digest = hashlib.file_digest(stream, "sha256").hexdigest() if stream else ""  # type: ignore[arg-type]
                found[name] = f"{member.mode:o} {digest}"
            elif not member.isdir():
                found[name] = f"-> {member.linkname}"
    return found


@dataclass(frozen=True)
class Kept:
    """The tree of a plan that stays, as far as the box knows it.

    archive: of the tree to build. basis: digest of all else that it is made of. touched: files of
    the tree that patches and the recipe change.
    """

    run: Run
    plan: Plan
    archive: Path
    basis: str
    touched: frozenset[str]

    @property
    def _note(self) -> Path:
        return self.run.folder / FOLDER / f"{self.plan.name}.json"

    def build(
        self, step: Step, anew: Callable[[], None], phases: Callable[[Collection[str]], None]
    ) -> None:
        """Build in the step whose volume has the tree.

        anew: fills an empty folder up to the build. phases: runs these phases of the plan.
        """
        step.say("read the tree")
        new = signs(self.archive)
        why, old = self._usable(step, new)
        if why:
            self.run.reporter.line(f"{self.plan.name}: the kept tree is made anew: {why}")
            self._empty(step)
            anew()
        else:
            changed = [path for path, sign in new.items() if old.get(path) != sign]
            gone = [path for path in old if path not in new]
            self.run.reporter.line(
                f"{self.plan.name}: in the kept tree {len(changed)} file(s) changed, "
                f"{len(gone)} went"
            )
            self._mark(step, "")
            self._send(step, changed, gone)
            if self.plan.name != "xen":  # its configuration is a file that make compares
                phases(["configure"])
        token = secrets.token_hex(16)
        self._write(token, new)
        self._mark(step, f"{token} at work")
        try:
            phases(["build"])
        except BuildError as error:
            if error.exit is Exit.STEP:  # make has ended, and left no half of a file
                self._mark(step, token)
            raise
        self._mark(step, token)
        phases(["collect"])

    def _usable(self, step: Step, new: Signs) -> tuple[str, Signs]:
        """Why the tree can't be used as it is, "" where it can; and what it was made of."""
        mark = step.output(f"cat {self.plan.work}/{_MARK} 2>/dev/null || :").strip()
        try:
            if self._note.stat().st_size > _LARGEST:
                raise ValueError
            note = json.loads(self._note.read_bytes())
            token, basis, old = note["token"], note["basis"], dict(note["files"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "nothing is kept yet", {}
        if mark == f"{token} at work":
            return "the last build in it was cut off", {}
        if mark != token:
            return "the engine has another one, or none", {}
        if basis != self.basis:
            return "something other than its files changed (--explain says what)", {}
        changed = {p for p in {*new, *old} if new.get(p) != old.get(p)}
        if both := sorted(changed & self.touched):
            return f"{both[0]} changed, which a patch or the recipe changes too", {}
        if configures := sorted(p for p in changed if _CONFIGURES.search(p)):
            return f"{configures[0]} changed, which is a part of its configuration", {}
        return "", old

    def _empty(self, step: Step) -> None:
        step.phase("clear", f"find {self.plan.work} -mindepth 1 -delete")

    def _mark(self, step: Step, text: str) -> None:
        mark = f"{self.plan.work}/{_MARK}"
        step.output(f"rm -f {mark}" if not text else f"echo '{text}' >{mark}")

    def _write(self, token: str, new: Signs) -> None:
        note = {"basis": self.basis, "token": token, "files": dict(new)}
        self._note.parent.mkdir(parents=True, exist_ok=True)
        files.write(self._note, json.dumps(note))

    def _send(self, step: Step, changed: Collection[str], gone: Iterable[str]) -> None:
        names = set(changed)
        with files.scratch("dom0-debs-kept-") as place:
            delta = place / "changed.tar"
            with (
                tarfile.open(self.archive) as tar,
                tarfile.open(delta, "w", format=tarfile.GNU_FORMAT) as out,
            ):
                for member in tar:
                    path = member.name.partition("/")[2]
                    if path in names:
                        member.name = f"tree/{path}"
                        out.addfile(member, tar.extractfile(member) if member.isreg() else None)
            listed = "".join(f"{path}\0" for path in gone).encode("utf-8", "surrogateescape")
            folder = f"{self.plan.work}/kept"
            step.output(f"mkdir -p {folder}")
            step.container.put(folder, [("changed.tar", delta), ("gone.list", listed)])
        named = plans.assigned(
            work=self.plan.work, tree=f"{self.plan.work}/tree", debs=" ".join(self.plan.debs)
        )
        step.phase("change", named + plans.shell("keep"))


def kept(run: Run, plan: Plan, fetched: Mapping[str, Fetched], inputs: Mapping[str, str]) -> Kept:
    """The kept tree of a plan. inputs: of its stage.

    Raises BuildError where the plan's tree is no archive of files that is read here.
    """
    tree, *others = plan.sources
    (file,) = fetched[tree].files if len(fetched[tree].files) == 1 else (None,)
    if file is None or not tarfile.is_tarfile(file.path):
        raise BuildError(
            f"--keep-tree: source {tree} of {plan.name} is no tree of files",
            hint=f"name a folder: --tree {plan.name.partition('-')[0]}=FOLDER",
        )
    basis = key({k: v for k, v in inputs.items() if k != f"source {tree}"})
    touched = set(plan.places)
    contents = [content for _, content in plans.patch_files(plan.patches)]
    for name in others:
        contents += (
            [f.path.read_bytes() for f in fetched[name].files if f.size <= 16 << 20]
            if name in plan.applied
            else []
        )
    for content in contents:
        for first, second in _TOUCHED.findall(content):
            path = (first or second).decode("utf-8", "surrogateescape").strip()
            touched |= {path, path.partition("/")[2]}
    return Kept(run, plan, file.path, basis, frozenset(touched))
