# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs about releases do, from their arguments to what they have to say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders import forms
from builders.errors import BuildError, Exit
from builders.progress import Reporter
from builders.show import face
from builders.verbs import builds

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
    old_key: str = ""


def release(name: str, wanted: Wanted, reporter: Reporter) -> str:
    """Make the release of a recipe; what there is in it, as text."""
    from builders.release import publish

    builds.known_form(wanted.form)
    if wanted.keep < -1:
        raise BuildError(f"--keep {wanted.keep}: how many is that?", hint="0, 1, ... or -1 for all")
    problem = forms.address(wanted.url)
    if wanted.url and problem and not wanted.url.startswith("file:/"):
        raise BuildError(
            f"--url: {problem}", hint="where machines will find it, such as https://example.org/xen"
        )
    made = publish.publish(
        builds.begin(name, [], reporter),
        name,
        flavour=wanted.flavour,
        key=wanted.key,
        out=wanted.out,
        url=wanted.url,
        keep=wanted.keep,
        old_key=wanted.old_key,
    )
    return _json(made) if wanted.form == "json" else _table(made)


def verify(paths: Sequence[str], key: str, form: str, reporter: Reporter) -> tuple[str, int]:
    """Check a release; what was found, as text, and the exit status: 1 where it is not sound."""
    from builders.release import verify as verifying

    builds.known_form(form)
    if len(paths) != 1:
        raise BuildError(
            f"verify checks one release, {len(paths)} named", hint="./inv verify FOLDER"
        )
    folder = paths[0]
    found = verifying.verify(Path(folder), reporter, Path(key) if key else None)
    code = Exit.AUDIT if found.problems else Exit.DONE
    if form == "json":
        return json.dumps(asdict(found), indent=2), code
    if found.problems:
        lines = [f"{problem.file}: {problem.why}" for problem in found.problems]
        lines.append(f"{folder}: not to be trusted, {len(lines)} of {found.files} files refused")
        return "\n".join(lines), code
    lines = [f"{folder}: {found.files} files, signed by {found.fingerprint}"]
    lines += [f"note: {note}" for note in found.notes]
    if not found.given:
        lines.append(
            "note: checked with the key in the folder: compare that fingerprint with one that "
            "you trust, or name your own copy of the key: --key FILE"
        )
    return "\n".join(lines), code


def difference(paths: Sequence[str], form: str) -> str:
    """What changed from one release to another, as Markdown or JSON."""
    from builders.release import notes

    if form not in ("markdown", "json"):
        raise BuildError(f"--format {form}: no such format", hint="markdown or json")
    if len(paths) != 2:
        raise BuildError(
            f"diff compares two releases, {len(paths)} named", hint="./inv diff OLD NEW"
        )
    found = notes.difference(*map(Path, paths))
    return notes.to_json(found) if form == "json" else notes.markdown(found)


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
    near = face.near(made.folder)
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
