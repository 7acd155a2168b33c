# SPDX-License-Identifier: GPL-2.0-or-later
"""An engine's client without an engine: it remembers what it was asked, and plays output."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace, TracebackType
from typing import Any, Self
from urllib.parse import unquote

import docker.errors
import requests


@dataclass
class Played:
    """What one script gives: its output, in chunks, and its exit status."""

    chunks: Iterable[bytes] = ()
    status: int | None = 0


class Api(requests.Session):
    """The low level of the client; archives are real HTTP, from a server on 127.0.0.1."""

    api_version = "1.41"
    timeout = 5

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.trust_env = False
        self.base_url = "http://127.0.0.1:9"  # the discard port: nobody answers there
        self._client = client

    def attach_socket(self, _container: str, params: dict[str, Any]) -> SimpleNamespace:
        self._client.events.append("attach")
        assert params == {"stdin": 1, "stream": 1}
        return SimpleNamespace(close=lambda: self._client.events.append("close"))

    def create_host_config(self, **options: Any) -> dict[str, Any]:
        return dict(options)

    def create_container(self, *args: Any, **options: Any) -> dict[str, str]:
        return {"Id": self._client.make(*args, **(options | options.pop("host_config")))}

    def exec_create(self, _container: str, command: list[str], **options: Any) -> dict[str, str]:
        self._client.execs.append((command, options))
        return {"Id": str(len(self._client.execs) - 1)}

    def exec_start(self, created: str, **_: Any) -> Iterator[bytes]:
        yield from self._client.play(self._client.execs[int(created)][0][-1]).chunks

    def exec_inspect(self, created: str) -> dict[str, Any]:
        return {"ExitCode": self._client.play(self._client.execs[int(created)][0][-1]).status}

    def put_archive(self, _container: str, folder: str, stream: Iterable[bytes]) -> bool:
        self._client.put[folder] = b"".join(stream)
        return True


@dataclass
class Client:
    """Stands in for docker.DockerClient. play: what each script gives."""

    play: Callable[[str], Played] = lambda _: Played()
    created: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    execs: list[tuple[list[str], dict[str, Any]]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    put: dict[str, bytes] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=lambda: {"Running": True})
    gone: bool = False
    start_fails: Exception | None = None

    def __post_init__(self) -> None:
        self.api = Api(self)
        self.containers = SimpleNamespace(
            create=self._create, list=lambda **_: [], get=lambda _: self._made
        )
        self.volumes = SimpleNamespace(
            create=lambda name, **_: self.events.append(f"volume {name}"),
            get=lambda name: SimpleNamespace(
                remove=lambda **_: self.events.append(f"no volume {name}")
            ),
            list=lambda **_: [],
        )

    def make(self, *args: Any, **options: Any) -> str:
        """Create a container by the low level; its id."""
        self._made = self._create(*args, **options)
        return str(self._made.id)

    def _create(self, *args: Any, **kwargs: Any) -> SimpleNamespace:
        self.created.append((args, kwargs))
        removed = threading.Event()

        def remove(**_: Any) -> None:
            self.events.append("remove")
            removed.set()

        def reload() -> None:
            if self.gone or removed.is_set():
                raise docker.errors.NotFound("No such container")

        return SimpleNamespace(
            id=kwargs["labels"]["org.dom0-debs.role"],
            start=self._start,
            kill=lambda: self.events.append("kill"),
            remove=remove,
            reload=reload,
            attrs={"State": self.state, "HostConfig": {"Memory": 8 << 30}},
        )

    def _start(self) -> None:
        self.events.append("start")
        if self.start_fails:
            raise self.start_fails


class Archives:
    """A server on 127.0.0.1 that answers every request with one tar stream.

    content: the stream, or what gives it for the path that was asked for.
    cut: bytes of it that are sent before the connection breaks; chunked: without a length.
    """

    def __init__(
        self,
        content: bytes | Callable[[str], bytes],
        *,
        cut: int | None = None,
        chunked: bool = False,
    ) -> None:
        self.asked: list[str] = []
        self.status = 200

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(handler) -> None:  # noqa: N805 - self is the server's
                self.asked.append(handler.path)
                body = content if isinstance(content, bytes) else content(unquote(handler.path))
                handler.send_response(self.status)
                if chunked:
                    handler.send_header("Transfer-Encoding", "chunked")
                else:
                    handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                sent = body if cut is None else body[:cut]
                if not chunked:
                    handler.wfile.write(sent)
                for n in range(0, len(sent), 700) if chunked else ():
                    part = sent[n : n + 700]
                    handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                if chunked and cut is None:
                    handler.wfile.write(b"0\r\n\r\n")
                handler.close_connection = cut is not None

            def log_message(handler, *_: Any) -> None:  # noqa: N805
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def tar(members: Iterable[tuple[tarfile.TarInfo | str, bytes]]) -> bytes:
    """A tar stream of regular files, or of members as they are given."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as it:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            it.addfile(info, io.BytesIO(content))
    return out.getvalue()
