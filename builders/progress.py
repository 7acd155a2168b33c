# SPDX-License-Identifier: GPL-2.0-or-later
"""How the library tells what it is doing: it is handed a Reporter, and never prints."""

from __future__ import annotations

from typing import Protocol, Self


class Task(Protocol):
    """One piece of long work that is being shown; safe to use from any thread."""

    def total(self, amount: int) -> None:
        """Say how much there is in all (bytes), once it is known."""

    def advance(self, amount: int) -> None:
        """Say that `amount` more (bytes) is done."""

    def show(self, phase: str, detail: str = "") -> None:
        """Say which phase the work is in and the last thing it said."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Reporter(Protocol):
    """Where the library says what it is doing."""

    def line(self, text: str) -> None:
        """Show one line that stays."""

    def transfer(self, label: str) -> Task:
        """Begin to show a transfer that is counted in bytes."""

    def work(self, label: str) -> Task:
        """Begin to show work that has phases and no known length."""


class NoTask:
    """A Task that is not shown."""

    def total(self, amount: int) -> None: ...
    def advance(self, amount: int) -> None: ...
    def show(self, phase: str, detail: str = "") -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class Silent:
    """A Reporter that shows nothing."""

    def line(self, text: str) -> None: ...

    def transfer(self, label: str) -> Task:  # noqa: ARG002
        return NoTask()

    def work(self, label: str) -> Task:  # noqa: ARG002
        return NoTask()
