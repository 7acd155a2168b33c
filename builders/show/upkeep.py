# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is to say of the box, the recipes, and what was removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast

from builders.show import face
from builders.show.outcome import Outcome

if TYPE_CHECKING:
    from builders.pipeline import doctor
    from builders.pipeline.online import Address


@dataclass(frozen=True)
class DoctorEntry:
    name: str
    state: Literal["ok", "warn", "fail"]
    why: str
    remedy: Annotated[str, "what to do about it, or empty"]


@dataclass(frozen=True)
class ChecksDocument:
    """All that a build needs; said with any exit status."""

    kind: ClassVar[str] = "doctor"
    schema: ClassVar[int] = 1
    checks: Sequence[DoctorEntry]


@dataclass(frozen=True)
class AddressEntry:
    what: Annotated[str, 'whose address it is, such as "source xen"']
    url: str
    state: Annotated[
        Literal["pinned", "likely", "failed"],
        "pinned: it serves what is pinned; likely: what was looked at agrees with that",
    ]
    why: str


@dataclass(frozen=True)
class AddressesDocument:
    """What each address of a recipe serves; said with status 0 or 3."""

    kind: ClassVar[str] = "doctor-online"
    schema: ClassVar[int] = 1
    addresses: Sequence[AddressEntry]
    unserved: Annotated[Sequence[str], "what no address serves"]


@dataclass(frozen=True)
class RecipeEntry:
    name: str
    default: Annotated[bool, "it is taken where none is named"]
    suite: str
    summary: str
    flavours: Annotated[Sequence[str], "of its kernel; none where it has no kernel"]


@dataclass(frozen=True)
class UnusableEntry:
    name: str
    default: Annotated[bool, "it is taken where none is named"]
    error: Annotated[str, "what is wrong with the file"]
    hint: str


@dataclass(frozen=True)
class RecipesDocument:
    """The recipes that there are."""

    kind: ClassVar[str] = "recipes"
    schema: ClassVar[int] = 1
    recipes: Sequence[RecipeEntry | UnusableEntry]


@dataclass(frozen=True)
class FolderEntry:
    recipe: str
    replaced: Annotated[int | None, "outputs that --old removed; null: all of it was removed"]


@dataclass(frozen=True)
class RemovedDocument:
    """What was removed."""

    kind: ClassVar[str] = "clean"
    schema: ClassVar[int] = 1
    artifacts: Sequence[FolderEntry]
    engine: Annotated[int | None, "images and volumes that were removed; null: not asked for"]
    freed: Annotated[int | None, "bytes of the source cache; null: not asked for"]


def checks(made: Sequence[doctor.Check], code: int, verdict: str, recipe: str) -> Outcome:
    """What the doctor looked at, and its verdict on the recipe of that name."""
    if not code:
        verdict = f"{verdict}\nnext: ./inv build-all --recipe {recipe}"
    verdict = "\n".join(face.hang(line, 0) for line in verdict.split("\n"))
    documents = [
        DoctorEntry(c.name, cast(Literal["ok", "warn", "fail"], c.state), c.why, c.remedy)
        for c in made
    ]
    return Outcome(ChecksDocument(documents), f"{face.checks(made)}\n\n{verdict}", code)


def addresses(found: Sequence[Address]) -> Outcome:
    """What each address of a recipe serves."""
    from builders.pipeline import online

    entries = [
        AddressEntry(a.what, a.url, cast(Literal["pinned", "likely", "failed"], a.state), a.why)
        for a in found
    ]
    document = AddressesDocument(entries, online.unserved(found))
    text = f"{face.addresses(found)}\n\n{face.hang(online.verdict(found), 0)}"
    return Outcome(document, text, online.status(found))
