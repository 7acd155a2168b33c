# SPDX-License-Identifier: GPL-2.0-or-later
"""A local tree, read as it lies there. None of its repository's settings may run anything."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import tarfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.errors import BuildError, Exit
from builders.ground.sources import worktree
from builders.ground.sources.cache import Cache
from builders.ground.sources.worktree import Snapshot, read

pytestmark = pytest.mark.slow


def git(folder: Path, *words: str) -> str:
    settings = ("-c", "user.name=x", "-c", "user.email=x@x.invalid", "-c", "commit.gpgsign=false")
    command = ["git", *settings, "-c", "protocol.file.allow=always", "-C", str(folder), *words]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    ).stdout.strip()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a commit, a change, a new file, a deleted and an ignored one."""
    folder = tmp_path / "xen"
    (folder / "sub").mkdir(parents=True)
    for name, text in {
        "Makefile": "all:\n",
        "gone.c": "x\n",
        "sub/a.c": "old\n",
        ".gitignore": "*.o\n/big/\n",
    }.items():
        (folder / name).write_text(text)
    git(folder, "init", "--quiet")
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "x")
    (folder / "sub" / "a.c").write_text("changed\n")
    (folder / "new.sh").write_text("#!/bin/sh\n")
    (folder / "new.sh").chmod(0o700)
    (folder / "gone.c").unlink()
    (folder / "sub" / "a.o").write_text("object\n")
    return folder


def content(snapshot: Snapshot) -> dict[str, str]:
    """What the archive has: name -> text of a file, "-> x" of a link, "/" of a folder."""
    found = {}
    with tarfile.open(snapshot.file.path) as tar:
        for member in tar:
            name = member.name.removeprefix("tree").removeprefix("/")
            assert member.mtime == worktree.EPOCH
            assert (member.uid, member.gid) == (0, 0)
            if member.isreg():
                stream = tar.extractfile(member)
                assert stream is not None
                found[name] = stream.read().decode()
            else:
                found[name] = f"-> {member.linkname}" if member.issym() else "/"
    return found


def test_what_git_does_not_ignore_is_taken_as_it_lies_there(repository: Path, cache: Cache) -> None:
    snapshot = read(repository, "xen", cache)

    assert content(snapshot) == {
        "": "/",
        ".gitignore": "*.o\n/big/\n",
        "Makefile": "all:\n",
        "new.sh": "#!/bin/sh\n",
        "sub/a.c": "changed\n",
    }
    with tarfile.open(snapshot.file.path) as tar:
        assert {m.name: m.mode for m in tar}["tree/new.sh"] == 0o755
    assert snapshot.source.commit == git(repository, "rev-parse", "HEAD")
    assert snapshot.notes == ()
    assert cache.resolved(snapshot.source) is not None


def test_what_git_knows_is_taken_though_it_is_ignored(repository: Path, cache: Cache) -> None:
    (repository / "known.o").write_text("known\n")
    git(repository, "add", "--force", "known.o")
    git(repository, "commit", "--quiet", "-m", "x")
    found = content(read(repository, "xen", cache))
    assert found["known.o"] == "known\n"
    assert "sub/a.o" not in found
    # So it is with an index that is in two parts.
    git(repository, "update-index", "--split-index")
    assert content(read(repository, "xen", cache)) == found


def test_the_same_files_have_the_same_digest_wherever_and_whenever(
    repository: Path, tmp_path: Path, cache: Cache
) -> None:
    first = read(repository, "xen", cache)
    git(repository, "add", "-A")
    git(repository, "commit", "--quiet", "-m", "y")
    second = read(repository, "xen", cache)
    plain = tmp_path / "plain"
    with tarfile.open(second.file.path) as tar:
        tar.extractall(plain, filter="tar")
    third = read(plain / "tree", "xen", cache)

    assert first.source.sha256 == second.source.sha256 == third.source.sha256
    assert first.source.commit != second.source.commit
    assert third.source.commit == ""
    (repository / "Makefile").chmod(0o755)
    assert read(repository, "xen", cache).source.sha256 != first.source.sha256


def test_a_folder_without_git_is_taken_whole(tmp_path: Path, cache: Cache) -> None:
    folder = tmp_path / "tree"
    (folder / "empty").mkdir(parents=True)
    (folder / "Makefile").write_text("all:\n")
    (folder / ".gitignore").write_text("*\n")
    (folder / "x.o").write_text("o")

    assert content(read(folder, "xen", cache)) == {
        "": "/",
        "Makefile": "all:\n",
        ".gitignore": "*\n",
        "x.o": "o",
        "empty": "/",
    }


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda folder: folder.with_name("other"), "No such file"),
        (lambda folder: folder.write_text("x"), "Not a directory"),
        (lambda folder: (folder.mkdir(), (folder / "README").write_text("x")), "no Makefile"),
    ],
    ids=["missing", "file", "no-makefile"],
)
def test_what_is_no_tree_is_refused(
    tmp_path: Path, cache: Cache, prepare: Callable[[Path], object], said: str
) -> None:
    prepare(tmp_path / "tree")
    with pytest.raises(BuildError, match=said) as caught:
        read(tmp_path / "tree", "xen", cache, needs=["Makefile"])
    assert caught.value.exit == Exit.USAGE
    assert caught.value.hint


def test_sockets_and_links_that_lead_out_are_named(tmp_path: Path, cache: Cache) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "Makefile").write_text("all:\n")
    (folder / "in").symlink_to("Makefile")
    (folder / "out").symlink_to("../../etc/passwd")
    (folder / "etc").symlink_to("/etc")
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as it:
        it.bind(str(folder / "sock"))
        snapshot = read(folder, "xen", cache)

    assert content(snapshot) == {
        "": "/",
        "Makefile": "all:\n",
        "in": "-> Makefile",
        "out": "-> ../../etc/passwd",
        "etc": "-> /etc",
    }
    assert len(snapshot.notes) == 2
    assert "fifo, sock" in snapshot.notes[0]
    assert "etc, out" in snapshot.notes[1]


def test_submodules_are_taken_by_what_they_do_not_ignore(
    repository: Path, tmp_path: Path, cache: Cache
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "b.c").write_text("b\n")
    (inner / ".gitignore").write_text("*.o\n")
    git(inner, "init", "--quiet")
    git(inner, "add", "-A")
    git(inner, "commit", "--quiet", "-m", "x")
    git(repository, "submodule", "--quiet", "add", str(inner), "mod")
    (repository / "mod" / "c.o").write_text("o")
    (repository / "mod" / "new.c").write_text("n\n")

    found = content(read(repository, "xen", cache))

    assert {name for name in found if name.startswith("mod")} == {
        "mod/.gitignore",
        "mod/b.c",
        "mod/new.c",
    }


def test_a_submodule_that_is_not_checked_out_is_named(
    repository: Path, tmp_path: Path, cache: Cache
) -> None:
    git(repository, "submodule", "--quiet", "add", str(repository), "deep/mod")
    git(repository, "commit", "--quiet", "-a", "-m", "x")
    git(tmp_path, "clone", "--quiet", str(repository), "fresh")

    snapshot = read(tmp_path / "fresh", "xen", cache)

    (note,) = snapshot.notes
    assert "not checked out" in note
    assert "deep/mod" in note
    assert not [name for name in content(snapshot) if name.startswith("deep/mod/")]
    git(tmp_path / "fresh", "submodule", "--quiet", "update", "--init")
    assert not read(tmp_path / "fresh", "xen", cache).notes


def test_a_linked_worktree_is_read(repository: Path, tmp_path: Path, cache: Cache) -> None:
    git(repository, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "linked"))
    snapshot = read(tmp_path / "linked", "xen", cache)
    assert content(snapshot)["sub/a.c"] == "old\n"
    assert snapshot.source.commit == git(repository, "rev-parse", "HEAD")
    git(repository, "pack-refs", "--all")
    assert read(tmp_path / "linked", "xen", cache).source.commit == snapshot.source.commit


def test_no_setting_of_the_repository_runs_anything(
    repository: Path, tmp_path: Path, cache: Cache
) -> None:
    ran = tmp_path / "ran"
    script = tmp_path / "evil"
    script.write_text(f"#!/bin/sh\necho $0 $* >>{ran}\n")
    script.chmod(0o755)
    hooks = repository / ".git" / "hooks"
    for name in ("post-index-change", "fsmonitor-watchman", "pre-auto-gc", "post-checkout"):
        (hooks / name).write_text(script.read_text())
        (hooks / name).chmod(0o755)
    (repository / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    (tmp_path / "more").write_text(f"[core]\n\tfsmonitor = {script}\n")
    for key, value in {
        "core.fsmonitor": str(script),
        "core.hooksPath": str(hooks),
        "core.sshCommand": str(script),
        "core.pager": str(script),
        "core.editor": str(script),
        "core.alternateRefsCommand": str(script),
        "core.worktree": "/etc",
        "filter.evil.clean": str(script),
        "filter.evil.smudge": str(script),
        "filter.evil.process": str(script),
        "filter.evil.required": "true",
        "diff.evil.textconv": str(script),
        "diff.external": str(script),
        "include.path": str(tmp_path / "more"),
        "alias.ls-files": f"!{script}",
        "remote.origin.url": f"ext::{script}",
        "remote.origin.promisor": "true",
        "remote.origin.partialclonefilter": "blob:none",
        "extensions.partialClone": "origin",
        "gpg.program": str(script),
        "uploadpack.packObjectsHook": str(script),
    }.items():
        git(repository, "config", key, value)
    (repository / ".git" / "objects" / "info").mkdir(exist_ok=True)
    (repository / ".git" / "objects" / "info" / "alternates").write_text("/etc\n")
    before = {p: p.lstat().st_mtime_ns for p in repository.rglob("*")}

    found = content(read(repository, "xen", cache))

    assert not ran.exists()
    assert found["sub/a.c"] == "changed\n"
    assert "passwd" not in found
    assert {p: p.lstat().st_mtime_ns for p in repository.rglob("*")} == before


def test_an_index_with_paths_out_of_the_tree_or_through_a_link_gives_none_of_them(
    repository: Path, tmp_path: Path, cache: Cache
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "a.c").write_text("secret\n")
    for path in repository.glob("sub/*"):
        path.unlink()
    (repository / "sub").rmdir()
    (repository / "sub").symlink_to(secret)
    index = repository / ".git" / "index"
    raw = index.read_bytes()[:-20].replace(b"gone.c", b"../xyz")
    index.write_bytes(raw + hashlib.sha1(raw, usedforsecurity=False).digest())
    (tmp_path / "xyz").write_text("secret\n")

    try:
        found = content(read(repository, "xen", cache))
    except BuildError as error:  # git itself may refuse such an index
        assert "can't be read" in error.message  # noqa: PT017
    else:
        assert "secret\n" not in found.values()
        assert found["sub"] == f"-> {secret}"


@pytest.mark.parametrize("name", ["index", "HEAD", "config", "info/exclude", "commondir"])
def test_a_repository_of_odd_files_blocks_nothing(
    repository: Path, cache: Cache, name: str
) -> None:
    path = repository / ".git" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    done = threading.Event()

    def go() -> None:
        with suppress(BuildError):
            read(repository, "xen", cache)
        done.set()

    threading.Thread(target=go, daemon=True).start()
    assert done.wait(20)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    raw=st.binary(max_size=400),
    at=st.integers(0, 400),
    name=st.sampled_from(["index", "HEAD", "config", "packed-refs", "commondir", "info/exclude"]),
)
def test_a_damaged_repository_is_an_error_or_a_tree_of_its_own_files(
    repository: Path, cache: Cache, raw: bytes, at: int, name: str
) -> None:
    path = repository / ".git" / name
    before = path.read_bytes() if path.exists() else None
    whole = before or b""
    path.write_bytes(whole[:at] + raw + whole[at + len(raw) :])
    try:
        found = content(read(repository, "xen", cache))
    except BuildError as error:
        assert error.hint  # noqa: PT017
    else:
        own = {str(p.relative_to(repository)) for p in repository.rglob("*")} | {""}
        assert set(found) <= own
        assert not any(part == ".git" for each in found for part in each.split("/"))
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)


def test_a_tree_that_changes_while_it_is_read_is_said_and_taken_as_it_was_read(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    for name in ("Makefile", "a", "b", "c"):
        (folder / name).write_text(f"{name}1")
    copy = worktree._copy

    def meddle(stream: object, path: bytes, *more: object) -> int:
        if path == b"a":
            (folder / "b").write_text("b2, longer")
            (folder / "c").unlink()
        size: int = copy(stream, path, *more)  # type: ignore[arg-type]
        if path == b"a":
            (folder / "a").write_text("a2")
        return size

    monkeypatch.setattr(worktree, "_copy", meddle)
    snapshot = read(folder, "xen", cache)

    assert content(snapshot) == {"": "/", "Makefile": "Makefile1", "a": "a1", "b": "b2, longer"}
    (note,) = snapshot.notes
    assert note.startswith("3 file(s) changed while the tree was read: a, b, c")


def test_a_file_that_is_cut_while_it_is_read_is_as_long_as_what_was_read(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "Makefile").write_text("x" * 5000)
    real = os.fstat

    def fstat(file: int) -> os.stat_result:
        state = real(file)
        if state.st_size == 5000:
            os.truncate(folder / "Makefile", 700)
        return state

    monkeypatch.setattr(os, "fstat", fstat)
    assert content(read(folder, "xen", cache))["Makefile"] == "x" * 700


def test_large_trees_are_bounded_and_what_is_ignored_is_not_counted(
    repository: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "big").mkdir()
    with (repository / "big" / "objects").open("wb") as out:
        out.truncate(2 << 30)
    (repository / "big" / "objects").chmod(0)
    monkeypatch.setattr(worktree, "_BYTES", 1 << 16)
    read(repository, "xen", cache)
    (repository / "large.c").write_bytes(bytes(1 << 17))
    with pytest.raises(BuildError, match="more than"):
        read(repository, "xen", cache)
    monkeypatch.setattr(worktree, "_BYTES", 1 << 30)
    monkeypatch.setattr(worktree, "_MOST", 3)
    with pytest.raises(BuildError, match="more than 3 files"):
        read(repository, "xen", cache)


def test_of_a_folder_the_last_archives_stay(tmp_path: Path, cache: Cache) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    taken = []
    for number in range(6):
        (folder / "Makefile").write_text(f"{number}")
        taken.append(read(folder, "xen", cache))
        os.utime(cache._record_path(taken[-1].source, ""), (number, number))
    there = [cache.resolved(each.source) is not None for each in taken]
    assert there == [False] * 3 + [True] * 3


def test_the_user_s_own_list_of_what_is_ignored_counts(
    repository: Path, tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ignored").write_text("new.*\n")
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[core]\n\texcludesFile = {tmp_path}/ignored\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    assert "new.sh" not in content(read(repository, "xen", cache))
