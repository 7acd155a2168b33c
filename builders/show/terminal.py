# SPDX-License-Identifier: GPL-2.0-or-later
"""The work on a terminal: moving rows on a TTY, plain lines elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from typing import Any, Self, TextIO

from builders import ends
from builders.progress import NoTask, Reporter, Task
from builders.text import clock, plain, printable

_LOCK = threading.RLock()


def _tqdm() -> Any:
    """The class of what moves: slow to import, and not needed where nothing is drawn."""
    from tqdm import tqdm

    # Else tqdm makes one, for processes too, at its first line: a Ctrl-C in the middle of that
    # would become an error of its own.
    tqdm.set_lock(_LOCK)
    return tqdm


class _Bar:
    """A byte counter drawn by tqdm."""

    def __init__(self, label: str, stream: TextIO, slots: _Slots) -> None:
        self._slots = slots
        self._slot = slots.take()
        self._bar = _tqdm()(
            desc=label,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            file=stream,
            leave=False,
            position=self._slot,
            dynamic_ncols=True,
        )

    def total(self, amount: int) -> None:
        self._bar.total = amount
        self._bar.refresh()

    def advance(self, amount: int) -> None:
        self._bar.update(amount)

    def show(self, phase: str, detail: str = "") -> None:
        self._bar.set_postfix_str(printable(f"{phase} {detail}".strip()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        self._slots.give(self._slot)


class _Phase:
    """A line with the elapsed time, the phase and the last line of output."""

    def __init__(self, label: str, stream: TextIO, slots: _Slots) -> None:
        self._slots = slots
        self._slot = slots.take()
        self._label = label
        self._start = time.monotonic()
        self._phase = ""
        self._detail = ""
        self._bar = _tqdm()(
            file=stream,
            leave=False,
            position=self._slot,
            bar_format="{desc}",
            total=1,
        )
        # A quiet compiler must not look like a hang: the clock ticks by itself.
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._ticker.start()

    def _tick(self) -> None:
        while not self._stop.wait(0.5):
            self._draw()

    def _draw(self) -> None:
        text = f"{self._label}  {clock(time.monotonic() - self._start)}  {self._phase}"
        if self._detail:
            text += f"  {self._detail}"
        width = shutil.get_terminal_size().columns - 1
        self._bar.set_description_str(text[:width])

    def total(self, amount: int) -> None: ...

    def advance(self, amount: int) -> None: ...

    def show(self, phase: str, detail: str = "") -> None:
        self._phase, self._detail = phase, printable(detail)

    def __enter__(self) -> Self:
        self._draw()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._ticker.join()
        self._bar.close()
        self._slots.give(self._slot)


class _Slots:
    """Screen rows for the tasks that are shown at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[int] = set()

    def take(self) -> int:
        with self._lock:
            slot = next(n for n in range(len(self._taken) + 1) if n not in self._taken)
            self._taken.add(slot)
            return slot

    def give(self, slot: int) -> None:
        with self._lock:
            self._taken.discard(slot)

    def any(self) -> bool:
        """Whether the screen has a row left: beyond its end tqdm writes one over the other."""
        with self._lock:
            return len(self._taken) < shutil.get_terminal_size().lines - 2


class _Surviving:
    """A stream that raises no error: who reads it may be gone, and the work has to hear of that."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            self._lost(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._lost(error)

    @staticmethod
    def _lost(error: Exception) -> None:
        if isinstance(error, OSError):
            ends.lost(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Terminal:
    """A Reporter on a stream: moving rows on a TTY, only plain lines elsewhere.

    It never raises because of its stream; `ends` learns that nobody can be told any more.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream: Any = _Surviving(stream or sys.stderr)
        self._moving = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._slots = _Slots()

    def line(self, text: str) -> None:
        text = plain(text)
        if not self._moving:
            print(text, file=self._stream, flush=True)
            return
        _tqdm().write(text, file=self._stream)
        self._stream.flush()

    def transfer(self, label: str) -> Task:
        shown = self._moving and self._slots.any()
        return _Bar(printable(label), self._stream, self._slots) if shown else NoTask()

    def work(self, label: str) -> Task:
        shown = self._moving and self._slots.any()
        return _Phase(printable(label), self._stream, self._slots) if shown else NoTask()


class Named:
    """A Reporter that puts the name of a build before what it says; "" for none."""

    def __init__(self, reporter: Reporter, name: str) -> None:
        self._reporter = reporter
        self._name = name

    def line(self, text: str) -> None:
        self._reporter.line(f"{self._name}: {text}" if self._name else text)

    def transfer(self, label: str) -> Task:
        return self._reporter.transfer(f"{self._name} {label}".strip())

    def work(self, label: str) -> Task:
        return self._reporter.work(f"{self._name} {label}".strip())
