# SPDX-License-Identifier: GPL-2.0-or-later
"""The relations that a package states (Policy 7.1): the one reader of them.

The grammar is that of a binary package, by the letter: a source package may have more (a comma at
the end, architectures in brackets, build profiles), which dpkg refuses here. What is no relation
is passed over by those that look for names, as packages of others have some; a rule of the audit
tells of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from builders.debkit.deb.fault import MOST, Fault
from builders.debkit.deb.suites import BOOKWORM, Number
from builders.versions import parsed_version, version_fault

RELATIONS = (
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Suggests",
    "Enhances",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Provides",
)
# Of these one package is named at a time (Policy 7.1); dpkg lets Enhances have alternatives.
_SINGLE = frozenset(["conflicts", "breaks", "replaces", "provides"])
_EXACT = (1, 22, 7)  # of dpkg, which from then on refuses another relation in Provides
# What the operators of before 1995 mean to dpkg, and no operator at all.
_MEANT = {"<": "<=", ">": ">="}
_SPACE = " \t\n\v\f\r"  # as dpkg's c_isspace
_ONE = re.compile(
    r"(?P<name>[^ \t\n\v\f\r:(,|]*)(?P<arch>:[^ \t\n\v\f\r(,|]*)?[ \t\n\v\f\r]*"
    r"(?P<rest>.*)",
    re.DOTALL,
)
_VERSIONED = re.compile(
    r"\([ \t\n\v\f\r]*+(?P<operator><<|<=|>>|>=|[<>](?![<>])|=|(?![<>]))"
    r"[ \t\n\v\f\r]*+(?P<version>[^ \t\n\v\f\r()]*+)[ \t\n\v\f\r]*+\)",
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
STRICT_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")  # Policy 5.6.1
_ARCHITECTURE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


@dataclass(frozen=True)
class One:
    """A package, and the versions of it that will do. arch: with its colon, "" for none."""

    name: str
    arch: str = ""
    operator: str = ""
    version: str = ""

    def __str__(self) -> str:
        versions = f" ({self.operator} {self.version})" if self.operator else ""
        return f"{self.name}{self.arch}{versions}"

    @property
    def limit(self) -> str:
        """The versions that will do, such as ">= 1.0"; "" for all."""
        return f"{self.operator} {self.version}" if self.operator else ""

    def implies(self, other: One) -> bool:
        """Whether all that satisfies this satisfies `other`."""
        if (self.name, self.arch) != (other.name, other.arch):
            return False
        if not other.operator or self == other:
            return True
        if other.operator != ">=" or self.operator not in (">=", ">>", "="):
            return False
        mine, its = parsed_version(self.version), parsed_version(other.version)
        return mine is not None and its is not None and mine >= its


@dataclass(frozen=True)
class Group:
    """Alternatives, of which one has to be there."""

    choices: tuple[One, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.choices))

    def implies(self, other: Group) -> bool:
        return len(self.choices) == 1 and any(self.choices[0].implies(o) for o in other.choices)


def name_fault(name: str) -> str:
    """Why dpkg takes `name` for none of a package; "" for one that it takes."""
    if not name:
        return "is empty"
    if not _NAME.fullmatch(name):
        return "is no name of a package"
    return ""


def read_relations(
    field: str, value: str, dpkg: Number = BOOKWORM.dpkg
) -> tuple[list[Group], list[Fault]]:
    """The relations of a field, and its faults. What dpkg refuses is in no group.

    The value is as the control file has it, but for space at its end. dpkg: its version.
    """
    groups: list[Group] = []
    faults: list[Fault] = []
    if not value:
        return groups, faults
    parts = value.split(",")
    for number, part in enumerate(parts):
        if len(faults) > MOST:
            break
        # Space is passed over after a comma, not before the first name.
        text = part.lstrip(_SPACE) if number else part
        choices: list[One] = []
        refused = False
        for place, choice in enumerate(text.split("|")):
            one, told = _one(field, choice.lstrip(_SPACE) if place else choice, dpkg)
            faults += told
            refused = refused or any(fault.refused for fault in told)
            choices += [one] if one is not None else []
        if len(text.split("|")) > 1 and field.lower() in _SINGLE:
            refused = True
            faults.append(Fault(f"has an alternative, which {field} cannot: {text.strip(_SPACE)}"))
        if choices and not refused:
            groups.append(Group(tuple(choices)))
    return groups, faults


def written_relations(
    field: str, text: str, *, strict: bool = True
) -> tuple[list[Group], list[tuple[str, str]]]:
    """The relations of a field that is written anew, and each part that is none, with the reason.

    A comma too many is left out. strict: names are as Policy 5.6.1 has them; dpkg takes more, of a
    package that there is.
    """
    groups: list[Group] = []
    faults: list[tuple[str, str]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        relations, told = read_relations(field, part)
        names = [one.name for group in relations for one in group.choices]
        refused = [fault.message for fault in told if fault.refused]
        if refused or not names or (strict and not all(map(STRICT_NAME.fullmatch, names))):
            faults.append((part, refused[0] if refused else "names no package (Policy 5.6.1)"))
        groups += relations
    return groups, faults


def _one(field: str, text: str, dpkg: Number) -> tuple[One | None, list[Fault]]:
    """One relation, None where it is none, and what is wrong with it."""
    shown = text.strip(_SPACE)
    match = _ONE.fullmatch(text)
    assert match is not None  # noqa: S101  # it takes any text
    name, arch, rest = match["name"], match["arch"] or "", match["rest"].rstrip(_SPACE)
    if not name:
        if not shown:
            return None, [Fault("has nothing where a relation is due")]
        if text[:1] in _SPACE:
            return None, [Fault(f"begins on the line after its name, with {shown!r}")]
        return None, [Fault(f"has {shown!r}, which is no relation")]
    if not _NAME.fullmatch(name):
        return None, [Fault(f"has {shown!r}, which is no relation: {name!r} is no name")]
    if arch and not _ARCHITECTURE.fullmatch(arch[1:]):
        return None, [Fault(f"has {shown!r}, where {arch!r} is no architecture")]
    faults: list[Fault] = []
    if not STRICT_NAME.fullmatch(name):
        faults.append(Fault(f"has {shown!r}, whose name Policy 5.6.1 does not allow", False))
    if not rest:
        return One(name, arch), faults
    versioned = _VERSIONED.fullmatch(rest)
    if versioned is None:
        return None, [Fault(f"has {shown!r}, which is no relation of a binary package")]
    operator, version = versioned["operator"], versioned["version"]
    if fault := version_fault(version):
        return None, [Fault(f"has {shown!r}, whose version {fault}")]
    if operator in _MEANT:
        faults.append(
            Fault(f"has {shown!r}; that means {_MEANT[operator]}, and is obsolete", False)
        )
    elif not operator:
        faults.append(Fault(f"has {shown!r} without an operator; that means =", False))
    operator = _MEANT.get(operator, operator or "=")
    if field.lower() == "provides" and operator != "=":
        refused = dpkg >= _EXACT
        why = "which can only be (= version)"
        if not refused:
            why += ", and which newer suites refuse"
        faults.append(Fault(f"has {shown!r}, {why}", refused))
    return One(name, arch, operator, version), faults


def apt_fault(value: str) -> str:
    """Why apt cannot read the end of a field that dpkg reads; "" where it can.

    It wants four characters after the last parenthesis that is opened: (=1) is one too short.
    """
    last = value.rpartition(",")[2]
    inside = last.rpartition("(")[2] if "(" in last else ""
    if inside and len(inside.lstrip(_SPACE)) < _APT:
        return f"has {last.strip(_SPACE)!r} at its end, which apt cannot read"
    return ""


_APT = 4


def related(control: Mapping[str, str], *fields: str) -> dict[str, set[str]]:
    """Package name to its version restrictions ("" for none) in these fields, alternatives too."""
    limits: dict[str, set[str]] = {}
    for field in fields:
        for group in read_relations(field, control.get(field, ""))[0]:
            for one in group.choices:
                limits.setdefault(one.name, set()).add(one.limit)
    return limits
