# SPDX-License-Identifier: GPL-2.0-or-later
"""Web servers on the loopback interface that serve well, or misbehave on purpose."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class Exchange(BaseHTTPRequestHandler):
    """One request and what is answered to it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # it would hold back each body for 40 ms
    site: Site  # set on a subclass for each Site

    def do_GET(self) -> None:
        self.close_connection = True
        self.site.answer(self)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def begin(self, status: int, headers: Mapping[str, object]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def body(self, data: bytes) -> None:
        if self.command != "HEAD":
            self.wfile.write(data)
            self.wfile.flush()

    def reset(self) -> None:
        """End the connection with RST instead of FIN (SO_LINGER of 0, socket(7))."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


Behaviour = Callable[[Exchange], None]


@dataclass(frozen=True)
class Request:
    """What a client asked for."""

    method: str
    path: str
    headers: Mapping[str, str]


class Site:
    """A server on 127.0.0.1: `script` answers the first requests, `then` all later ones.

    `pages` answers by path and goes before both.
    """

    def __init__(
        self,
        then: Behaviour | None = None,
        script: Iterable[Behaviour] = (),
        pages: Mapping[str, Behaviour] | None = None,
    ) -> None:
        self.then = then or status(404)
        self.script = list(script)
        self.pages = dict(pages or {})
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        handler = type("Handler", (Exchange,), {"site": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.root}/file.tar.gz"

    def answer(self, exchange: Exchange) -> None:
        with self._lock:
            self.requests.append(Request(exchange.command, exchange.path, dict(exchange.headers)))
            behaviour = self.pages.get(exchange.path)
            if behaviour is None:
                behaviour = self.script.pop(0) if self.script else self.then
        # The client may go away before the end.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            behaviour(exchange)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _asked(exchange: Exchange, etag: str) -> int | None:
    """The first byte that is asked for; None for all of it (RFC 9110, 13.1.5 and 14.2)."""
    match = re.fullmatch(r"bytes=([0-9]+)-[0-9]*", exchange.headers.get("Range", ""))
    condition = exchange.headers.get("If-Range")
    if not match or (condition is not None and condition != etag):
        return None
    return int(match.group(1))


def serve(
    data: bytes,
    *,
    ranges: bool = True,
    etag: str = '"one"',
    kind: str = "application/octet-stream",
    upto: int | None = None,
    end: Callable[[Exchange], None] | None = None,
    shift: int = 0,
    pause: float = 0.0,
) -> Behaviour:
    """Serve `data`.

    upto: stop after that many bytes of the body although all are announced, then
    do `end` (default: close the connection). shift: begin a range that many bytes
    off, and say so. pause: seconds before each 64 KiB of the body.
    """

    def behave(exchange: Exchange) -> None:
        begin = _asked(exchange, etag) if ranges else None
        common = {"Content-Type": kind, "ETag": etag}
        if begin is None:
            exchange.begin(200, common | {"Content-Length": len(data)})
            part = data
        elif begin >= len(data):
            exchange.begin(416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": 0})
            return
        else:
            begin = max(0, begin + shift)
            part = data[begin:]
            span = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            exchange.begin(206, common | {"Content-Range": span, "Content-Length": len(part)})
        part = part if upto is None else part[:upto]
        for at in range(0, len(part), 1 << 16):
            if exchange.command == "GET" and pause and exchange.site.closing.wait(pause):
                return
            exchange.body(part[at : at + (1 << 16)])
        if end is not None:
            end(exchange)

    return behave


def stall(exchange: Exchange) -> None:
    """Say nothing more until the site is closed."""
    exchange.site.closing.wait(30)


def drip(exchange: Exchange) -> None:
    """A byte now and then, each soon enough for a timeout on silence."""
    while not exchange.site.closing.wait(0.05):
        exchange.body(b"x")


def reset(exchange: Exchange) -> None:
    """End the connection with RST."""
    exchange.reset()


def silent(exchange: Exchange) -> None:
    """End the connection before a word was said."""
    exchange.reset()


def unannounced(data: bytes, *, upto: int | None = None) -> Behaviour:
    """Send `data` with no length: the end of the connection is the end."""

    def behave(exchange: Exchange) -> None:
        exchange.begin(200, {})
        exchange.body(data if upto is None else data[:upto])

    return behave


def chunked(data: bytes, *, times: int = 1, finish: bool = True) -> Behaviour:
    """Send `data` `times` over as chunks (RFC 9112, 7.1), without the last one if not `finish`."""

    def behave(exchange: Exchange) -> None:
        exchange.begin(200, {"Transfer-Encoding": "chunked"})
        for _ in range(times):
            exchange.body(b"%x\r\n%s\r\n" % (len(data), data))
        if finish:
            exchange.body(b"0\r\n\r\n")

    return behave


def page(title: str, *, kind: str = "text/html; charset=utf-8", code: int = 200) -> Behaviour:
    """An HTML page, whatever was asked for."""
    data = f"\n<!DOCTYPE html><html><head><title>{title}</title></head></html>\n".encode()

    def behave(exchange: Exchange) -> None:
        exchange.begin(code, {"Content-Type": kind, "Content-Length": len(data)})
        exchange.body(data)

    return behave


def status(code: int, headers: Mapping[str, object] | None = None, body: bytes = b"") -> Behaviour:
    """A status, and a short body or none."""

    def behave(exchange: Exchange) -> None:
        exchange.begin(code, {"Content-Length": len(body), **(headers or {})})
        exchange.body(body)

    return behave


def redirect(target: str) -> Behaviour:
    """Send the client to `target`; the body of the redirect never ends."""

    def behave(exchange: Exchange) -> None:
        exchange.begin(302, {"Location": target, "Content-Length": 1 << 40})
        exchange.body(b"x" * 1000)
        exchange.site.closing.wait(30)

    return behave


def garbage(exchange: Exchange) -> None:
    """No http at all."""
    exchange.wfile.write(b"\x00\xff not http \r\n\r\n")


def raw(head: bytes, again: bytes = b"", pause: float = 0.0) -> Behaviour:
    """Bytes as they are, then `again` without an end, a part each `pause` seconds."""

    def behave(exchange: Exchange) -> None:
        exchange.wfile.write(head)
        exchange.wfile.flush()
        while again and not exchange.site.closing.wait(pause):
            exchange.wfile.write(again)
            exchange.wfile.flush()

    return behave


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
# What holds a client for ever whose timeouts are on each read; each with what is said of it.
HOLDING: dict[str, tuple[Behaviour, str]] = {
    "interim answers": (raw(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), "no whole answer in"),
    "a header now and then": (raw(OK, b"X", 0.05), "no whole answer in"),
    "a status now and then": (raw(b"HTTP/1", b".", 0.05), "no whole answer in"),
    "headers": (raw(OK, b"X-A: a\r\n" * 100), "the answer makes no sense"),
    "one header": (raw(OK + b"X-A: ", b"a" * 65536), "the answer makes no sense"),
    "a body now and then": (raw(OK + b"\r\n", b"x", 0.05), "the server stalled"),
    "a body that crawls": (raw(OK + b"\r\n", b"\x1f\x8b" + b"x" * 2000, 0.05), "too slow"),
    "a chunk's extension": (raw(CHUNKED + b"5;", b"a" * 65536), "the answer makes no sense"),
    "trailers": (raw(CHUNKED + b"0\r\n", b"X-A: a\r\n" * 100), "the server stalled"),
    "chunks of one byte": (raw(CHUNKED, b"1\r\nx\r\n", 0.05), "the server stalled"),
}


def folder(path: str | os.PathLike[str], *, pause: float = 0.0) -> Behaviour:
    """Serve the files below `path` as they are; pause: as `serve` has it."""

    def behave(exchange: Exchange) -> None:
        name = os.path.normpath(os.path.join(path, exchange.path.partition("?")[0].lstrip("/")))  # noqa: PTH118
        if not name.startswith(os.fspath(path)) or not os.path.isfile(name):  # noqa: PTH113
            status(404)(exchange)
            return
        with open(name, "rb") as stream:  # noqa: PTH123
            serve(stream.read(), pause=pause)(exchange)

    return behave
