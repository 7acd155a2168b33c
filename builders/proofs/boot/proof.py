# SPDX-License-Identifier: GPL-2.0-or-later
"""The record of a boot, beside its console: which packages were booted, and what held.

A console alone does not say of which packages it is. The record has the digest of each, and of
the console, so that a release takes the proof of its own packages and of no others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders import files
from builders.files import of_file

if TYPE_CHECKING:
    from builders.proofs.boot.checks import Boot

SCHEMA = 1  # of a record
_GOOD = ".good"  # in the names of the last good proof, where a later boot was none
_UNREAL = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Proof:
    """A record that was read, and its console.

    packages: file name -> sha256 of what was booted. must_fail: checks that have to fail, so
    that the others mean something; none where it is no such control.
    """

    name: str
    good: bool
    packages: Mapping[str, str]
    must_fail: tuple[str, ...]
    seconds: float
    checks: tuple[Mapping[str, Any], ...]
    record: Path
    console: Path


def keep_good(console: Path) -> None:
    """Put a good proof aside before its console is written anew: `write` ends it.

    So a boot that fails, of the same packages or because the machine lacks something, takes no
    earlier proof away. Raises OSError.
    """
    record = console.with_suffix(".json")
    last = read(record)
    if last and last.good:
        for path in (console, record):
            path.replace(_aside(path))


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.stem}{_GOOD}{path.suffix}")


def write(boot: Boot, packages: Mapping[str, str]) -> None:
    """Put the record of `boot` beside its console, which is whole.

    Where it is good, the good one that was put aside goes.
    """
    document = {
        "schema": SCHEMA,
        "name": boot.name,
        "good": boot.good,
        "packages": dict(packages),
        "console": of_file(boot.log),
        "seconds": round(boot.seconds, 1),
        "must_fail": sorted(boot.wanted),
        "checks": [asdict(check) for check in boot.checks],
    }
    path = boot.log.with_suffix(".json")
    files.write(path, json.dumps(document, indent=1) + "\n")
    if boot.good:
        for old in (_aside(path), _aside(boot.log)):
            old.unlink(missing_ok=True)


def read(record: Path) -> Proof | None:
    """A record; None where it is none, or its console is gone or another one."""
    try:
        said = json.loads(record.read_bytes())
        console = record.with_suffix(".log")
        if said["schema"] != SCHEMA or said["console"] != of_file(console):
            return None
        packages = {str(name): str(digest) for name, digest in said["packages"].items()}
        checks = tuple(
            {"name": str(c["name"]), "good": c["good"] is True, "seen": str(c["seen"])}
            for c in said["checks"]
        )
        return Proof(
            str(said["name"]),
            said["good"] is True,
            packages,
            tuple(map(str, said["must_fail"])),
            float(said["seconds"]),
            checks,
            record,
            console,
        )
    except _UNREAL:
        return None


def found(folder: Path) -> Iterator[Proof]:
    """Every proof whose record lies right inside `folder`, by name."""
    for path in sorted(folder.glob("*.json")):
        proof = read(path)
        if proof:
            yield proof
