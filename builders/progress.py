# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person sees while the library works.

The library never prints: it is handed a Reporter. `Terminal` draws on a TTY
and writes plain lines elsewhere; `Silent` shows nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
import time
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from builders import ends


class Task(Protocol):
    """One piece of long work that is being shown; safe to use from any thread."""

    def total(self, amount: int) -> None:
        """Say how much there is in all (bytes), once it is known."""

    def advance(self, amount: int) -> None:
        """Say that `amount` more (bytes) is done."""

    def show(self, phase: str, detail: str = "") -> None:
        """Say which phase the work is in and the last thing it said."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Reporter(Protocol):
    """Where the library says what it is doing."""

    def line(self, text: str) -> None:
        """Show one line that stays."""

    def transfer(self, label: str) -> Task:
        """Begin to show a transfer that is counted in bytes."""

    def work(self, label: str) -> Task:
        """Begin to show work that has phases and no known length."""


class _NoTask:
    def total(self, amount: int) -> None: ...
    def advance(self, amount: int) -> None: ...
    def show(self, phase: str, detail: str = "") -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Silent:
    """A Reporter that shows nothing."""

    def line(self, text: str) -> None: ...

    def transfer(self, label: str) -> Task:  # noqa: ARG002
        return _NoTask()

    def work(self, label: str) -> Task:  # noqa: ARG002
        return _NoTask()


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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
        return _Bar(printable(label), self._stream, self._slots) if self._moving else _NoTask()

    def work(self, label: str) -> Task:
        return _Phase(printable(label), self._stream, self._slots) if self._moving else _NoTask()


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def printable(text: str) -> str:
    """`text` with control characters, which could move the cursor, made spaces."""
    return "".join(c if c.isprintable() else " " for c in text)


# Control characters but line feed and tab (C0, C1), what changes the direction of text or shows
# nothing (bidi, zero width, tags), surrogates.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff0-\ufffb\U000e0000-\U000e0fff]"
)


def plain(text: str) -> str:
    """`text` of several lines, in which nothing moves a cursor, hides or turns around others."""
    return _HIDDEN.sub(" ", text)
