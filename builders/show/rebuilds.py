# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is to say of a release that was built again on another machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from builders.errors import BuildError, Exit
from builders.show.outcome import Outcome
from builders.text import printable

if TYPE_CHECKING:
    from builders.release.rebuild import Again
    from builders.release.signing import Signer


@dataclass(frozen=True)
class PairEntry:
    file: str
    released: Annotated[str, "sha256, empty where the release has no such file"]
    made: Annotated[str, "sha256, empty where it did not come out here"]
    differences: Sequence[str]


@dataclass(frozen=True)
class BuiltAgainEntry:
    target: str
    version: str
    same: bool
    packages: Sequence[PairEntry]


@dataclass(frozen=True)
class RebuildOfReleaseDocument:
    """What came out where a release was built again."""

    kind: ClassVar[str] = "rebuild"
    schema: ClassVar[int] = 1
    fingerprint: Annotated[str, "of the key that signed the statements"]
    builds: Sequence[BuiltAgainEntry]
    files: Annotated[Sequence[str], "the statements that were written, with their signatures"]


def write(made: Sequence[Again], folder: Path, signer: Signer) -> list[Path]:
    """Put the statements into `folder`; the files. Raises BuildError."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for again in made:
            stem = f"{again.build.target}_{signer.fingerprint[-16:].lower()}.rebuilt.json"
            for name, content in ((stem, again.statement), (f"{stem}.asc", again.signature)):
                (folder / name).write_bytes(content)
                written.append(folder / name)
    except OSError as error:
        raise BuildError(
            f"{folder}: {error.strerror}", hint="name another folder with --out"
        ) from None
    return written


def rebuilt(made: Sequence[Again], fingerprint: str, files: Sequence[Path]) -> Outcome:
    """What was compared; the status is 1 where something differs."""
    entries = [
        BuiltAgainEntry(
            again.build.target,
            again.build.version,
            again.same,
            [PairEntry(p.file, p.released, p.made, p.differences) for p in again.pairs],
        )
        for again in made
    ]
    lines = []
    for again in made:
        lines.append(f"{again.build.target} {printable(again.build.version)}, built again:")
        for pair in again.pairs:
            lines.append(f"  {'same' if pair.same else 'DIFFERS':<8} {printable(pair.file)}")
            lines += [f"           {text}" for text in pair.differences]
    lines.append(f"stated by {fingerprint}")
    lines += [f"written: {path}" for path in files]
    same = all(again.same for again in made)
    return Outcome(
        RebuildOfReleaseDocument(fingerprint, entries, [str(path) for path in files]),
        "\n".join(lines),
        Exit.DONE if same else Exit.AUDIT,
    )
