# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is to say of releases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from builders.errors import Exit
from builders.release import notes
from builders.release.publish import Made
from builders.release.verify import Verdict
from builders.show import face
from builders.show.outcome import Outcome
from builders.text import amount


@dataclass(frozen=True)
class KeyEntry:
    fingerprint: str
    uid: str
    ephemeral: Annotated[bool, "a trial key, which nobody has any more"]


@dataclass(frozen=True)
class ReleaseDocument:
    """A signed apt repository that was made."""

    kind: ClassVar[str] = "release"
    schema: ClassVar[int] = 1
    folder: str
    key: Annotated[KeyEntry, "that signed it"]
    builds: Annotated[Sequence[Mapping[str, Any]], "as release.json has them (docs/release.md)"]
    missing: Annotated[Sequence[str], "what a release may have and this one lacks"]
    notes: Sequence[str]


@dataclass(frozen=True)
class ProblemEntry:
    file: Annotated[str, "its path in the release"]
    why: str


@dataclass(frozen=True)
class VerificationDocument:
    """Whether a release is sound."""

    kind: ClassVar[str] = "verify"
    schema: ClassVar[int] = 1
    fingerprint: Annotated[str, "of the key that signed, empty where no signature was good"]
    given: Annotated[bool, "the key was named"]
    files: Annotated[int, "how many were checked", {"minimum": 0}]
    problems: Sequence[ProblemEntry]
    notes: Annotated[Sequence[str], "what is worth a look and no fault"]


@dataclass(frozen=True)
class RowEntry:
    part: str
    name: str
    old: Annotated[str, "empty where it was not there"]
    new: Annotated[str, "likewise"]
    judgement: str


@dataclass(frozen=True)
class BuildEntry:
    target: str
    old: Annotated[str, "its version, empty where it was not there"]
    new: Annotated[str, "likewise"]
    rows: Sequence[RowEntry]


@dataclass(frozen=True)
class ChangesDocument:
    """What changed from one release to another."""

    kind: ClassVar[str] = "diff"
    schema: ClassVar[int] = 1
    builds: Sequence[BuildEntry]


def release(made: Made) -> Outcome:
    """A release that was made."""
    signed_by = KeyEntry(made.fingerprint, made.uid, made.ephemeral)
    document = ReleaseDocument(str(made.folder), signed_by, made.builds, made.missing, made.notes)
    rows = []
    for build in made.builds:
        rows += [
            (
                build["target"],
                Path(path).name,
                amount((made.folder / path).stat().st_size),
                _audit(build["audit"]),
            )
            for path in build["files"]
            if path.endswith(".deb")
        ]
    near = face.near(made.folder)
    lines = [f"{near}: {made.uid} {made.fingerprint}", face.table(rows)]
    lines += [f"note: without {text}" for text in made.missing]
    lines += [f"note: {text}" for text in made.notes]
    lines.append(f"next: ./inv verify {near}")
    return Outcome(document, "\n".join(lines))


def _audit(counts: Mapping[str, int]) -> str:
    said = [f"{n} {name}{'s' * (n != 1)}" for name, n in counts.items() if n and name != "info"]
    return f"audit: {', '.join(said) or 'clean'}"


def verification(folder: str, verdict: Verdict) -> Outcome:
    """What was found in a release; the status is 1 where it is not sound."""
    document = VerificationDocument(
        verdict.fingerprint,
        verdict.given,
        verdict.files,
        [ProblemEntry(problem.file, problem.why) for problem in verdict.problems],
        verdict.notes,
    )
    if verdict.problems:
        lines = [f"{problem.file}: {problem.why}" for problem in verdict.problems]
        problems = f"{len(lines)} problem{'s' * (len(lines) != 1)}"
        lines += [f"note: {note}" for note in verdict.notes]
        lines.append(f"{folder}: not to be trusted: {problems}, {verdict.files} files looked at")
        return Outcome(document, "\n".join(lines), Exit.AUDIT)
    lines = [f"{folder}: {verdict.files} files, signed by {verdict.fingerprint}"]
    lines += [f"note: {note}" for note in verdict.notes]
    if not verdict.given:
        lines.append(
            "note: checked with the key in the folder: compare that fingerprint with one that "
            "you trust, or name your own copy of the key: --key FILE"
        )
    return Outcome(document, "\n".join(lines))


def changes(builds: Sequence[notes.Changed]) -> Outcome:
    """What changed between two releases, for people as Markdown."""
    document = ChangesDocument(
        [
            BuildEntry(
                b.target,
                b.old,
                b.new,
                [RowEntry(r.part, r.name, r.old, r.new, r.judgement) for r in b.rows],
            )
            for b in builds
        ]
    )
    return Outcome(document, lambda: notes.markdown(builds))
