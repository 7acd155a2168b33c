# SPDX-License-Identifier: GPL-2.0-or-later
"""One commit of a git repository as a tar archive, made by git(1)."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from builders.errors import BuildError, Exit, Interrupted
from builders.ground.engine import box
from builders.ground.sources.address import Failed, Passing, Patience, is_local
from builders.ground.sources.pins import GitSource
from builders.ground.sources.storage import storage_error
from builders.progress import Task
from builders.text import printable

# What another try does not change.
_GIT_FINAL = re.compile(
    r"not found|does not exist|not appear to be a git repository|authentication failed|"
    r"could not read (username|password)|permission denied|dubious ownership|"
    r"returned error: 4(?!08|29)|not our ref|transport '.*' not allowed|"
    r"unable to find remote helper|certificate|unadvertised object|shallow",
    re.IGNORECASE,
)
# A server that does not serve single commits; its branches and tags may hold it.
_GIT_REFUSED = re.compile(r"unadvertised object|shallow", re.IGNORECASE)
TREE = "tree.tar"  # the commit, in the folder of a Git
_SAID = 64 << 20  # bytes that git may say in one command; a server can make it say anything
_READ = 1 << 20  # bytes of that that are looked at
# What no setting, no repository and no server may change: nothing runs beside git itself, nobody
# is asked for a password, and what arrives stays one pack, whose size can be watched.
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "credential.helper": "",
    "core.askPass": "true",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",
    "fetch.bundleURI": "",
    "transfer.bundleURI": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "core.packedGitWindowSize": "64m",
    "core.packedGitLimit": "1g",
}
_MEMORY = 4 << 20  # KiB of memory that git may have: a tree of trees unfolds in it
_LIMITED = f'ulimit -v {_MEMORY} 2>/dev/null; exec git "$@"'


class Git:
    """git in a folder of its own, with an environment that no user's setting changes.

    One lasts at most patience.repository, in seconds and in bytes on the disk. environment: more
    of it.
    """

    def __init__(
        self,
        folder: Path,
        patience: Patience,
        stop: threading.Event,
        name: str,
        task: Task | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.patience = patience
        self.stop = stop
        self._name = name
        self._task = task
        self._begun = time.monotonic()
        prefixes = ("GIT_SSL_", "GIT_SSH")
        self._environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("GIT_") or key.startswith(prefixes)
        } | {
            "GIT_DIR": str(folder / "git"),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
            "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
            "GIT_HTTP_LOW_SPEED_TIME": str(max(1, round(patience.stall))),
            "LC_ALL": "C",
            **(environment or {}),
        }
        self._environment.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")

    def run(self, *arguments: str) -> str:
        """Run git; the beginning of its output. Raises Failed or Passing with what it said."""
        return _beginning(self._run(*arguments))

    def output(self, *arguments: str) -> bytes:
        """Run git; its whole output. Raises Failed or Passing with what it said."""
        path = self._run(*arguments)
        if path.stat().st_size > _SAID:
            raise Failed(f"git {arguments[0]} said more than {_SAID >> 20} MiB")
        return path.read_bytes()

    def _run(self, *arguments: str) -> Path:
        """Run git; the file with its output, until it is run again."""
        if shutil.which("git") is None:
            raise BuildError(
                f"git is not installed, and source {self._name} is a git repository",
                hint="sudo apt-get install git",
                exit=Exit.ENGINE,
            )
        settings = [w for key, value in _SETTINGS.items() for w in ("-c", f"{key}={value}")]
        output, errors = self.folder / "stdout", self.folder / "stderr"
        with output.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                box.tethered_group(["/bin/sh", "-c", _LIMITED, "git", *settings, *arguments]),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self._environment,
                start_new_session=True,  # so that its helpers end with it
            )
            try:
                self._wait(process, arguments[0], (output, errors))
            finally:
                if process.poll() is None:
                    _end(process)
        complaint = _beginning(errors)
        if process.returncode:
            if "No space left on device" in complaint or "Disk quota exceeded" in complaint:
                full = OSError(errno.ENOSPC, "No space left on device")
                raise storage_error(full, self.folder)
            reason = _complaint(complaint) or f"git {arguments[0]} ended with {process.returncode}"
            raise (Failed if _GIT_FINAL.search(complaint) else Passing)(reason)
        return output

    def _wait(self, process: subprocess.Popen[bytes], verb: str, watched: tuple[Path, ...]) -> None:
        since, seen = time.monotonic(), 0
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.2)
                # One that was quick may have said it all between two looks.
                self._quiet(verb, sum(path.stat().st_size for path in watched))
                return
            if self.stop.is_set():
                raise Interrupted
            size = sum(path.stat().st_size for path in watched)
            self._bound(verb, size)
            if size != seen:
                since, seen = time.monotonic(), size
                if self._task is not None:
                    self._task.show(f"git {verb}", _tail(watched[-1]))
            elif time.monotonic() - since > self.patience.silence:
                raise Passing(f"git {verb} said nothing for {self.patience.silence:g} s")

    def _quiet(self, verb: str, printed: int) -> None:
        if printed > _SAID:
            raise Failed(f"git {verb} said more than {_SAID >> 20} MiB")

    def _bound(self, verb: str, printed: int) -> None:
        """Failed where git, or whoever it talks to, takes more than it may."""
        seconds, most = self.patience.repository
        if time.monotonic() - self._begun > seconds:
            raise Failed(f"git {verb}: not done in {seconds:g} s")
        self._quiet(verb, printed)
        size = 0
        for path in (*self.folder.glob("git/objects/pack/*"), self.folder / TREE):
            with contextlib.suppress(FileNotFoundError):
                size += path.stat().st_size
        if size > most:
            raise Failed(f"git {verb}: more than {most >> 20} MiB; pin a file of it instead")


def _beginning(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(_READ).decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    for number, grace in ((signal.SIGTERM, 0.5), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace)
            return


def _tail(path: Path) -> str:
    """The last line of a growing file; git rewrites its progress with carriage returns."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 400))
        text = stream.read().decode("utf-8", "replace")
    return next((line for line in reversed(re.split(r"[\r\n]", text)) if line.strip()), "")


def _complaint(output: str) -> str:
    """The first thing that git complains of, in one line and without credentials."""
    lines = [line.strip() for line in re.split(r"[\r\n]", output) if line.strip()]
    first = next((n for n, line in enumerate(lines) if line.startswith(("fatal:", "error:"))), -1)
    chosen = lines[first:][:2] if lines else []
    if chosen and not chosen[0].endswith(":"):
        del chosen[1:]
    text = re.sub(r"^(fatal|error): ", "", " ".join(chosen))
    if "dubious ownership" in text:  # git's own advice is about a setting that isn't read here
        text = "the repository belongs to another user: name a copy that belongs to you"
    return printable(re.sub(r"//[^/\s@']*@", "//", text))[:300]


def commit_as_tar(git: Git, source: GitSource, url: str) -> Path:
    """The pinned commit of the repository at `url` as a tar with the prefix NAME/.

    The tar is the same for a commit wherever it was fetched: the attributes in
    the tree that leave files out or write the state of the repository into them
    are off (gitattributes(5), Creating an archive).
    """
    _init(git)
    _fetch_commit(git, source, url)
    try:
        commit = git.run("rev-parse", "--verify", f"{source.commit}^{{commit}}").strip()
    except Failed:
        raise Failed(_not_there(git, source, url)) from None
    if commit != source.commit:
        raise Failed(f"{source.commit} is not a commit but a tag of {commit}: pin that one")
    return _archived(git, source)


def _init(git: Git) -> None:
    git.run("init", "--quiet", "--bare", "--template=", str(git.folder / "git"))
    attributes = git.folder / "git" / "info" / "attributes"
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text("* -export-ignore -export-subst\n", encoding="ascii")


def _archived(git: Git, source: GitSource) -> Path:
    tar = git.folder / TREE
    git.run("archive", "--format=tar", f"--prefix={source.name}/", f"--output={tar}", source.commit)
    return tar


def pack_of(git: Git, source: GitSource) -> Path:
    """All objects of the commit that was fetched, and no others, as one pack.

    Raises Failed where git can't make it.
    """
    folder = git.folder / "git"
    pack = folder / "objects" / "pack"
    alone = (folder / "shallow").exists() and len(list(pack.glob("pack-*.pack"))) == 1
    if not alone:  # the server gave all of its history, or what signs a tag came before
        (folder / "packed-refs").unlink(missing_ok=True)
        shutil.rmtree(folder / "refs")
        (folder / "refs" / "heads").mkdir(parents=True)
        (folder / "shallow").write_text(f"{source.commit}\n", encoding="ascii")
        git.run("update-ref", "refs/heads/pinned", source.commit)
        git.run("repack", "-a", "-d", "-q")
    (only,) = pack.glob("pack-*.pack")
    return only


def pack_place(git: Git) -> Path:
    """Where a pack from elsewhere is put, for `tar_of_pack`; its folder is there."""
    folder = git.folder / "git" / "objects" / "pack"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"pack-{'0' * 40}.pack"


def tar_of_pack(git: Git, source: GitSource) -> Path:
    """As `commit_as_tar`, of a pack that lies at `pack_place`. Raises Failed.

    git computes the name of each object of its bytes (git-index-pack(1)): a pack that has the
    pinned commit with all below it has the very tree, whoever made it.
    """
    _init(git)
    (git.folder / "git" / "shallow").write_text(f"{source.commit}\n", encoding="ascii")
    try:
        git.run("index-pack", "--strict", str(pack_place(git)))
        if git.run("cat-file", "-t", source.commit).strip() != "commit":
            raise Failed(f"{source.commit} is no commit")
        return _archived(git, source)
    except Passing as error:
        raise Failed(error.reason) from None


def _fetch_commit(git: Git, source: GitSource, url: str) -> None:
    attempt = 1
    whole = False
    while True:
        try:
            if whole:
                heads, tags = "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"
                git.run("fetch", "--progress", "--no-tags", "--", url, heads, tags)
            else:
                git.run("fetch", "--progress", "--depth=1", "--", url, source.commit)
            return
        except Passing as error:
            if is_local(url) or attempt >= git.patience.attempts:
                raise Failed(error.reason) from None
            attempt += 1
            if git.stop.wait(min(git.patience.pause * 2 ** (attempt - 2), git.patience.longest)):
                raise Interrupted from None
        except Failed as error:
            if not whole and _GIT_REFUSED.search(error.reason):
                whole = True
                continue
            if "not our ref" in error.reason:
                raise Failed(_not_there(git, source, url)) from None
            raise


def _not_there(git: Git, source: GitSource, url: str) -> str:
    """The reason for a commit that a repository lacks, with what its own branch has."""
    reason = f"commit {source.commit} is not in that repository"
    with contextlib.suppress(Failed):
        text = git.run("ls-remote", "--symref", "--", url, "HEAD")
        branch = re.search(r"^ref: refs/heads/(\S+)\s+HEAD$", text, re.MULTILINE)
        commit = re.search(r"^([0-9a-f]{40})\s+HEAD$", text, re.MULTILINE)
        if commit:
            named = f"branch {printable(branch.group(1))}" if branch else "HEAD"
            reason += f"; its {named} is at {commit.group(1)}"
    return reason
