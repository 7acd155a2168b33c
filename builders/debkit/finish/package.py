# SPDX-License-Identifier: GPL-2.0-or-later
"""Turn the raw package that a build leaves into one that Debian's tools can rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.debkit import deb
from builders.debkit.corrections import Corrections
from builders.debkit.deb import Deb, Edit
from builders.debkit.deb.fields import is_udeb
from builders.debkit.finish import (
    builds,
    documents,
    hooks,
    libraries,
    members,
    metadata,
    modules,
    overrides,
    python,
    retired,
    runtime,
    services,
    signatures,
    snippets,
    symbols,
    texts,
)
from builders.debkit.finish.fields import control_fields
from builders.debkit.finish.names import file_name
from builders.debkit.finish.work import Beside, Work
from builders.errors import BuildError
from builders.files import scratch
from builders.text import printable

_NOTE, _NOTES = 1000, 1000  # characters of a note, and how many there are


@dataclass(frozen=True)
class Finished:
    """A finished package; notes are sentences on what a person may want to correct.

    symbols: its package of debugging symbols, where there are any.
    """

    path: Path
    package: str
    version: str
    architecture: str
    notes: tuple[str, ...]
    symbols: Finished | None = None


def finish(
    raw: Path | Deb,
    corrections: Corrections,
    *,
    elf_depends: Sequence[str],
    destination_dir: Path,
    epoch: int,
    beside: Beside | None = None,
) -> Finished:
    """Write the package `raw`, corrected, into `destination_dir`, under its dpkg-name(1).

    elf_depends: relations that dpkg-shlibdeps computed for its ELF files inside the suite.
    epoch: SOURCE_DATE_EPOCH; no time in the result lies after it.
    beside: what else the build handed over; with symbols, a second package is written.
    A directory that the corrections leave empty goes too, one that was empty before stays.
    Raises BuildError where the package or a correction cannot be used.
    """
    epoch = max(0, epoch)  # no header has room for a sign
    package = Deb.open(raw) if isinstance(raw, Path) else raw
    suite = (beside or Beside()).suite
    first = control_fields(package, corrections, elf_depends, [], suite)
    work = Work(package, corrections, beside or Beside(), epoch, first["Package"], first["Version"])
    metadata.line_ends(work)
    _remove(work)
    members.move(work)
    texts.correct(work)
    found = symbols.correct(work) if corrections.symbols else symbols.Symbols({}, ())
    # Policy does not cover the installer's packages (udeb): they have no documents, conffiles,
    # services and byte-compiled modules.
    udeb = package.path.suffix == ".udeb" or is_udeb(package.control)
    for wanted, correct in (
        (corrections.libraries, libraries.correct),
        (corrections.python and not udeb, python.correct),
        (corrections.runtime, runtime.correct),
        (corrections.documents and not udeb, documents.correct),
        (corrections.links, members.shorten_links),
    ):
        if wanted:
            correct(work)
    members.set_modes(work)
    work.removed |= members.emptied(work)
    members.note_dangling(work)
    retired.correct(work)
    hooks.correct(work)
    if not udeb:
        modules.correct(work)
        builds.correct(work)
    overrides.correct(work)
    services.correct(work)
    snippets.correct(work)
    if corrections.conffiles and not udeb:
        work.control_files["conffiles"] = members.conffiles(work) or None
    metadata.correct(work)
    metadata.check(work)
    needs = [*elf_depends, *work.depends]
    fields = control_fields(package, corrections, needs, work.notes, suite)
    name, version, architecture = (
        _for_name(fields, f) for f in ("Package", "Version", "Architecture")
    )
    suffix = ".udeb" if udeb else ".deb"
    destination = destination_dir / file_name(name, version, architecture, suffix)
    try:
        destination_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(
            f"{destination_dir}: {error.strerror}", hint="name a folder that can be written"
        ) from error
    with ExitStack() as stack:
        if work.beside.sign:
            signed = stack.enter_context(scratch(".sign-", destination_dir))
            signatures.correct(work, work.beside.sign, signed)
        deb.rewrite(package, destination, _edit(work, fields))
    work.notes += _unsigned(package, destination)
    companion = symbols.package(work, fields, found, destination_dir)
    notes = tuple(note[:_NOTE] for note in work.notes[:_NOTES])
    return Finished(
        destination,
        name,
        version,
        architecture,
        notes,
        Finished(companion, f"{name}-dbgsym", version, architecture, ()) if companion else None,
    )


def _remove(work: Work) -> None:
    corrections, entries = work.corrections, work.entries
    removed = members.unwanted(work, work.notes)
    for wanted, chosen in (
        (corrections.symbols, symbols.moved),
        (corrections.python, python.caches),
        (corrections.runtime, runtime.volatile),
        (True, modules.links),
    ):
        if wanted:
            removed |= chosen(work)
    work.removed = members.below(entries, removed)


def _unsigned(package: Deb, destination: Path) -> list[str]:
    """Which signatures inside the package went, as what they are of has changed."""
    signed = {member.name for member in package.members if member.name.startswith("_gpg")}
    if not signed:
        return []
    gone = sorted(signed - {member.name for member in Deb.open(destination).members})
    names = printable(", ".join(gone))
    return [f"{names}: the signature is of another content, and was left out"] if gone else []


def _edit(work: Work, fields: dict[str, str]) -> Edit:
    def staying(paths: dict[str, Any]) -> dict[str, Any]:
        return {path: value for path, value in paths.items() if path not in work.removed}

    return Edit(
        control=fields,
        control_files=work.control_files,
        control_modes=work.control_modes,
        remove=frozenset(work.removed),
        rename=staying(work.moved),
        replace=staying(work.replaced),
        modes=staying(work.modes),
        links=staying(work.links),
        add=tuple(sorted(work.add, key=lambda added: added.path)),
        epoch=work.epoch,
        tidy=True,
        recount=True,
        compression=work.corrections.compression,
        level=None if work.corrections.level == -1 else work.corrections.level,
    )


def _for_name(fields: Mapping[str, str], field: str) -> str:
    """A field that the file's name is made of; BuildError where that would be no name."""
    value = fields.get(field, "").strip()
    if not value or not value.isprintable() or set(value) & {"/", " "}:
        raise BuildError(
            f"the package has no {field} that a file can be named after: {printable(value)!r}",
            hint=f"state {field} in the package's control file",
        )
    return value
