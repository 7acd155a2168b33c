# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is to say of a lock, and of what is newer than it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast

from builders.errors import Exit
from builders.show import face
from builders.show.outcome import Outcome
from builders.text import printable

if TYPE_CHECKING:
    from builders.pipeline.lockfile import Lock
    from builders.pipeline.outdated import Comparison, Newer


@dataclass(frozen=True)
class NewerEntry:
    kind: Annotated[Literal["source", "package"], "of the recipe, or of its builder image"]
    name: str
    old: Annotated[str, "version, or commit"]
    new: str
    security: Annotated[bool, "of the security pocket, or a stable branch that moved on"]
    where: Annotated[str, "the archive's address, the tag or the branch"]
    served: Annotated[bool, "false: the mirror listed it, and could not serve it when it was asked"]


@dataclass(frozen=True)
class OutdatedDocument:
    """What is newer than a lock, or than what was built."""

    kind: ClassVar[str] = "outdated"
    schema: ClassVar[int] = 1
    of: Annotated[str, "what was compared: the lock, or what was built"]
    newer: Sequence[NewerEntry]
    unasked: Annotated[Mapping[str, str], "source to why its repository could not be asked"]
    unknown: Annotated[Sequence[str], "sources of which nobody lists what is newer"]


def written(lock: Lock, at: Path, recipe: str) -> Outcome:
    """A lock that was written."""
    name = shlex.quote(recipe)
    states = ", ".join(f"{r.suite} {r.date[:10]}".strip() for r in lock.releases)
    text = (
        f"{face.near(at)}: {len(lock.sources)} sources, {len(lock.packages)} packages ({states})\n"
        f"next: ./inv build-all --recipe {name} --locked"
    )
    return Outcome(lock, text)


def outdated(compared: Comparison, recipe: str) -> Outcome:
    """What is newer; status 1 where anything is, 3 where only a repository could not be asked."""
    document = OutdatedDocument(
        compared.state.of,
        [
            NewerEntry(
                cast(Literal["source", "package"], n.kind),
                n.name,
                n.old,
                n.new,
                n.security,
                n.where,
                n.served,
            )
            for n in compared.newer
        ],
        compared.unasked,
        compared.unknown,
    )
    rows = [
        (
            "security" if n.security else "newer",
            f"{n.kind} {n.name}",
            _short(n.old),
            _short(n.new) + _remark(n),
        )
        for n in sorted(compared.newer, key=lambda n: (not n.security, n.kind != "source"))
    ]
    lines = [face.table(rows)] if rows else []
    lines += [f"not asked: {printable(why)}" for why in compared.unasked.values()]
    if compared.unknown:
        names = ", ".join(compared.unknown)
        lines.append(f"not known, as each is a file of its own: {names}")
    security = sum(n.security for n in compared.newer)
    if rows:
        count = f"{len(rows)} newer than {compared.state.of}"
        lines += [f"{count}, {security} of them for security" if security else count]
        lines += [f"next: ./inv lock --again --recipe {shlex.quote(recipe)}"]
    else:
        rest = "else " if compared.unasked or compared.unknown else ""
        lines += [f"nothing {rest}is newer than {compared.state.of}"]
    code = Exit.AUDIT if rows else Exit.SOURCE if compared.unasked else Exit.DONE
    return Outcome(document, "\n".join(lines), int(code))


def _remark(newer: Newer) -> str:
    """What people want to know of it, in brackets."""
    if not newer.served:
        return " (listed; the mirror could not serve it yet)"
    return f" ({printable(newer.where)})" if _short(newer.new) != newer.new else ""


def _short(version: str) -> str:
    """A commit as people read it."""
    return version[:12] if len(version) == 40 and version.isalnum() else version
