# SPDX-License-Identifier: GPL-2.0-or-later
"""One commit of a repository as a tar archive."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from builders import ROOT
from builders.errors import BuildError, Exit, Interrupted
from builders.ground.sources.cache import Cache
from builders.ground.sources.fetching import reachable
from builders.pipeline.recipe import GitSource
from tests.unit import servers
from tests.unit.servers import Site
from tests.unit.sources.fetches import (
    QUICK,
    Heard,
    failure,
    fetch,
    git,
    repository,
)

pytestmark = pytest.mark.slow


def tree(url: str | Path, commit: str) -> GitSource:
    return GitSource("bios", (str(url),), commit)


@pytest.mark.parametrize("as_url", [True, False])
def test_a_commit_becomes_a_tar(cache: Cache, tmp_path: Path, as_url: bool) -> None:
    repo = tmp_path / "repo"
    commit = repository(repo)
    heard = Heard()
    fetched = fetch(tree(repo.as_uri() if as_url else repo, commit), cache, heard)
    assert fetched.version == commit
    (file,) = fetched.files
    assert file.name == f"bios-{commit[:12]}.tar"
    assert file.sha256 == hashlib.sha256(file.path.read_bytes()).hexdigest()
    with tarfile.open(file.path) as tar:
        members = {m.name: m for m in tar.getmembers()}
        assert set(members) == {"bios"} | {
            f"bios/{n}" for n in (".gitattributes", "hidden", "version", "run", "link", "file")
        }
        content = tar.extractfile("bios/file")
        version = tar.extractfile("bios/version")
        assert content is not None
        assert content.read() == b"two\n"
        assert version is not None
        assert version.read() == b"$Format:%H %d$\n"
        assert members["bios/run"].mode & 0o111
        assert members["bios/link"].linkname == "run"
        assert {m.mtime for m in members.values()} == {1350000000}
    shutil.rmtree(repo)
    assert fetch(tree(repo, commit), cache) == fetched
    assert list(cache.root.glob("tmp/*")) == []
    assert heard.labels == ["bios"]


def test_git_ends_with_the_tool(tmp_path: Path) -> None:
    """Killed by itself: git is in a session of its own, and hears of no group."""
    with Site(servers.stall) as site:
        tool = subprocess.Popen([sys.executable, "-c", STALLED, str(tmp_path), site.url], cwd=ROOT)
        while not site.requests:
            time.sleep(0.05)
        tool.kill()
        tool.wait()
        until = time.monotonic() + 5
        while running := [line for line in command_lines() if site.url.encode() in line]:
            assert time.monotonic() < until, running
            time.sleep(0.05)


STALLED = """
import sys
from pathlib import Path
from builders.progress import Silent
from builders.pipeline.recipe import GitSource
from builders.ground.sources.cache import Cache
from builders.ground.sources.fetching import fetch_all
fetch_all([GitSource("bios", (sys.argv[2],), "1" * 40)], Cache(Path(sys.argv[1])), Silent())
"""


def command_lines() -> Iterator[bytes]:
    """Of every process that the kernel tells of."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield (process / "cmdline").read_bytes()


def test_a_server_without_single_commits_gives_the_same_tar(cache: Cache, tmp_path: Path) -> None:
    """The dumb protocol: plain files, no shallow fetch (gitprotocol-http(5))."""
    commit = repository(tmp_path / "repo")
    git(tmp_path, "clone", "-q", "--bare", "repo", "dumb.git")
    git(tmp_path / "dumb.git", "update-server-info")
    direct = fetch(tree(tmp_path / "repo", commit), cache)
    other = Cache(tmp_path / "other")
    with Site(servers.folder(tmp_path)) as site:
        fetched = fetch(tree(f"{site.root}/dumb.git", commit), other)
        assert reachable(tree(f"{site.root}/dumb.git", commit)) is None
        head = git(tmp_path / "repo", "rev-parse", "main")
        with pytest.raises(BuildError) as caught:
            fetch(tree(f"{site.root}/dumb.git", "1" * 40), other)
    assert fetched.files[0].sha256 == direct.files[0].sha256
    assert f"commit {'1' * 40} is not in that repository" in caught.value.message
    assert head in caught.value.message


def test_a_commit_that_is_not_there(cache: Cache, tmp_path: Path) -> None:
    repository(tmp_path / "repo")
    head = git(tmp_path / "repo", "rev-parse", "main")
    error = failure(tree(tmp_path / "repo", "1" * 40), cache)
    assert (
        f"{tmp_path / 'repo'}: commit {'1' * 40} is not in that repository; "
        f"its branch main is at {head}" in error.message
    )
    assert "--set sources.bios.urls=file:///" in error.hint


def test_a_tag_in_place_of_a_commit(cache: Cache, tmp_path: Path) -> None:
    commit = repository(tmp_path / "repo")
    tag = git(tmp_path / "repo", "rev-parse", "v2")
    assert (
        f"not a commit but a tag of {commit}"
        in failure(tree(tmp_path / "repo", tag), cache).message
    )


def test_the_next_repository_is_tried(cache: Cache, tmp_path: Path) -> None:
    commit = repository(tmp_path / "repo")
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    urls = (str(tmp_path / "none"), "git://127.0.0.1:9/x", str(empty), str(tmp_path / "repo"))
    heard = Heard()
    fetched = fetch(GitSource("bios", urls, commit), cache, heard)
    assert fetched.version == commit
    assert len(heard.lines) == 3
    assert "does not appear to be a git repository" in heard.lines[0]
    assert "Connection refused" in heard.lines[1]
    assert "is not in that repository" in heard.lines[2]


def test_no_setting_of_the_user_changes_what_git_does(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository(tmp_path / "repo")
    url = (tmp_path / "repo").as_uri()
    plain = fetch(tree(url, commit), cache).files[0].sha256
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        '[url "file:///nowhere/"]\n\tinsteadOf = file:///\n[tar]\n\tumask = 077\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "tar.umask")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "077")
    other = Cache(tmp_path / "other")
    assert fetch(tree(url, commit), other).files[0].sha256 == plain


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% {0}/touched",
        "--upload-pack=touch {0}/touched",
        "-otouched",
        "helper::{0}/touched",
    ],
)
def test_an_address_runs_no_command(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    (tmp_path / "git-remote-helper").write_text('#!/bin/sh\ntouch "$2"\n')
    (tmp_path / "git-remote-helper").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    wanted = tree(url.format(tmp_path), "1" * 40)
    failure(wanted, cache)
    assert reachable(wanted) is not None
    assert not (tmp_path / "touched").exists()


def test_git_credentials_are_never_shown(cache: Cache) -> None:
    url = "http://user:secret@127.0.0.1:9/x.git"
    heard = Heard()
    with pytest.raises(BuildError) as caught:
        fetch(GitSource("bios", (url, url + "2"), "1" * 40), cache, heard)
    said = reachable(tree(url, "1" * 40)) or ""
    text = "\n".join([caught.value.message, said, *heard.lines, *heard.phases])
    assert "127.0.0.1" in text
    assert "secret" not in text


def test_a_git_that_asks_for_a_password_fails_instead(cache: Cache) -> None:
    with Site(servers.status(401, {"WWW-Authenticate": 'Basic realm="x"'})) as site:
        start = time.monotonic()
        assert (
            "could not be fetched" in failure(tree(f"{site.root}/x.git", "1" * 40), cache).message
        )
        assert time.monotonic() - start < 5


def test_a_missing_git_names_its_package(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError) as caught:
        fetch(tree(tmp_path, "1" * 40), cache)
    assert caught.value.exit == Exit.ENGINE
    assert "git is not installed" in caught.value.message
    assert "apt-get install git" in caught.value.hint
    assert "git is not installed" in str(reachable(tree(tmp_path, "1" * 40)))


def test_cancel_ends_git_and_its_helpers(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = f"86400.{random.SystemRandom().randrange(10**9)}"
    (tmp_path / "git").write_text(f"#!/bin/sh\nsleep {marker} &\nsleep {marker}\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Interrupted):
        fetch(tree(tmp_path, "1" * 40), cache, cancel=stop)
    assert not _running(marker)


def test_a_git_that_says_nothing_is_given_up(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = f"86400.{random.SystemRandom().randrange(10**9)}"
    real = shutil.which("git")
    (tmp_path / "git").write_text(
        f'#!/bin/sh\ncase " $* " in *" fetch "*) sleep {marker} ;; esac\nexec {real} "$@"\n'
    )
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    patient = dataclasses.replace(QUICK, silence=0.2)
    with pytest.raises(BuildError, match=r"git fetch said nothing for 0\.2 s"):
        fetch(tree(tmp_path, "1" * 40), cache, patience=patient)
    assert not _running(marker)


def _acting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetching: str) -> None:
    """Have `fetching`, shell commands, run in place of `git fetch`."""
    real = shutil.which("git")
    (tmp_path / "git").write_text(
        f'#!/bin/sh\ncase " $* " in *" fetch "*) {fetching} ;; esac\nexec {real} "$@"\n'
    )
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("fetching", "expected"),
    [
        ("while sleep 0.05; do echo busy >&2; done", "git fetch: not done in 0.5 s"),
        (
            "while :; do head -c 2M /dev/zero; sleep 0.1; done >$GIT_DIR/objects/pack/t",
            "git fetch: more than 8 MiB",
        ),
        ("yes remote: >&2", "git fetch said more than 64 MiB"),
    ],
)
def test_a_git_without_an_end_is_ended(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetching: str, expected: str
) -> None:
    # ulimit: where the limit is not kept, this test fails and the disk does not fill.
    _acting(tmp_path, monkeypatch, f"ulimit -f 1000000; {fetching}")
    seconds = 0.5 if "not done" in expected else 20.0
    patient = dataclasses.replace(QUICK, repository=(seconds, 8 << 20), silence=60)
    begun = time.monotonic()
    with pytest.raises(BuildError, match=expected):
        fetch(tree(tmp_path, "1" * 40), cache, patience=patient)
    assert time.monotonic() - begun < 15
    assert list(cache.root.glob("tmp/*")) == []


def test_a_commit_that_unfolds_into_a_giant_is_given_up(cache: Cache, tmp_path: Path) -> None:
    # Each tree has the one below it sixteen times: 16^4 files, a pack of some hundred bytes.
    repo = tmp_path / "repo"
    commit = repository(repo)
    identity = subprocess.run(
        ["git", "-C", str(repo), "hash-object", "-w", "--stdin"],
        input=b"x" * 5000,
        capture_output=True,
        check=True,
    ).stdout.decode()
    kind, mode = "blob", "100644"
    for _ in range(4):
        names = "".join(f"{mode} {kind} {identity.strip()}\t{n:x}\n" for n in range(16))
        identity = subprocess.run(
            ["git", "-C", str(repo), "mktree"],
            input=names.encode(),
            capture_output=True,
            check=True,
        ).stdout.decode()
        kind, mode = "tree", "040000"
    commit = git(repo, "commit-tree", identity.strip(), "-m", "giant")
    git(repo, "update-ref", "refs/heads/giant", commit)
    patient = dataclasses.replace(QUICK, repository=(60.0, 16 << 20))
    with pytest.raises(BuildError, match="git archive: more than 16 MiB"):
        fetch(tree(repo, commit), cache, patience=patient)


def test_nothing_of_the_user_runs_beside_git(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository(tmp_path / "repo")
    ran = tmp_path / "ran"
    (tmp_path / "hook").write_text(f"#!/bin/sh\ntouch {ran}\n")
    (tmp_path / "hook").chmod(0o755)
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("reference-transaction", "post-checkout", "pre-auto-gc"):
        shutil.copy(tmp_path / "hook", hooks / name)
    (tmp_path / ".gitconfig").write_text(
        f"[core]\nhooksPath = {hooks}\nfsmonitor = {tmp_path}/hook\naskPass = {tmp_path}/hook\n"
        f"[init]\ntemplateDir = {tmp_path}/template\n[credential]\nhelper = {tmp_path}/hook\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(tmp_path / "template"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(tmp_path / "hook"))
    fetch(tree(tmp_path / "repo", commit), cache)
    with Site(servers.status(401, {"WWW-Authenticate": 'Basic realm="x"'})) as site:
        failure(tree(f"{site.root}/repo.git", "1" * 40), Cache(tmp_path / "other"))
    assert not ran.exists()


@pytest.mark.parametrize("url", ["ext::sh -c 'touch ran'", "fd::17/x", "--upload-pack=touch ran"])
def test_only_plain_protocols_are_spoken(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    failure(tree(url, "1" * 40), cache)
    assert not (tmp_path / "ran").exists()


def _running(marker: str) -> bool:
    """Whether a process with that argument is there, and still is after a moment."""
    until = time.monotonic() + 2
    while _seen(marker):
        if time.monotonic() > until:
            return True
        time.sleep(0.02)
    return False


def _seen(marker: str) -> bool:
    found = False
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found |= marker.encode() in path.read_bytes().split(b"\0")
        except OSError:
            continue
    return found
