# SPDX-License-Identifier: GPL-2.0-or-later
"""Relations between packages (Policy 7.1): read, compared and joined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from debian.debian_support import Version

from builders.errors import BuildError
from builders.progress import printable

NAME = r"[a-z0-9][a-z0-9+.-]+"  # Policy 5.6.1
# Policy 7.1: no "|" in the others.
_ALTERNATIVES = ("pre-depends", "depends", "recommends", "suggests")

_RELATION = re.compile(
    rf"(?P<name>{NAME})(?P<arch>:[a-z0-9-]+)?"
    r"(?:\s*\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^\s()]+)\s*\))?"
)
# What the operators of before 1995 mean to dpkg.
_OPERATORS = {"<": "<=", ">": ">="}


@dataclass(frozen=True)
class One:
    """A package, and the versions of it that will do."""

    name: str
    arch: str = ""
    operator: str = ""
    version: str = ""

    def __str__(self) -> str:
        versions = f" ({self.operator} {self.version})" if self.operator else ""
        return f"{self.name}{self.arch}{versions}"

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


def parse_relations(field: str, texts: Iterable[str]) -> list[Group]:
    """The relations of a field; BuildError where one is malformed."""
    groups = []
    for text in texts:
        for part in text.split(","):
            if not part.strip():
                continue
            choices = []
            for choice in part.split("|"):
                match = _RELATION.fullmatch(choice.strip())
                version = match["version"] if match else None
                if not match or (version and parsed_version(version) is None):
                    raise BuildError(
                        f"{field.lower()}: {printable(part.strip())!r} is no relation (Policy 7.1)",
                        hint="write it like: libc6 (>= 2.36)",
                    )
                operator = match["operator"] or ""
                choices.append(
                    One(
                        match["name"],
                        match["arch"] or "",
                        _OPERATORS.get(operator, operator),
                        version or "",
                    )
                )
            if len(choices) > 1 and field.lower() not in _ALTERNATIVES:
                raise BuildError(
                    f"{field.lower()}: {printable(part.strip())!r} has alternatives (Policy 7.1)",
                    hint="name one package",
                )
            groups.append(Group(tuple(choices)))
    return groups


def joined_depends(
    raw: str,
    stated: Sequence[str],
    elf_depends: Sequence[str],
    own: set[str],
    notes: list[str],
    before: str = "",
) -> str:
    """The three joined: what another one implies is dropped, and what the package itself is.

    before: Pre-Depends; what that implies is dropped too, as dpkg-gencontrol(1) does.
    """
    computed = parse_relations("depends", elf_depends)
    named = {one.name for group in computed for one in group.choices}
    groups = [*parse_relations("depends", [raw]), *computed]
    for group in parse_relations("depends", stated):
        one = group.choices[0]
        if len(group.choices) == 1 and not one.operator and f"{one.name}t64" in named:
            # The 64-bit time_t transition renamed libraries; dpkg-shlibdeps knows the suite.
            notes.append(f"depends: {one.name} is {one.name}t64 in this suite")
            continue
        for choice in group.choices:
            if _is_library(choice.name) and choice.name not in named:
                notes.append(
                    f"depends: {choice.name} is stated, but no ELF file of the package needs it"
                )
        groups.append(group)
    unique = {str(g): g for g in groups if not any(one.name in own for one in g.choices)}
    stronger = parse_relations("pre-depends", [before])
    for text, group in list(unique.items()):
        others = [*stronger, *(other for other in unique.values() if other is not group)]
        if group in stronger or any(other.implies(group) for other in others):
            del unique[text]
    return ", ".join(sorted(unique))


def _is_library(package: str) -> bool:
    """Whether it is called as a shared library's package is (Policy 8.1), such as libaio1."""
    return bool(re.fullmatch(r"lib[a-z0-9+.-]*[0-9](t64|g|[a-z]?[0-9]*)", package))


def parsed_version(text: str) -> Version | None:
    # Stricter than python-debian: dpkg wants the upstream version to begin with a digit.
    if not re.fullmatch(r"([0-9]+:)?[0-9][A-Za-z0-9.+~-]*", text) or text.endswith("-"):
        return None
    try:
        return Version(text)
    except ValueError:
        return None
