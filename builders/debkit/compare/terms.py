# SPDX-License-Identifier: GPL-2.0-or-later
"""One difference between two packages, in terms that are safe to show."""

from __future__ import annotations

from dataclasses import dataclass

from builders.debkit.audit import Severity
from builders.text import printable

_LINE = 4096  # characters of a value that is shown
_DIFF = 500  # lines of a difference, each of them cut too


@dataclass(frozen=True)
class Change:
    """One difference.

    kind: field, size, relation, needs, script, control file, conffile, file or kernel option.
    subject: the field, path, soname or option. old, new: "" where there is none.
    severity: of the judgement; None where it matters to nobody by itself.
    judgement: what it means, one line, or "".
    diff: lines of a unified diff.
    """

    kind: str
    subject: str
    old: str
    new: str
    severity: Severity | None = None
    judgement: str = ""
    diff: tuple[str, ...] = ()

    @property
    def action(self) -> str:
        """added, removed or changed."""
        return "changed" if bool(self.old) == bool(self.new) else "removed" if self.old else "added"


def change(
    kind: str,
    subject: str,
    old: str,
    new: str,
    severity: Severity | None = None,
    judgement: str = "",
    diff: tuple[str, ...] = (),
) -> Change:
    """A Change, with all control characters taken out of what is shown."""
    return Change(
        kind,
        printable(subject[:_LINE]),
        _lines(old[:_LINE]),
        _lines(new[:_LINE]),
        severity,
        printable(judgement[:_LINE]),
        tuple(printable(line[:_LINE]) for line in diff[:_DIFF]),
    )


def _lines(text: str) -> str:
    """A field may have several lines."""
    return "\n".join(printable(line) for line in text.split("\n"))
