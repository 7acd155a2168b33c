# SPDX-License-Identifier: GPL-2.0-or-later
"""The history of a local repository, searched by git-bisect(1) in a repository of our own.

That one has copies of the references and reads the objects of the other one by its alternates: no
setting of the other is read, and nothing in it is written, nor checked out.
"""

from __future__ import annotations

import os
import re
import tarfile
import threading
from dataclasses import dataclass
from pathlib import Path

from builders.errors import BuildError, Exit
from builders.ground.sources import worktree
from builders.ground.sources.address import Failed, Passing, Patience
from builders.ground.sources.cache import Cache
from builders.ground.sources.git import TREE, Git
from builders.ground.sources.worktree import Snapshot
from builders.text import cut, printable

_REFERENCES = 20_000  # that are copied
_FIRST = re.compile(r"^([0-9a-f]{40,64}) is the first bad commit$", re.MULTILINE)
_LEFT = re.compile(r"^Bisecting: (\d+) revisions? left to test after this \(roughly (\d+) steps?\)")
_SKIPPED = re.compile(r"^([0-9a-f]{40,64})$", re.MULTILINE)


@dataclass(frozen=True)
class Next:
    """What git says after a verdict.

    commit: the one to try; where the search is over, it is "". found: the first bad commit, or
    those that may be it where some could not be tried. left: steps to go, roughly.
    """

    commit: str
    found: tuple[str, ...] = ()
    left: int = 0


class History:
    """The repository in `folder`, searched in `place`, an empty folder of our own.

    Raises BuildError (USAGE) where it is none, or git can't read it.
    """

    def __init__(
        self,
        folder: Path,
        place: Path,
        *,
        patience: Patience | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.folder = folder.absolute()
        if not worktree.is_repository(self.folder):
            raise BuildError(
                f"{printable(str(self.folder))} is no git repository",
                hint="name a folder that has a .git",
            )
        own, common = worktree.git_folders(self.folder)
        self._git = Git(place, patience or Patience(), stop or threading.Event(), self.folder.name)
        objects = os.fspath((common / "objects").resolve())
        if "\n" in objects:
            raise BuildError("the path of the repository has a line break", hint="rename it")
        try:
            kind = worktree.object_format(common)
            self._git.run("init", "--quiet", "--bare", "--template=", *kind, str(place / "git"))
            git = place / "git"
            (git / "objects" / "info" / "alternates").write_text(f"{objects}\n", encoding="utf-8")
            for name in ("packed-refs", "shallow"):
                if content := worktree.content(common / name, worktree.INDEX):
                    (git / name).write_bytes(content)
            self._references(common / "refs", git / "refs")
            (git / "info").mkdir(exist_ok=True)
            (git / "info" / "attributes").write_text(
                "* -export-ignore -export-subst\n", encoding="ascii"
            )
        except Failed as error:
            raise self._unreadable(error) from None
        # So that HEAD~20 means what it means there.
        self._head = worktree.head(self.folder)
        if self._head:
            (git / "HEAD").write_text(f"{self._head}\n", encoding="ascii")
        del own

    def _references(self, source: Path, target: Path) -> None:
        """Copy branches, tags and what was fetched: plain files that name an object."""
        number = 0
        for part in ("heads", "tags", "remotes"):
            for where, folders, names in os.walk(source / part):
                folders.sort()
                for name in names:
                    path = Path(where, name)
                    number += 1
                    said = worktree.content(path).strip()
                    if number <= _REFERENCES and re.fullmatch(rb"[0-9a-f]{40}|[0-9a-f]{64}", said):
                        copy = target / path.relative_to(source)
                        copy.parent.mkdir(parents=True, exist_ok=True)
                        copy.write_bytes(said + b"\n")

    def _unreadable(self, error: Failed) -> BuildError:
        return BuildError(
            f"{printable(str(self.folder))}: its history can't be read: {error.reason}",
            hint="does git log work there? git fsck says what is damaged",
            exit=Exit.SOURCE,
        )

    def commit(self, name: str) -> str:
        """The commit that a name means there; BuildError where it means none."""
        try:
            if name.startswith("-"):
                raise Failed("it begins with a dash")
            said = self._git.run(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
            )
            if not re.fullmatch(r"[0-9a-f]{40,64}", said.strip()):
                raise Failed("it is not there")
        except Failed:
            raise BuildError(
                f"{printable(str(self.folder))} has no commit {cut(printable(name))}",
                hint="name a commit, a tag or a branch of it; git log --oneline lists commits",
            ) from None
        return said.strip()

    def subject(self, commit: str) -> str:
        """The first line of a commit's message, as it may be shown."""
        try:
            said = self._git.run("log", "-1", "--no-show-signature", "--format=%s", commit)
        except Failed as error:
            raise self._unreadable(error) from None
        return cut(printable(said.strip()), 120)

    def start(self, good: str, bad: str, *, every: bool = False) -> Next:
        """Begin between two commits. every: also what was merged, not only the first parents.

        BuildError where the good one is no ancestor of the bad one.
        """
        first = [] if every else ["--first-parent"]
        try:
            (self._git.folder / "git" / "HEAD").write_text(f"{bad}\n", encoding="ascii")
            if self._git.run("merge-base", good, bad).strip() != good:
                raise BuildError(
                    f"{good[:12]} is no ancestor of {bad[:12]}",
                    hint="--good has to be older than --bad, on the way to it",
                )
            return self._next("start", "--no-checkout", *first, bad, good)
        except Failed as error:
            raise self._unreadable(error) from None

    def judge(self, verdict: str) -> Next:
        """Say "good", "bad" or "skip" of the commit that was to be tried."""
        return self._next(verdict)

    def _next(self, *words: str) -> Next:
        try:
            said = self._git.run("bisect", *words)
        except (Failed, Passing) as error:
            # With the status 2 it says that only commits are left that could not be tried.
            said = (self._git.folder / "stdout").read_text(encoding="utf-8", errors="replace")
            if "only 'skip'ped commits left" not in said:
                raise self._unreadable(error) from None
            return Next("", tuple(_SKIPPED.findall(said)))
        if match := _FIRST.search(said):
            return Next("", (match[1],))
        left = next((int(m[2]) for line in said.splitlines() if (m := _LEFT.match(line))), 0)
        return Next(self._git.run("rev-parse", "--verify", "BISECT_HEAD").strip(), (), left)

    def snapshot(self, commit: str, name: str, cache: Cache) -> Snapshot:
        """The tree of a commit in the cache: the same archive as of a clean tree that is at it."""
        tar = self._git.folder / TREE
        try:
            self._git.run("archive", "--format=tar", "--prefix=tree/", f"--output={tar}", commit)
        except Failed as error:
            raise self._unreadable(error) from None
        try:
            with cache.scratch() as place:
                number = worktree.normal(tar, place / worktree.FILE)
                return worktree.keep(
                    self.folder, name, commit, cache, place / worktree.FILE, number, ()
                )
        except tarfile.TarError as error:
            raise self._unreadable(Failed(str(error))) from None
        finally:
            tar.unlink(missing_ok=True)
