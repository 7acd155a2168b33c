# SPDX-License-Identifier: GPL-2.0-or-later
"""One container: trees go in, a log and files come out, through the engine's API.

This package is the only one that knows the engine. Nothing is ever bind-mounted, so that the
engine may be on another machine.

The container's first process reads a standard input that this process holds
open. When this process dies, in whatever way, the engine closes that input,
the first process ends and the kernel ends all others with it: nobody is left
compiling for a tool that is gone.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from builders.errors import BuildError, Exit, Interrupted
from builders.ground.engine.failures import engine_errors
from builders.ground.engine.labels import LABEL
from builders.ground.engine.live import Live
from builders.ground.engine.transfer import CHUNK, archive, read, tar
from builders.text import printable

if TYPE_CHECKING:
    from typing import Self

    from docker import DockerClient

BUILDER = 1000  # uid and gid of the user that builds
HOSTNAME = "builder"
ENVIRONMENT = {
    "HOME": "/home/builder",
    "USER": "builder",
    "LOGNAME": "builder",
    "PATH": "/usr/lib/ccache:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "DEBIAN_FRONTEND": "noninteractive",
    "CCACHE_DIR": "/ccache",
    # In place of $CCACHE_DIR/ccache.conf, which every step that compiles can write: with
    # prefix_command it would say what a later one runs (ccache(1), "Location of the
    # configuration file").
    "CCACHE_CONFIGPATH": "/dev/null",
}
_LONGEST = 100_000  # bytes of a script in a command: no word of one may have 128 KiB (execve(2))
_WATCHDOG = ["sh", "-c", "cat >/dev/null; :"]  # not the last command: sh stays and reaps
# Of what docker gives to root, what neither apt and dpkg nor a build's preparation need.
_LESS = {"cap_drop": ["MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SYS_CHROOT"]}
_NO_RIGHTS = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
# Names that a container may give a file of the box; stage.json is how a stage is recorded.
_COLLECTED = re.compile(r"(?!stage\.json$)[A-Za-z0-9_][A-Za-z0-9_.+~:%-]{0,199}")
LOG = 512 << 20  # bytes that one script may print; a whole build prints some ten MiB
SHORT = 64 << 20  # of a script whose output is held in memory
_FILES = 4096  # that are collected at once
_BYTES = 8 << 30  # of all of them; Debian's kernel with its symbols has 1 GiB


@dataclass(frozen=True)
class Place:
    """Who builds where: the host's name, the user and its number, and the folder of a build."""

    hostname: str = HOSTNAME
    user: str = "builder"
    uid: int = BUILDER
    folder: str = "/build"

    @property
    def home(self) -> str:
        return f"/home/{self.user}"


PLACE = Place()  # of every container but those of a build that is repeated elsewhere


@dataclass(frozen=True)
class Limits:
    """What one container may use. memory: GiB; pids, nofile: numbers."""

    memory: int = 8
    pids: int = 4096
    nofile: int = 16384


class Container:
    """One container of `image`; a context manager that always removes it.

    labels: what it is for, so that a later run can find what was left.
    network: only for apt; a build has none.
    root: run as root with the capabilities that apt and dpkg need.
    jailer: system calls; where there are any, root may make user namespaces and give them users,
    has no other right, and may use all system calls but these.
    volumes: named volume -> where it is mounted, ":ro" after it for reading only. Never a folder
    of the box.
    place: what the image has, or else a user and folders that are made in the container.
    """

    def __init__(
        self,
        client: DockerClient,
        image: str,
        what: str,
        *,
        labels: Mapping[str, str],
        live: Live,
        limits: Limits = Limits(),
        network: bool = False,
        root: bool = False,
        jailer: Collection[str] = (),
        volumes: Mapping[str, str] | None = None,
        place: Place = PLACE,
    ) -> None:
        self._client = client
        self._what = what
        self._live = live
        self._root = root
        self._place = place
        from docker.types import Ulimit

        common: dict[str, Any] = {
            "entrypoint": [],
            "user": "root" if root else str(BUILDER),
            "hostname": place.hostname,
            "working_dir": "/",
            "environment": ENVIRONMENT | ({"HOME": "/root", "USER": "root"} if root else {}),
            "labels": dict(labels),
            "stdin_open": True,  # and closed for good once this process lets go of it
            "tty": False,
        }
        host: dict[str, Any] = {
            "network_mode": None if network else "none",
            "mem_limit": f"{limits.memory}g",
            "pids_limit": limits.pids,
            # An unlimited nofile makes fakeroot close a thousand million files.
            "ulimits": [Ulimit(name="nofile", soft=limits.nofile, hard=limits.nofile)],
            "auto_remove": True,  # whatever becomes of this process
        }
        binds: dict[str, Any] = {name: _bind(at) for name, at in (volumes or {}).items()}
        with engine_errors(what):
            if jailer:
                config = client.api.create_host_config(**host, **_jailer(jailer), binds=binds)
                # A user namespace gets a /proc of its own only where nothing covers this one
                # (mount_too_revealing() in the kernel); what is tried is given another.
                config |= {"MaskedPaths": [], "ReadonlyPaths": []}
                inside = [bind["bind"] for bind in binds.values()]
                made = client.api.create_container(
                    image, _WATCHDOG, **common, volumes=inside, host_config=config
                )
                self._it = client.containers.get(made["Id"])
            else:
                rights: dict[str, Any] = _LESS if root else _NO_RIGHTS
                self._it = client.containers.create(
                    image, _WATCHDOG, **common, **host, **rights, volumes=binds
                )

    @property
    def id(self) -> str:
        return str(self._it.id)

    def __enter__(self) -> Self:
        try:
            with engine_errors(self._what):
                self._stdin = self._client.api.attach_socket(
                    self.id, params={"stdin": 1, "stream": 1}
                )
                self._it.start()
            if self._place.uid != BUILDER:
                self._settle()
        except BaseException:
            self._remove()
            raise
        self._live.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.discard(self)
        with suppress(Exception):
            self._stdin.close()
        self._remove()

    def _settle(self) -> None:
        """Make the user of another place, and its folders: no process of the build may do that."""
        place, out = self._place, io.BytesIO()
        lines = {
            "etc/passwd": f"{place.user}:x:{place.uid}:{place.uid}::{place.home}:/bin/sh\n",
            "etc/group": f"{place.user}:x:{place.uid}:\n",
        }
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name, line in lines.items():
                content = self.read(f"/{name}") + line.encode()
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            for folder in (place.home, place.folder):
                info = tarfile.TarInfo(folder.lstrip("/"))
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                info.uid = info.gid = place.uid
                tar.addfile(info)
        with engine_errors(f"{self._what}: making the user {place.user}"):
            self._client.api.put_archive(self.id, "/", iter([out.getvalue()]))

    @property
    def _user(self) -> str:
        return "root" if self._root else str(self._place.uid)

    def _remove(self) -> None:
        import docker.errors

        # Best effort: what stays is removed by its labels at the next run.
        with suppress(Exception):
            self._it.remove(force=True, v=True)
        # It may be on its way out by itself, and is gone only when the engine says so.
        with suppress(docker.errors.DockerException, OSError):
            for _ in range(100):
                self._it.reload()
                time.sleep(0.1)

    def kill(self) -> None:
        """End every process in it, at once."""
        with suppress(Exception):
            self._it.kill()

    def put(
        self,
        folder: str,
        files: Iterable[tuple[str, bytes | Path]],
        mode: int = 0o644,
        *,
        digests: Mapping[str, str] | None = None,
    ) -> None:
        """Put files (name, content or a file of the box) into `folder`, owned by the builder.

        digests: name -> the sha256 that a file has to have, compared while it is sent.
        Raises ChangedError where it has another.
        """
        stream = tar(files, mode, 0 if self._root else self._place.uid, digests)
        with engine_errors(f"{self._what}: copying files in"):
            self._client.api.put_archive(self.id, folder, stream)

    def read(self, path: str, limit: int = 1 << 26) -> bytes:
        """The content of one file, at most `limit` bytes of it."""
        return read(self._client, self.id, path, self._what, limit)

    def fetch(self, folder: str, into: Path, *, plain: bool = True) -> list[Path]:
        """Copy the regular files right inside `folder` to `into`; the paths there.

        The container is not trusted: names are checked, and so are numbers and sizes. plain: what
        is no regular file of such a name is an error; otherwise it is passed over.
        BuildError (STEP) names what can't be taken.
        """
        taken: list[Path] = []
        size = 0
        what = f"{self._what}: copying {folder} out"
        with engine_errors(what), archive(self._client, self.id, folder) as tree:
            for member in tree:
                if member.isdir() and "/" not in member.name.strip("/"):
                    continue  # the folder itself
                top, _, name = member.name.strip("/").partition("/")
                problem = _problem(name, member) if top not in ("", ".", "..") else "lies elsewhere"
                size += member.size if not problem else 0
                if problem and not plain:
                    continue
                if problem or size > _BYTES or len(taken) == _FILES:
                    raise self._refused(folder, name, problem)
                stream = tree.extractfile(member)
                assert stream is not None  # noqa: S101 - it is a regular file
                path = into / name
                with path.open("wb") as out:
                    shutil.copyfileobj(stream, out, CHUNK)
                taken.append(path)
        return sorted(taken)

    def _refused(self, folder: str, name: str, problem: str) -> BuildError:
        if not problem:
            problem = f"more than {_FILES} files or {_BYTES >> 30} GiB are there"
        elif name:
            problem = f"{printable(name)[:200]} {problem}"
        return BuildError(
            f"{self._what}: what lies in {folder} is not taken: {problem}",
            hint="the step may leave plain files there and nothing else",
            exit=Exit.STEP,
        )

    def run(
        self,
        script: str,
        *,
        log: BinaryIO,
        watch: Callable[[str], None] | None = None,
        folder: str = "/",
        environment: Mapping[str, str] | None = None,
        limit: int = LOG,
    ) -> int:
        """Run a shell script (sh -e); its output goes to `log`, each line to `watch`.

        limit: bytes of output; a script that prints more is ended.

        Returns the exit status. Raises Interrupted after a stop, BuildError (ENGINE) where
        the engine or the container went away.
        """
        import docker.errors

        if self._live.stopping.is_set():
            raise Interrupted
        if len(script.encode()) > _LONGEST:
            name = hashlib.sha256(script.encode()).hexdigest()[:16]
            self.put("/run", [(name, script.encode())])
            script = f". /run/{name}"
        command = ["sh", "-ec", f"umask 022\nexec 2>&1\n{script}"]
        with engine_errors(self._what):
            created = self._client.api.exec_create(
                self._it.id,
                command,
                workdir=folder,
                environment=dict(environment or {}),
                user=self._user,
            )["Id"]
            pending = b""
            size = 0
            for chunk in self._client.api.exec_start(created, stream=True):
                size += len(chunk)
                if size > limit:
                    self.kill()
                    raise BuildError(
                        f"{self._what}: its output grew over {limit >> 20} MiB",
                        hint="something in it repeats itself: look at the end of its log",
                        exit=Exit.STEP,
                    )
                log.write(chunk)
                *lines, pending = (pending + chunk).split(b"\n")
                if lines and watch:
                    watch(lines[-1].decode("utf-8", "replace"))
                pending = pending[-4096:]
            try:
                status = self._client.api.exec_inspect(created)["ExitCode"]
                running = self._running(patient=status in (None, 137))
            except docker.errors.NotFound:
                running = False
        if self._live.stopping.is_set():
            raise Interrupted
        if not running or status is None:
            raise BuildError(
                f"{self._what}: its container was stopped from outside",
                hint="run the same command again: finished stages are kept",
                exit=Exit.ENGINE,
            )
        return int(status)

    def _running(self, *, patient: bool) -> bool:
        """Whether it runs; `patient`: wait until the engine has noticed that it was killed."""
        for _ in range(20 if patient else 1):
            self._it.reload()
            if not self._it.attrs["State"]["Running"]:
                return False
            if patient:
                time.sleep(0.1)
        return True

    def starved(self) -> int:
        """The limit in GiB where a process was ended because it wanted more memory, else 0."""
        out = io.BytesIO()
        with suppress(BuildError):  # where the kernel does not tell, nobody knows
            # Version 2 and 1 of control groups (cgroups(7)): a line "oom_kill NUMBER" each.
            self.run(
                "cd /sys/fs/cgroup; cat memory.events memory/memory.oom_control 2>&- || :", log=out
            )
        killed = re.search(rb"^oom_kill ([1-9]\d*)$", out.getvalue(), re.MULTILINE)
        return int(self._it.attrs["HostConfig"]["Memory"]) >> 30 if killed else 0

    def shell(self, folder: str) -> Shell:
        """Start an interactive shell in `folder`."""
        with engine_errors(f"{self._what}: a shell"):
            created = self._client.api.exec_create(
                self._it.id,
                ["sh", "-c", "exec $(command -v bash || command -v sh)"],
                stdin=True,
                tty=True,
                workdir=folder,
                user=self._user,
                environment={"TERM": os.environ.get("TERM", "dumb")},
            )["Id"]
            stream = self._client.api.exec_start(created, tty=True, socket=True)
        return Shell(self._client, created, stream)

    def commit(self, repository: str, tag: str, labels: Mapping[str, str]) -> str:
        """Make an image of it; the image's id.

        An image has the labels of its container, and a person's container those of its image:
        whose it was is taken out, or the next sweep would take that one for a leftover.
        """
        labels = {"owner": "", "recipe": "", **labels}
        changes = [f"LABEL {LABEL}.{key}={value}" for key, value in labels.items()]
        with engine_errors(f"{self._what}: keeping the image"):
            image = self._client.api.commit(
                self.id, repository, tag, changes="\n".join([*changes, 'CMD ["sh"]'])
            )
        return str(image["Id"])


def _jailer(denied: Collection[str]) -> dict[str, Any]:
    """The rights of a root that makes user namespaces: less than any root of a container has.

    Docker's own filter of system calls allows no namespace, and its AppArmor profile no mount(2)
    to anybody, not even in a user namespace: where there is one, it can't stay.
    """
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": sorted(denied), "action": "SCMP_ACT_ERRNO"}],
    }
    return {
        "cap_drop": ["ALL"],
        "cap_add": ["SETUID", "SETGID"],  # to write a namespace's map of users
        "security_opt": ["apparmor=unconfined", f"seccomp={json.dumps(profile)}"],
    }


def _problem(name: str, member: tarfile.TarInfo) -> str:
    """Why a member of what a container hands out is not taken; "" where it is."""
    if "/" in name or member.isdir():
        return "is, or lies in, a folder"
    if not member.isreg():
        return "is no plain file"
    return "" if _COLLECTED.fullmatch(name) else "is a name that is not taken"


def _bind(at: str) -> dict[str, str]:
    """Where a volume is mounted, as the engine's client wants it."""
    folder, _, mode = at.partition(":")
    return {"bind": folder, "mode": mode or "rw"}


class Shell:
    """A shell that runs in a container: a socket with a terminal behind it."""

    def __init__(self, client: DockerClient, created: str, stream: Any) -> None:
        self._client = client
        self._id = created
        self._stream = stream

    def fileno(self) -> int:
        return int(self._stream.fileno())

    def resize(self, lines: int, columns: int) -> None:
        """Tell its terminal the size of ours."""
        with suppress(Exception):  # it has just ended
            self._client.api.exec_resize(self._id, height=lines, width=columns)

    def close(self) -> None:
        self._stream.close()

    def status(self) -> int:
        """Its exit status; 0 while that is not known."""
        with engine_errors("the shell"):
            return int(self._client.api.exec_inspect(self._id)["ExitCode"] or 0)
