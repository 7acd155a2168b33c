# SPDX-License-Identifier: GPL-2.0-or-later
"""All that is wrong with an input, said at once and not one a run."""

from __future__ import annotations

from builders.errors import BuildError


class Problems:
    """Collects what is wrong; `end` raises it as one BuildError (exit status 2)."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str]] = []

    def add(self, message: str, hint: str = "") -> None:
        """One more: what is wrong, and what would be right."""
        if (message, hint) not in self._found:
            self._found.append((message, hint))

    def end(self) -> None:
        """BuildError where anything was added; the hints in the order of the problems."""
        if not self._found:
            return
        hints = list(dict.fromkeys(hint for _, hint in self._found if hint))
        raise BuildError(
            "\n".join(message for message, _ in self._found),
            hint="; ".join(hints),
        )


def quoted(text: str) -> str:
    """What a person typed, for an error: one line, no control characters, not endless."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= 80 else shown[:77] + "..."
