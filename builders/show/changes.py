# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison as people read it, and for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from builders.debkit.audit import Severity
from builders.debkit.compare import Change, Comparison
from builders.debkit.compare.snapshot import Snapshot
from builders.text import amount, printable

_ROWS = 25  # of one kind that the table shows
_LINES = 24  # of one difference of two scripts
_TITLES = {
    "field": "fields",
    "size": "sizes",
    "relation": "relations",
    "needs": "shared libraries that its ELF files need",
    "script": "maintainer scripts",
    "control file": "other files of control.tar",
    "conffile": "conffiles",
    "file": "files",
    "kernel option": "kernel options",
}
_COLOURS = {Severity.ERROR: "\033[1;31m", Severity.WARNING: "\033[33m", Severity.INFO: "\033[2m"}
_MARKS = {
    "added": ("+", "\033[32m"),
    "removed": ("-", "\033[31m"),
    "changed": ("~", "\033[33m"),
}
_BOLD, _DIM, _RESET = "\033[1m", "\033[2m", "\033[0m"


# For people


def table(
    found: Sequence[Comparison],
    only_old: Sequence[Path],
    only_new: Sequence[Path],
    width: int,
    colour: bool,
) -> str:
    """In lines of at most `width` columns (40 at least): what matters first, then all by kind."""
    width = max(width, 40)
    lines: list[str] = []
    for comparison in found:
        lines += [*_comparison(comparison, width, colour), ""]
    for paths, where in ((only_old, "first"), (only_new, "second")):
        for path in paths:
            lines += _wrapped(f"only in the {where}: {printable(str(path))}", "", "  ", width)
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join(lines) + "\n"


def _comparison(comparison: Comparison, width: int, colour: bool) -> list[str]:
    old, new = comparison.old, comparison.new
    counts = _counts(comparison)
    title = f"{_title(old)} -> {_title(new)}"
    if _title(old) == _title(new):
        title = f"{printable(str(old.path))} -> {printable(str(new.path))}, {_title(old)}"
    lines = _wrapped(f"{title}: {counts}", "", "  ", width)
    lines = [_paint(line, _BOLD, colour) for line in lines]
    for severity in (Severity.ERROR, Severity.WARNING):
        judged: dict[tuple[str, str], list[str]] = {}
        for change in comparison.changes:
            if change.severity is severity:
                key = (change.kind, change.judgement)
                judged.setdefault(key, []).append(change.subject)
        for (_, judgement), subjects in judged.items():
            lines += _judged(severity, subjects, judgement, width, colour)
    for kind, title in _TITLES.items():
        changes = [c for c in comparison.changes if c.kind == kind]
        if changes:
            lines += ["", _paint(f"{title}{_tally(changes)}", _BOLD, colour)]
            for change in _first(changes):
                lines += _row(change, width, colour)
            if len(changes) > _ROWS:
                lines += _wrapped(
                    f"and {len(changes) - _ROWS} more: --format json has all", "    ", "    ", width
                )
    return lines


def _first(changes: Sequence[Change]) -> Sequence[Change]:
    """The rows that there is room for: of many, what came and went, then what has a judgement."""
    if len(changes) <= _ROWS:
        return changes
    return sorted(changes, key=lambda c: (c.action == "changed", not c.judgement))[:_ROWS]


def _title(it: Snapshot) -> str:
    return printable(it.title) or printable(str(it.path))


def _counts(comparison: Comparison) -> str:
    parts = []
    for severity, word in ((Severity.ERROR, "error"), (Severity.WARNING, "warning")):
        count = comparison.count(severity)
        if count:
            parts.append(f"{count} {word}{'s' * (count != 1)}")
    count = len(comparison.changes)
    parts.append(f"{count} change{'s' * (count != 1)}" if count else "no difference")
    return ", ".join(parts)


def _tally(changes: Sequence[Change]) -> str:
    if len(changes) <= _ROWS:
        return ""
    parts = []
    for action in _MARKS:
        count = sum(c.action == action for c in changes)
        if count:
            parts.append(f"{count} {action}")
    return f": {', '.join(parts)}"


def _judged(
    severity: Severity, subjects: Sequence[str], judgement: str, width: int, colour: bool
) -> list[str]:
    """What is said of one change, or of several of a kind at once."""
    label = f"{severity:<7}"
    more = f" and {len(subjects) - 1} more" if len(subjects) > 1 else ""
    lines = _wrapped(f"{subjects[0]}{more}: {judgement}", f"  {label}  ", " " * 11, width)
    return [lines[0].replace(label, _paint(label, _COLOURS[severity], colour), 1), *lines[1:]]


def _row(change: Change, width: int, colour: bool) -> list[str]:
    mark, code = _MARKS[change.action]
    field = change.subject.partition(": ")[0]
    text = f"{change.subject}{_values(change)}"
    if change.kind == "relation":
        # The relation is written with its name.
        values = [v for v in (change.old, change.new) if v]
        text = f"{field}: {' -> '.join(values)}"
    if change.judgement and change.severity not in (Severity.ERROR, Severity.WARNING):
        text += f" ({change.judgement})"
    lines = _wrapped(text, f"  {mark} ", "      ", width)
    lines[0] = lines[0].replace(mark, _paint(mark, code, colour), 1)
    diff = change.diff[2:] if len(change.diff) > 1 else change.diff  # without the sides' names
    for line in diff[:_LINES]:
        shown = line if len(line) <= width - 6 else line[: width - 9] + "..."
        tint = {"+": "\033[32m", "-": "\033[31m", "@": "\033[36m"}.get(line[:1], "")
        lines.append("      " + _paint(shown, tint, colour and bool(tint)))
    if len(diff) > _LINES:
        lines += _wrapped(
            f"and {len(diff) - _LINES} more lines: --format json has more",
            "      ",
            "      ",
            width,
        )
    return lines


def _values(change: Change) -> str:
    if "\n" in change.old + change.new:
        return ""
    old, new = (amount(int(v)) if change.kind == "size" else v for v in (change.old, change.new))
    if change.kind == "kernel option":
        return f": {old or 'not set'} -> {new or 'not set'}"
    if change.kind in ("conffile", "needs") or (change.diff and not (old and new)):
        return ""
    return f": {old} -> {new}" if old and new else f": {old or new}"


def _paint(text: str, code: str, colour: bool) -> str:
    return f"{code}{text}{_RESET}" if colour else text


def _wrapped(text: str, first: str, rest: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    ) or [first.rstrip()]


# For programs


@dataclass(frozen=True)
class SummaryEntry:
    pairs: Annotated[int, "pairs that were compared", {"minimum": 0}]
    changes: Annotated[int, "all changes", {"minimum": 0}]
    error: Annotated[int, "changes that are judged an error", {"minimum": 0}]
    warning: Annotated[int, "judged a warning", {"minimum": 0}]
    info: Annotated[int, "judged worth a note", {"minimum": 0}]


@dataclass(frozen=True)
class SideEntry:
    path: Annotated[str, "the file, as it was named"]
    package: str
    version: str
    architecture: str
    size: Annotated[int, "bytes of the .deb", {"minimum": 0}]
    installed_kib: Annotated[
        int, "KiB of its files, as dpkg-gencontrol counts Installed-Size", {"minimum": 0}
    ]


@dataclass(frozen=True)
class ChangeEntry:
    kind: Annotated[str, "what changed", {"enum": list(_TITLES)}]
    action: Annotated[str, "what became of it", {"enum": list(_MARKS)}]
    subject: Annotated[str, "the field, path, soname, option; `Field: package` of a relation"]
    old: Annotated[
        str,
        "what it was, empty where it was not there; bytes as a decimal number where kind is size",
    ]
    new: Annotated[str, "what it is, likewise"]
    severity: Annotated[Severity | None, "of the judgement, null where there is none"]
    judgement: Annotated[str, "what it means for an upgrade, one line, or empty"]
    diff: Annotated[
        Sequence[str],
        "lines of a unified diff of a maintainer script or another file of control.tar;"
        " cut short where there are many",
    ]


@dataclass(frozen=True)
class PairEntry:
    old: SideEntry
    new: SideEntry
    changes: Sequence[ChangeEntry]


@dataclass(frozen=True)
class ComparisonDocument:
    """What differs between packages."""

    kind: ClassVar[str] = "inspect-diff"
    schema: ClassVar[int] = 1
    summary: SummaryEntry
    comparisons: Sequence[PairEntry]
    only_old: Annotated[Sequence[str], "packages of the first folder without counterpart"]
    only_new: Annotated[Sequence[str], "packages of the second folder without counterpart"]


def document(
    comparisons: Sequence[Comparison], only_old: Sequence[Path], only_new: Sequence[Path]
) -> ComparisonDocument:
    """All of it."""
    return ComparisonDocument(
        SummaryEntry(
            len(comparisons),
            sum(len(c.changes) for c in comparisons),
            *(sum(c.count(s) for c in comparisons) for s in Severity),
        ),
        [
            PairEntry(_side(c.old), _side(c.new), [_change(e) for e in c.changes])
            for c in comparisons
        ],
        [str(path) for path in only_old],
        [str(path) for path in only_new],
    )


def _side(it: Snapshot) -> SideEntry:
    return SideEntry(
        str(it.path),
        it.short("Package"),
        it.short("Version"),
        it.short("Architecture"),
        it.size,
        it.installed,
    )


def _change(change: Change) -> ChangeEntry:
    return ChangeEntry(
        change.kind,
        change.action,
        change.subject,
        change.old,
        change.new,
        change.severity,
        change.judgement,
        list(change.diff),
    )
