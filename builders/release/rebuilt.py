# SPDX-License-Identifier: GPL-2.0-or-later
"""What somebody else's machine says of a release: a signed in-toto statement of its own build.

The subject of a statement is what came out there, the predicate what was released. Statements lie
in a store that several machines use; whoever verifies a release asks how many of those whose keys
are given have the very same packages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders import VERSION, documents
from builders.errors import BuildError, Exit
from builders.files import of_file
from builders.pipeline.shared import Said
from builders.release import signing
from builders.release.layout import SUMS, Kept, kept_builds, record
from builders.release.provenance import STATEMENT
from builders.text import printable

PREDICATE = "urn:x-dom0-debs:rebuild:1"  # docs/release.md says what is in it
_UNREAL = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError)


@dataclass(frozen=True)
class Released:
    """A build of a release, as far as another machine has to know it.

    packages: file name -> sha256. paths: file name -> its path in the release. inputs: what the
    build was made from, as its stage recorded it.
    """

    recipe: str
    target: str
    version: str
    overrides: tuple[str, ...]
    packages: Mapping[str, str]
    paths: Mapping[str, str]
    inputs: Mapping[str, str]

    @property
    def tag(self) -> str:
        """How the tags of its statements in a store begin."""
        text = "".join(f"{sha}  {name}\n" for name, sha in sorted(self.packages.items()))
        return f"rebuilt-{hashlib.sha256(text.encode()).hexdigest()[:24]}-"


def released(folder: Path) -> list[Released]:
    """The newest version of each build in a release that was verified. Raises BuildError."""
    from debian.debian_support import Version

    newest: dict[str, Kept] = {}
    for build in kept_builds(folder):
        target, version = build.key
        other = newest.get(target)
        if other is None or Version(other.key[1]) < Version(version):
            newest[target] = build
    try:
        recipe = str(record(folder)["recipe"])
        return [_released(folder, recipe, build) for _, build in sorted(newest.items())]
    except _UNREAL as error:
        raise BuildError(
            f"{folder}: what its builds were made from can't be read: {printable(str(error))}",
            hint="it was made by another version of this tool: release it again",
        ) from None


def _released(folder: Path, recipe: str, build: Kept) -> Released:
    (path,) = (
        p for p in build.files if p.startswith("attestations/") and p.endswith(".provenance.json")
    )
    statement = documents.parse((folder / path).read_bytes())
    definition = statement["predicate"]["buildDefinition"]
    inputs = definition["internalParameters"]["build"]
    overrides = definition["externalParameters"]["overrides"]
    if not all(isinstance(text, str) for text in (*inputs, *inputs.values(), *overrides)):
        raise TypeError("an input of a build is no text")
    target, version = build.key
    return Released(
        recipe,
        target,
        version,
        tuple(overrides),
        {Path(path).name: sha for path, sha in build.packages.items()},
        {Path(path).name: path for path in build.packages},
        inputs,
    )


@dataclass(frozen=True)
class Statement:
    """What a machine says. made: the packages that came out there, file name -> sha256."""

    released: Mapping[str, str]
    made: Mapping[str, str]


def statement(folder: Path, build: Released, made: Mapping[str, str], image: str) -> bytes:
    """The statement on a build of the release in `folder`, as JSON; image: of the other build."""
    document = {
        "_type": STATEMENT,
        "subject": [{"name": n, "digest": {"sha256": sha}} for n, sha in sorted(made.items())],
        "predicateType": PREDICATE,
        "predicate": {
            "recipe": build.recipe,
            "target": build.target,
            "version": build.version,
            "release": {"digest": {"sha256": of_file(folder / SUMS)}},
            "released": dict(build.packages),
            "same": dict(made) == dict(build.packages),
            "image": image,
            "builder": {"dom0-debs": VERSION},
        },
    }
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def read(content: bytes) -> Statement:
    """The statement in these bytes; ValueError where they are none of ours."""
    try:
        document = documents.parse(content)
        if document["_type"] != STATEMENT or document["predicateType"] != PREDICATE:
            raise ValueError("it is another statement")
        made = {s["name"]: s["digest"]["sha256"] for s in document["subject"]}
        before = document["predicate"]["released"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it lacks {error}") from None
    for table in (made, before):
        if not isinstance(table, dict) or not _digests(table):
            raise ValueError("its packages are not named by digests")
    return Statement(before, made)


def _digests(table: Mapping[Any, Any]) -> bool:
    return all(isinstance(k, str) and isinstance(v, str) and len(v) == 64 for k, v in table.items())


@dataclass(frozen=True)
class Count:
    """Who of those whose keys were given has a build: fingerprints of primary keys.

    agree: those with the very same packages; differ: those with others. notes: statements that do
    not count, and why.
    """

    target: str
    agree: tuple[str, ...]
    differ: tuple[str, ...]
    notes: tuple[str, ...]


def count(build: Released, said: Iterable[Said], keys: bytes, signer: str) -> Count:
    """How many agree. keys: public keys of rebuilders. signer: who signed the release, and is none.

    A key counts once, whatever it signed: where two of its statements differ, it does not agree.
    """
    agree: set[str] = set()
    differ: set[str] = set()
    notes: list[str] = []
    for one in said:
        try:
            fingerprint, content = signing.check(keys, one.signature, one.statement)
            found = read(content)
            if dict(found.released) != dict(build.packages):
                raise ValueError("it is of another release")
        except (signing.Refused, ValueError) as error:
            notes.append(f"{printable(one.tag)}: does not count: {printable(str(error))}"[:400])
            continue
        if fingerprint == signer:
            notes.append(f"{printable(one.tag)}: does not count: its key signed the release"[:400])
            continue
        same = dict(found.made) == dict(build.packages)
        (agree if same else differ).add(fingerprint)
    return Count(
        build.target, tuple(sorted(agree - differ)), tuple(sorted(differ)), tuple(notes[:100])
    )


def differing(recorded: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """The inputs of a build that another one has not, by name; ccache decides no byte."""
    names = sorted({*recorded, *here} - {"ccache"})
    return [name for name in names if recorded.get(name) != here.get(name)]


def other_inputs(build: Released, names: list[str]) -> BuildError:
    """The error where another build would not be of the same inputs."""
    told = ", ".join(printable(name)[:100] for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return BuildError(
        f"{build.target} {printable(build.version)} was made from others than are here: "
        f"{told}{more}",
        hint="the same builder image and sources come with --store, of the machine that released "
        "it, or with --locked; a script or patch is of that version of this tool",
        exit=Exit.SOURCE,
    )
