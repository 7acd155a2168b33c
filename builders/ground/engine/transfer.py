# SPDX-License-Identifier: GPL-2.0-or-later
"""Files into a container and out of it, as tar streams through the engine's API."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.ground.engine.failures import engine_errors

if TYPE_CHECKING:
    from docker import DockerClient

CHUNK = 1 << 20


@contextmanager
def archive(client: DockerClient, container: str, path: str) -> Iterator[tarfile.TarFile]:
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
        with tarfile.open(fileobj=answer.raw, mode="r|", bufsize=CHUNK) as tree:
            yield tree


def read(client: DockerClient, container: str, path: str, what: str, limit: int = 1 << 26) -> bytes:
    """The content of one file in a container, running or not; at most `limit` bytes of it."""
    with engine_errors(f"{what}: reading {path}"), archive(client, container, path) as tree:
        for member in tree:
            stream = tree.extractfile(member) if member.isreg() else None
            if stream is not None:
                return stream.read(limit)
    raise BuildError(f"{what}: {path} is not a file", exit=Exit.STEP)


class ChangedError(BuildError):
    """A file of the box that is not what it was when it was verified. path: that file."""

    def __init__(self, name: str, path: Path, why: str) -> None:
        super().__init__(
            f"{name}: {path} {why}: nothing is built from it",
            hint="run it again; it is set aside and fetched again",
            exit=Exit.SOURCE,
        )
        self.path = path


def tar(
    files: Iterable[tuple[str, bytes | Path]],
    mode: int,
    owner: int,
    digests: Mapping[str, str] | None = None,
) -> Iterator[bytes]:
    """A tar stream made while it is sent; no file is held in memory.

    digests: name -> the sha256 that a file has to have. The stream ends only after all were
    compared, so that nobody reads a whole archive with a changed file in it.
    Raises ChangedError where a file has another one.
    """
    expected = digests or {}
    for name, content in files:
        digest = hashlib.sha256()
        info = tarfile.TarInfo(name)
        info.mode, info.uid, info.gid = mode, owner, owner
        info.size = len(content) if isinstance(content, bytes) else content.stat().st_size
        yield info.tobuf(tarfile.GNU_FORMAT)
        source: IO[bytes] = (
            io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
        )
        sent = 0
        with source:
            while chunk := source.read(CHUNK):
                sent += len(chunk)
                if name in expected:
                    digest.update(chunk)
                yield chunk
        if name in expected and digest.hexdigest() != expected[name]:
            path = content if isinstance(content, Path) else Path(name)
            raise ChangedError(name, path, f"has the sha256 {digest.hexdigest()} now")
        if sent != info.size:
            raise BuildError(f"{name} changed while it was read", hint="run it again")
        yield bytes(-sent % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
