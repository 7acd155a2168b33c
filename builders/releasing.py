# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs about releases do, from their arguments to what they have to say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders import face, verbs
from builders.errors import BuildError
from builders.progress import Reporter

if TYPE_CHECKING:
    from builders.release.publish import Made


@dataclass(frozen=True)
class Wanted:
    """What the command line of `release` asks for; empty values are the defaults."""

    flavour: str = ""
    key: str = ""
    out: str = ""
    url: str = ""
    keep: int = -1
    form: str = "table"


def release(name: str, wanted: Wanted, reporter: Reporter) -> str:
    """Make the release of a recipe; what there is in it, as text."""
    from builders.release import publish

    verbs.known_form(wanted.form)
    if wanted.keep < -1:
        raise BuildError(f"--keep {wanted.keep}: how many is that?", hint="0, 1, ... or -1 for all")
    made = publish.publish(
        verbs.begin(name, [], reporter),
        name,
        flavour=wanted.flavour,
        key=wanted.key,
        out=wanted.out,
        url=wanted.url,
        keep=wanted.keep,
    )
    return _json(made) if wanted.form == "json" else _table(made)


def _json(made: Made) -> str:
    return json.dumps(
        {
            "folder": str(made.folder),
            "key": {"fingerprint": made.fingerprint, "uid": made.uid, "ephemeral": made.ephemeral},
            "builds": list(made.builds),
            "missing": list(made.missing),
            "notes": list(made.notes),
        },
        indent=2,
    )


def _table(made: Made) -> str:
    rows = []
    for build in made.builds:
        rows += [
            (build["target"], Path(path).name, _size(made.folder / path), _audit(build["audit"]))
            for path in build["files"]
            if path.endswith(".deb")
        ]
    near = verbs.near(made.folder)
    lines = [f"{near}: {made.uid} {made.fingerprint}", face.table(rows)]
    lines += [f"note: without {text}" for text in made.missing]
    lines += [f"note: {text}" for text in made.notes]
    lines.append(f"next: ./inv verify {near}")
    return "\n".join(lines)


def _size(path: Path) -> str:
    return f"{path.stat().st_size / (1 << 20):.1f} MiB"


def _audit(counts: Mapping[str, int]) -> str:
    said = [f"{n} {name}{'s' * (n != 1)}" for name, n in counts.items() if n and name != "info"]
    return f"audit: {', '.join(said) or 'clean'}"
