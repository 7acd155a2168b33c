# SPDX-License-Identifier: GPL-2.0-or-later
"""A time limit for a whole request, kept by another thread than the one that reads the answer.

A timeout on a socket bounds each wait for some bytes, and no more: a server that sends one header
byte now and then, interim answers (RFC 9110, 15.2) or trailers without an end holds its client for
ever, below the reach of the caller. Here a thread shuts the connection down when the time is up;
whatever was reading from it then sees its end.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import requests


class Deadline:
    """A point in time that can be moved; past it every connection of its session is shut down."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._until = float("inf")
        self._connections: list[socket.socket] = []
        self._done = False
        self._thread: threading.Thread | None = None
        self.passed = False

    def within(self, seconds: float) -> None:
        """Set the deadline to so many seconds from now."""
        with self._changed:
            self._until = time.monotonic() + seconds
            self.passed = False
            self._changed.notify()

    def watch(self, connection: socket.socket) -> None:
        """Have `connection` shut down when the time is up, whatever is wrapped around it."""
        with self._changed:
            # A copy of the descriptor: TLS takes the socket itself away.
            self._connections.append(connection.dup())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="deadline")
                self._thread.start()

    def _run(self) -> None:
        with self._changed:
            while not self._done:
                left = self._until - time.monotonic()
                if left > 0:
                    self._changed.wait(min(left, 3600))
                    continue
                self.passed = True
                self._until = float("inf")
                for connection in self._connections:
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Let go of the connections, which their owner has closed."""
        with self._changed:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._until = float("inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()
        with self._changed:
            self._done = True
            self._changed.notify()


def session(deadline: Deadline) -> requests.Session:
    """A session whose connections, those to a proxy too, end at the deadline."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            made = super()._new_conn()
            deadline.watch(made)
            return made

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            made = super()._new_conn()
            deadline.watch(made)
            return made

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    pools = {"http": PlainPool, "https": SecurePool}

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(*args, **kwargs)
            manager.pool_classes_by_scheme = pools
            return manager

    made = requests.Session()
    for scheme in ("http://", "https://"):
        made.mount(scheme, Adapter())
    return made
