# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs now, so that a stop can end it."""

from __future__ import annotations

import threading
from typing import Protocol

from builders.ends import Stopper


class Killable(Protocol):
    """What a stop can end: a container, or a process of the box."""

    def kill(self) -> None:
        """End it at once."""


class Live:
    """What runs now, so that a stop can end it from another thread.

    A signal stops it too, whatever the main thread is busy with.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[Killable] = set()
        self.stopping = threading.Event()
        self._stopper = Stopper(self.stop)

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
        # All at once: an engine under load takes seconds for each.
        threads = [threading.Thread(target=it.kill, daemon=True) for it in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
