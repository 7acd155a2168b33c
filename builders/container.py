# SPDX-License-Identifier: GPL-2.0-or-later
"""One container: trees go in, a log and files come out, through the engine's API.

This module and `engine` (which finds one) are the only ones that know the
engine. Nothing is ever bind-mounted, so the engine may be on another machine.

The container's first process reads a standard input that this process holds
open. When this process dies, in whatever way, the engine closes that input,
the first process ends and the kernel ends all others with it: nobody is left
compiling for a tool that is gone.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Protocol, TextIO

from builders.errors import BuildError, Exit, Interrupted
from builders.progress import printable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from docker import DockerClient

LABEL = "org.dom0-debs"
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
}
_WATCHDOG = ["sh", "-c", "cat >/dev/null; :"]  # not the last command: sh stays and reaps
_CHUNK = 1 << 20
_TAIL = 15  # lines of a log that an error shows
_COLLECTED = re.compile(r"\w[\w.+~:%-]*")  # names that a container may give a file of the box


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


class Killable(Protocol):
    """What a stop can end: a container, or a process of the box."""

    def kill(self) -> None:
        """End it at once."""


class Live:
    """What runs now, so that a stop can end it from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[Killable] = set()
        self.stopping = threading.Event()

    def add(self, it: Killable) -> None:
        """Remember `it`; where the stop came before, it is ended right away."""
        with self._lock:
            self._running.add(it)
        if self.stopping.is_set():
            it.kill()

    def discard(self, it: Killable) -> None:
        """Forget `it`: it has ended."""
        with self._lock:
            self._running.discard(it)

    def stop(self) -> None:
        """End all; their steps then raise Interrupted."""
        self.stopping.set()
        with self._lock:
            running = list(self._running)
        for it in running:
            it.kill()


@contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Turn what the engine's client raises into an error that a user can act on."""
    import docker.errors
    import requests
    import urllib3

    try:
        yield
    except docker.errors.APIError as error:
        text = str(error.explanation or error)
        if "no space left" in text.lower():
            raise disk_full(what) from None
        raise BuildError(
            f"{what}: the engine refused: {text}",
            hint="./inv doctor looks at the engine",
            exit=Exit.ENGINE,
        ) from None
    except OSError as error:
        if isinstance(error, (requests.RequestException, ConnectionError)):
            raise _gone(what, error) from None
        where = f"{error.filename}: " if error.filename else ""
        raise BuildError(
            f"{what}: {where}{error.strerror or error} on this machine",
            hint="free some space there, or make it writable, and run it again: "
            "finished stages are kept",
            exit=Exit.ENGINE,
        ) from None
    except (docker.errors.DockerException, urllib3.exceptions.HTTPError, tarfile.TarError) as error:
        raise _gone(what, error) from None


def _gone(what: str, error: Exception) -> BuildError:
    return BuildError(
        f"{what}: the engine went away ({type(error).__name__}: {error})",
        hint="start it and run the same command again: finished stages are kept",
        exit=Exit.ENGINE,
    )


def disk_full(what: str, log: Path | None = None, excerpt: str = "") -> BuildError:
    """The error for an engine whose disk is full."""
    return BuildError(
        f"{what}: no space left on the engine's disk",
        hint="./inv clean --images removes what this tool left there; "
        "`docker system df` shows the rest. Finished stages are kept",
        log=log,
        excerpt=excerpt,
        exit=Exit.ENGINE,
    )


class Container:
    """One container of `image`; a context manager that always removes it.

    labels: what it is for, so that a later run can find what was left.
    network: only for apt; a build has none.
    root: run as root with the capabilities that apt and dpkg need.
    mounts: root may also mount(2), which takes CAP_SYS_ADMIN: for piuparts(1) and nothing else.
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
        mounts: bool = False,
        volumes: Mapping[str, str] | None = None,
        place: Place = PLACE,
    ) -> None:
        self._client = client
        self._what = what
        self._live = live
        self._root = root
        self._place = place
        from docker.types import Ulimit

        rights: dict[str, Any] = (
            {} if root else {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
        )
        if root and mounts:  # AppArmor's profile for containers forbids mount(2) to all
            rights = {"cap_add": ["SYS_ADMIN"], "security_opt": ["apparmor=unconfined"]}
        with engine_errors(what):
            self._it = client.containers.create(
                image,
                _WATCHDOG,
                entrypoint=[],
                user="root" if root else str(BUILDER),
                hostname=place.hostname,
                working_dir="/",
                environment=ENVIRONMENT | ({"HOME": "/root", "USER": "root"} if root else {}),
                labels=dict(labels),
                network_mode=None if network else "none",
                mem_limit=f"{limits.memory}g",
                pids_limit=limits.pids,
                # An unlimited nofile makes fakeroot close a thousand million files.
                ulimits=[Ulimit(name="nofile", soft=limits.nofile, hard=limits.nofile)],
                volumes={name: _bind(at) for name, at in (volumes or {}).items()},
                stdin_open=True,  # and closed for good once this process lets go of it
                tty=False,
                auto_remove=True,  # whatever becomes of this process
                **rights,
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
        self, folder: str, files: Iterable[tuple[str, bytes | Path]], mode: int = 0o644
    ) -> None:
        """Put files (name, content or a file of the box) into `folder`, owned by the builder."""
        stream = _tar(files, mode, 0 if self._root else self._place.uid)
        with engine_errors(f"{self._what}: copying files in"):
            self._client.api.put_archive(self.id, folder, stream)

    def read(self, path: str, limit: int = 1 << 26) -> bytes:
        """The content of one file, at most `limit` bytes of it."""
        return read(self._client, self.id, path, self._what, limit)

    def fetch(self, folder: str, into: Path) -> list[Path]:
        """Copy the regular files right inside `folder` to `into`; the paths there.

        The container is not trusted: names are checked, links and the rest are passed over.
        """
        taken: list[Path] = []
        what = f"{self._what}: copying {folder} out"
        with engine_errors(what), _archive(self._client, self.id, folder) as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                depth = member.name.strip("/").count("/")
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is None or depth != 1 or not _COLLECTED.fullmatch(name):
                    continue
                path = into / name
                with path.open("wb") as out:
                    shutil.copyfileobj(stream, out, _CHUNK)
                taken.append(path)
        return sorted(taken)

    def run(
        self,
        script: str,
        *,
        log: BinaryIO,
        watch: Callable[[str], None] | None = None,
        folder: str = "/",
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Run a shell script (sh -e); its output goes to `log`, each line to `watch`.

        Returns the exit status. Raises Interrupted after a stop, BuildError (ENGINE) where
        the engine or the container went away.
        """
        import docker.errors

        if self._live.stopping.is_set():
            raise Interrupted
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
            for chunk in self._client.api.exec_start(created, stream=True):
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
        """Whether it runs; `patient` waits for the engine to notice that it was killed."""
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


@contextmanager
def _archive(client: DockerClient, container: str, path: str) -> Iterator[tarfile.TarFile]:
    """`path` of a container as a tar stream, closed at the end of the block.

    docker-py's own get_archive leaves the answer open where it is not read to its end, and
    until it is closed the engine can't remove the container.
    """
    api = client.api
    url = f"{api.base_url}/v{api.api_version}/containers/{container}/archive"
    plain = {"Accept-Encoding": "identity"}
    with api.get(
        url, params={"path": path}, headers=plain, stream=True, timeout=api.timeout
    ) as answer:
        if answer.status_code != 200:
            import docker.errors

            raise docker.errors.APIError(answer.reason, answer, answer.json().get("message"))
        with tarfile.open(fileobj=answer.raw, mode="r|", bufsize=_CHUNK) as tar:
            yield tar


def read(client: DockerClient, container: str, path: str, what: str, limit: int = 1 << 26) -> bytes:
    """The content of one file in a container, running or not; at most `limit` bytes of it."""
    with engine_errors(f"{what}: reading {path}"), _archive(client, container, path) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is not None:
                return stream.read(limit)
    raise BuildError(f"{what}: {path} is not a file", exit=Exit.STEP)


def _tar(files: Iterable[tuple[str, bytes | Path]], mode: int, owner: int) -> Iterator[bytes]:
    """A tar stream made while it is sent; no file is held in memory."""
    for name, content in files:
        info = tarfile.TarInfo(name)
        info.mode, info.uid, info.gid = mode, owner, owner
        info.size = len(content) if isinstance(content, bytes) else content.stat().st_size
        yield info.tobuf(tarfile.GNU_FORMAT)
        source: IO[bytes] = (
            io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
        )
        sent = 0
        with source:
            while chunk := source.read(_CHUNK):
                sent += len(chunk)
                yield chunk
        if sent != info.size:
            raise BuildError(f"{name} changed while it was read", hint="run it again")
        yield bytes(-sent % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


_ERROR = re.compile(
    r"(?:^|[\s:])(?:fatal )?error:|No space left on device|undefined reference|Hunk #\d+ FAILED"
    r"|^E: |cannot find|command not found|: not found$|Killed",
)
_WIDTH = 400  # characters of a line that are looked at


def excerpt(log: Path) -> str:
    """The lines of a log that tell why it ended: the first error in it and its tail."""
    first: list[str] = []
    before: deque[str] = deque(maxlen=3)
    tail: deque[tuple[int, str]] = deque(maxlen=_TAIL)
    at = count = 0
    with log.open("r", encoding="utf-8", errors="replace") as lines:
        for count, line in enumerate(_cut(lines), 1):
            if not first and _ERROR.search(line):
                first, at = [*before, line], count
            before.append(line)
            tail.append((count, line))
    shown = [line for _, line in tail]
    if first and at < count - len(shown) + 1:
        shown = [*first, "  [...]", *shown]
    return "\n".join(map(printable, shown))


def _cut(lines: TextIO) -> Iterator[str]:
    """The beginnings of all lines; one that never ends is not held in memory."""
    begins = True
    while part := lines.readline(_WIDTH):
        if begins:
            yield part.rstrip("\n")
        begins = part.endswith("\n")


def sweep(client: DockerClient, owner: str, recipe: str = "") -> int:
    """Remove what an earlier run of this checkout left; how many containers that were.

    Only for the holder of the run's lock: a container that is in use has the same labels.
    """
    wanted = [f"{LABEL}.owner={owner}"] + ([f"{LABEL}.recipe={recipe}"] if recipe else [])
    with engine_errors("looking for containers of an earlier run"):
        found = client.containers.list(all=True, filters={"label": wanted}, ignore_removed=True)
        for container in found:
            with suppress(Exception):
                container.remove(force=True, v=True)
        for volume in client.volumes.list(filters={"label": [*wanted, f"{LABEL}.role=slots"]}):
            with suppress(Exception):
                volume.remove()
    return len(found)


def remove_images(client: DockerClient) -> int:
    """Remove every image and volume of this tool that nothing uses; how many."""
    gone = 0
    with engine_errors("removing images"):
        for image in client.images.list(filters={"label": f"{LABEL}.role"}):
            for tag in image.tags or [str(image.id)]:
                with suppress(Exception):  # in use: another run's
                    client.images.remove(tag)
                    gone += 1
        for volume in client.volumes.list(filters={"name": "dom0-debs-"}):
            with suppress(Exception):
                volume.remove()
                gone += 1
    return gone


def labels(owner: str, recipe: str, role: str) -> dict[str, str]:
    """The labels of one container or volume: whose it is, and what for."""
    about = {"owner": owner, "recipe": recipe, "role": role}
    return {f"{LABEL}.{key}": value for key, value in about.items()}
