# SPDX-License-Identifier: GPL-2.0-or-later
"""Bisection of a local repository that nothing is written to, and nothing of which is run."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.ground.sources.cache import Cache
from builders.ground.sources.history import History
from builders.ground.sources.worktree import read

pytestmark = pytest.mark.slow


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@x.invalid", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *identity, "-C", str(folder), *words],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
    ).stdout.strip()


class Repository:
    """Commits 0 to 9 on a branch; a merge of two others stands between 4 and 5."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        git(folder, "init", "-q", "-b", "main")
        self.commits: list[str] = []
        for number in range(5):
            self.commit(number)
        git(folder, "checkout", "-q", "-b", "side", self.commits[3])
        self.side = [self.commit(f"side{n}", f"side{n}") for n in range(2)]
        git(folder, "checkout", "-q", "main")
        git(folder, "merge", "-q", "--no-ff", "-m", "merge", "side")
        for number in range(5, 10):
            self.commit(number)

    def commit(self, what: object, name: str = "file") -> str:
        (self.folder / name).write_text(f"{what}\n")
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "-m", f"commit {what}")
        commit = git(self.folder, "rev-parse", "HEAD")
        if name == "file":
            self.commits.append(commit)
        return commit


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "r")


@pytest.fixture
def history(repository: Repository, tmp_path: Path) -> History:
    (tmp_path / "place").mkdir()
    return History(repository.folder, tmp_path / "place")


def search(history: History, good: str, bad: str, judge: object, *, every: bool = False) -> object:
    following = history.start(good, bad, every=every)
    tried = []
    while following.commit:
        tried.append(following.commit)
        following = history.judge(judge(following.commit))  # type: ignore[operator]
    assert len(tried) == len(set(tried))
    return following.found


@pytest.mark.parametrize("first", range(1, 10))
def test_the_first_bad_commit_is_found(
    repository: Repository, history: History, first: int
) -> None:
    bad = set(repository.commits[first:])
    merge = git(repository.folder, "rev-parse", f"{repository.commits[5]}^")
    bad |= {merge} if first < 5 else set()
    found = search(
        history,
        repository.commits[0],
        history.commit("main"),
        lambda commit: "bad" if commit in bad else "good",
    )
    assert found == (repository.commits[first],)


def test_what_was_merged_counts_where_asked_for(repository: Repository, history: History) -> None:
    after = set(repository.commits[5:]) | {
        git(repository.folder, "rev-parse", f"{repository.commits[5]}^")
    }
    bad = after | {repository.side[1]}

    def judge(commit: str) -> str:
        return "bad" if commit in bad else "good"

    good = repository.commits[2]
    merge = git(repository.folder, "rev-parse", f"{repository.commits[5]}^")
    assert search(history, good, repository.commits[9], judge) == (merge,)
    assert history.subject(merge) == "merge"
    found = search(history, good, repository.commits[9], judge, every=True)
    assert found == (repository.side[1],)


def test_what_can_not_be_tried_is_skipped(repository: Repository, history: History) -> None:
    commits = repository.commits

    def judge(commit: str) -> str:
        if commit in commits[6:8]:
            return "skip"
        return "bad" if commit in commits[8:] else "good"

    found = search(history, commits[0], commits[9], judge)
    assert set(found) == set(commits[6:9])  # type: ignore[call-overload]


def test_a_commit_has_the_archive_of_a_clean_tree_that_is_at_it(
    repository: Repository, tmp_path: Path
) -> None:
    (repository.folder / ".gitattributes").write_text("x export-ignore\nfile export-subst\n")
    (repository.folder / "x").write_text("$Format:%H$")
    (repository.folder / "x").chmod(0o755)
    (repository.folder / "l").symlink_to("x")
    repository.commit("$Format:%H$")
    cache = Cache(tmp_path / "cache")
    (tmp_path / "other").mkdir()
    there = History(repository.folder, tmp_path / "other")
    snapshot = there.snapshot(there.commit("HEAD"), "xen", cache)
    assert snapshot.source == read(repository.folder, "xen", cache).source


def test_names_mean_what_they_mean_there(repository: Repository, tmp_path: Path) -> None:
    git(repository.folder, "tag", "-a", "-m", "x", "v1", repository.commits[2])
    git(repository.folder, "pack-refs", "--all")
    git(repository.folder, "tag", "v2", repository.commits[3])
    git(repository.folder, "checkout", "-q", repository.commits[7])
    (tmp_path / "p").mkdir()
    history = History(repository.folder, tmp_path / "p")
    for name, number in {"v1": 2, "v2": 3, "HEAD~2": 5, "main": 9, "refs/heads/main": 9}.items():
        assert history.commit(name) == repository.commits[number]
    for name in ("none", "--help", "", "main:file", "HEAD~99", "a b", "main..v1"):
        with pytest.raises(BuildError, match="has no commit"):
            history.commit(name)
    with pytest.raises(BuildError, match="no ancestor"):
        history.start(repository.commits[5], repository.commits[2])


def test_a_folder_without_git_has_no_history(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no git repository"):
        History(tmp_path, tmp_path)


def test_the_repository_is_only_read_and_none_of_its_settings_is(
    repository: Repository, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    script = tmp_path / "evil"
    script.write_text(f"#!/bin/sh\necho $0 $* >>{ran}\n")
    script.chmod(0o755)
    (repository.folder / ".gitattributes").write_text("* filter=evil diff=evil\n")
    repository.commit("attributes")
    for key in (
        *("core.fsmonitor", "core.sshCommand", "core.pager", "diff.external", "gpg.program"),
        *("filter.evil.smudge", "filter.evil.process", "diff.evil.textconv", "core.editor"),
        *("tar.tar.command", "alias.bisect", "uploadpack.packObjectsHook"),
    ):
        git(repository.folder, "config", key, str(script))
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        hook = repository.folder / ".git" / "hooks" / name
        hook.write_text(script.read_text())
        hook.chmod(0o755)
    (repository.folder / "file").write_text("not committed\n")
    before = {p: (p.lstat().st_mtime_ns, p.lstat().st_size) for p in repository.folder.rglob("*")}
    (tmp_path / "p").mkdir()
    history = History(repository.folder, tmp_path / "p", stop=threading.Event())
    bad = set(repository.commits[4:])
    cache = Cache(tmp_path / "cache")

    def judge(commit: str) -> str:
        history.snapshot(commit, "xen", cache)
        history.subject(commit)
        return "bad" if commit in bad else "good"

    search(history, repository.commits[0], history.commit("HEAD"), judge, every=True)

    assert not ran.exists()
    after = {p: (p.lstat().st_mtime_ns, p.lstat().st_size) for p in repository.folder.rglob("*")}
    assert after == before
