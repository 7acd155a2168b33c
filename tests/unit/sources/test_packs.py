# SPDX-License-Identifier: GPL-2.0-or-later
"""A commit of git as a pack, which a store keeps for machines that do not reach the repository."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.ground.sources.address import Failed
from builders.ground.sources.cache import Cache, CachedFile
from builders.ground.sources.fetching import take
from builders.ground.sources.git import Git, commit_as_tar, pack_of, pack_place, tar_of_pack
from builders.ground.sources.pins import GitSource, UrlSource
from builders.progress import Silent
from tests.unit.servers import Site, folder
from tests.unit.sources.fetches import QUICK, Heard, fetch, git, repository

pytestmark = pytest.mark.slow
DEAD = "http://127.0.0.1:9/bios.git"  # discard: nothing listens there


class Kept:
    """A place beside the addresses, in a folder; made: the packs that it was given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.made: list[str] = []

    def source(self, _: UrlSource, __: str, ___: Cache) -> CachedFile | None:
        return None

    def offer_source(self, _: CachedFile) -> None:
        raise AssertionError("the tar of a commit says nothing of its commit")

    def pack(self, commit: str, place: Path) -> bool:
        path = self.folder / commit
        if path.exists():
            shutil.copy(path, place)
        return path.exists()

    def offer_pack(self, commit: str, make: Callable[[], Path]) -> None:
        if not (self.folder / commit).exists():
            shutil.copy(make(), self.folder / commit)
            self.made.append(commit)


def source(url: str | Path, commit: str) -> GitSource:
    return GitSource("bios", (str(url),), commit)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "kept")


def machine(folder: Path, name: str) -> Git:
    (folder / name).mkdir()
    return Git(folder / name, QUICK, threading.Event(), "bios")


def test_another_machine_has_the_same_tar_without_the_repository(
    kept: Kept, tmp_path: Path
) -> None:
    repo = tmp_path / "repo"
    commit = repository(repo)
    first = fetch(source(repo, commit), Cache(tmp_path / "one"), elsewhere=kept)
    assert kept.made == [commit]
    other = Cache(tmp_path / "two")
    second = fetch(source(DEAD, commit), other, elsewhere=kept)
    assert [f.sha256 for f in second.files] == [f.sha256 for f in first.files]
    assert kept.made == [commit]
    # Once more, it is in the cache; and `take` brings it where nothing is fetched.
    kept.folder.joinpath(commit).unlink()
    assert fetch(source(DEAD, commit), other, elsewhere=kept) == second
    fetch(source(repo, commit), Cache(tmp_path / "three"), elsewhere=kept)
    last, stop = Cache(tmp_path / "four"), threading.Event()
    assert take(source(DEAD, commit), last, kept, Silent(), stop)
    assert not take(source(DEAD, "1" * 40), last, kept, Silent(), stop)
    assert not take(dataclasses.replace(source(DEAD, ""), ref="main"), last, kept, Silent(), stop)
    assert [f.sha256 for f in fetch(source(DEAD, commit), last).files] == [
        f.sha256 for f in first.files
    ]


def test_a_server_that_gives_all_of_its_history(kept: Kept, tmp_path: Path) -> None:
    """Plain files over http: no single commit is to be had, and the pack is of one all the same."""
    repo = tmp_path / "repo"
    commit = repository(repo)
    git(repo, "update-server-info")
    with Site(folder(repo / ".git")) as site:
        fetch(source(site.root, commit), Cache(tmp_path / "one"), elsewhere=kept)
    whole = machine(tmp_path, "whole")
    shutil.copy(kept.folder / commit, pack_place(whole))
    tar_of_pack(whole, source(DEAD, commit))
    commits = whole.run("cat-file", "--batch-all-objects", "--batch-check").count(" commit ")
    assert commits == 1
    assert len(git(repo, "rev-list", "HEAD").split()) > 1


def other_commit(_: bytes, repo: Path, tmp_path: Path) -> bytes:
    (repo / "file").write_text("four\n")
    git(repo, "commit", "--all", "--quiet", "--message", "another")
    commit = git(repo, "rev-parse", "HEAD").strip()
    it = machine(tmp_path, "another")
    commit_as_tar(it, source(repo, commit), str(repo))
    return pack_of(it, source(repo, commit)).read_bytes()


def without_a_file(_: bytes, repo: Path, __: Path) -> bytes:
    commit = git(repo, "rev-parse", "HEAD~1")
    tree = git(repo, "rev-parse", "HEAD~1^{tree}")
    done = subprocess.run(
        ["git", "-C", str(repo), "pack-objects", "--stdout"],
        input=f"{commit}\n{tree}\n".encode(),
        capture_output=True,
        check=True,
    )
    return done.stdout


def flipped(pack: bytes, _: Path, __: Path) -> bytes:
    return pack[:60] + bytes([pack[60] ^ 1]) + pack[61:]


def cut(pack: bytes, _: Path, __: Path) -> bytes:
    return pack[: len(pack) // 2]


def garbage(*_: object) -> bytes:
    return b"<html>" * 1000


def nothing(*_: object) -> bytes:
    return b""


@pytest.mark.parametrize("change", [other_commit, without_a_file, flipped, cut, garbage, nothing])
def test_a_pack_of_something_else_is_refused(
    change: Callable[[bytes, Path, Path], bytes], kept: Kept, tmp_path: Path
) -> None:
    repo = tmp_path / "repo"
    commit = repository(repo)
    right = fetch(source(repo, commit), Cache(tmp_path / "one"), elsewhere=kept)
    pack = kept.folder / commit
    changed = change(pack.read_bytes(), repo, tmp_path)
    pack.write_bytes(changed)
    it = machine(tmp_path, "direct")
    pack_place(it).write_bytes(changed)
    with pytest.raises(Failed):
        tar_of_pack(it, source(DEAD, commit))
    heard = Heard()
    fetched = fetch(source(repo, commit), Cache(tmp_path / "two"), heard, elsewhere=kept)
    assert [f.sha256 for f in fetched.files] == [f.sha256 for f in right.files]
    assert any("what the store has is not used" in line for line in heard.lines)


def test_a_tag_is_no_commit(tmp_path: Path) -> None:
    """The pin of an annotated tag is refused, as that of a repository is."""
    repo = tmp_path / "repo"
    repository(repo)
    git(repo, "tag", "--annotate", "--message", "x", "v1")
    tag = git(repo, "rev-parse", "v1").strip()
    it = machine(tmp_path, "tagged")
    done = subprocess.run(
        ["git", "-C", str(repo), "pack-objects", "--stdout", "--revs"],
        input=f"{tag}\n".encode(),
        capture_output=True,
        check=True,
    )
    pack_place(it).write_bytes(done.stdout)
    with pytest.raises(Failed, match="commit"):
        tar_of_pack(it, source(DEAD, tag))
