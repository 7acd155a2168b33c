# SPDX-License-Identifier: GPL-2.0-or-later
"""Stand-ins for what lies beyond the tool: an engine that answers, commands on PATH."""

from __future__ import annotations

import json
import os
import socket
import socketserver
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from builders.progress import Silent


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        engine = self.server.engine
        engine.asked.append(self.path)
        time.sleep(engine.delay)
        if engine.answer is not None:
            status, body = engine.answer
        elif self.path.endswith("/_ping"):
            status, body = 200, b"OK"
        else:
            status, body = 200, json.dumps({"ApiVersion": engine.api, "Version": "test"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "local"  # a Unix peer has no address

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    engine: Engine

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gives up on the handshake or the answer is part of the tests."""


class _UnixServer(_Server):
    address_family = socket.AF_UNIX


class Engine:
    """An engine that answers /_ping and /version on a Unix socket or on 127.0.0.1.

    api: the API version it claims; delay: seconds before each answer;
    answer: a status and a body given to every request instead.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        api: str = "1.41",
        delay: float = 0.0,
        answer: tuple[int, bytes] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.api, self.delay, self.answer = api, delay, answer
        self.asked: list[str] = []
        if path:
            # typeshed has the address of a TCP server only
            self._server: _Server = _UnixServer(str(path), _Handler)  # type: ignore[arg-type]
            self.url = f"unix://{path}"
        else:
            self._server = _Server(("127.0.0.1", 0), _Handler)
            self.url = f"tcp://127.0.0.1:{self._server.server_address[1]}"
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.engine = self
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


class Commands:
    """A folder of commands that is the whole PATH, and a record of each call of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self._record = folder / "calls"
        self._record.touch()

    def add(self, name: str, body: str = "") -> Path:
        """A command in Python that records its call, then does `body`.

        body sees `me` (its path), `argv` (its arguments) and `bin` (the folder).
        """
        path = self.folder / name
        path.write_text(
            f"#!{sys.executable} -IS\n"
            "import sys\n"
            "from pathlib import Path\n"
            "me, argv = Path(sys.argv[0]), sys.argv[1:]\n"
            "bin = me.parent\n"
            f"with open({str(self._record)!r}, 'a') as record:\n"
            "    record.write(' '.join([me.name, *argv]) + '\\n')\n" + body
        )
        path.chmod(0o755)
        return path

    def calls(self) -> list[str]:
        """What was called, a line each, in order."""
        return self._record.read_text().splitlines()


def stale_socket(path: Path) -> None:
    """Leave a socket at `path` that nobody listens on, as a killed daemon does."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.bind(str(path))


def gone(pid: int, patience: float = 5.0) -> bool:
    """Whether the process `pid` ends within `patience` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


class Heard(Silent):
    """A Reporter that keeps the lines it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)
