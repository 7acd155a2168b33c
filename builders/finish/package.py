# SPDX-License-Identifier: GPL-2.0-or-later
"""Turn the raw package that a build leaves into one that Debian's tools can rely on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builders import deb
from builders.corrections import Corrections
from builders.deb import Deb, Edit
from builders.errors import BuildError
from builders.finish.fields import control_fields
from builders.finish.members import conffiles, note_dangling, removed_paths


@dataclass(frozen=True)
class Finished:
    """A finished package; notes are sentences on what a person may want to correct."""

    path: Path
    package: str
    version: str
    architecture: str
    notes: tuple[str, ...]


def finish(
    raw: Path,
    corrections: Corrections,
    *,
    elf_depends: Sequence[str],
    destination_dir: Path,
    epoch: int,
) -> Finished:
    """Write the package `raw`, corrected, into `destination_dir`, under its dpkg-name(1).

    elf_depends: relations that dpkg-shlibdeps computed for its ELF files inside the suite.
    epoch: SOURCE_DATE_EPOCH; no time in the result lies after it.
    A directory that the removals leave empty goes too, one that was empty before stays.
    Raises BuildError where the package or a correction cannot be used.
    """
    package = Deb.open(raw)
    notes: list[str] = []
    removed = removed_paths(package.index.entries, corrections.remove, notes)
    kept = [entry for entry in package.index.entries if entry.path not in removed]
    note_dangling(kept, removed, notes)
    fields = control_fields(package, corrections, elf_depends, notes)
    files: dict[str, bytes | None] = {}
    if corrections.conffiles:
        files["conffiles"] = conffiles(package, kept, notes) or None
    name, version, architecture = (fields[f] for f in ("Package", "Version", "Architecture"))
    destination = destination_dir / file_name(name, version, architecture)
    try:
        destination_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(
            f"{destination_dir}: {error.strerror}", hint="name a folder that can be written"
        ) from error
    deb.rewrite(
        package,
        destination,
        Edit(
            control=fields,
            control_files=files,
            remove=frozenset(removed),
            epoch=epoch,
            tidy=True,
            recount=True,
            compression=corrections.compression,
            level=None if corrections.level == -1 else corrections.level,
        ),
    )
    return Finished(destination, name, version, architecture, tuple(notes))


def file_name(package: str, version: str, architecture: str) -> str:
    """package_version_architecture.deb, without the epoch of the version (dpkg-name(1))."""
    return f"{package}_{version.partition(':')[2] or version}_{architecture}.deb"
