# SPDX-License-Identifier: GPL-2.0-or-later
"""Files into a container and out of it, as tar streams through the engine's API."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from builders.engine.failures import engine_errors
from builders.errors import BuildError, Exit

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


def tar(files: Iterable[tuple[str, bytes | Path]], mode: int, owner: int) -> Iterator[bytes]:
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
            while chunk := source.read(CHUNK):
                sent += len(chunk)
                yield chunk
        if sent != info.size:
            raise BuildError(f"{name} changed while it was read", hint="run it again")
        yield bytes(-sent % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
