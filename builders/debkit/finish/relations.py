# SPDX-License-Identifier: GPL-2.0-or-later
"""Relations between packages (Policy 7.1): read, compared and joined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from builders.debkit.deb.relations import Group, written_relations
from builders.errors import BuildError
from builders.text import printable


def parse_relations(field: str, texts: Iterable[str], *, strict: bool = True) -> list[Group]:
    """The relations of a field, as `written_relations` has them; BuildError where one is none."""
    groups: list[Group] = []
    for text in texts:
        relations, faults = written_relations(field, text, strict=strict)
        for part, why in faults:
            raise BuildError(
                f"{field.lower()}: {printable(repr(part))} is no relation (Policy 7.1):"
                f" it {printable(why)}",
                hint="write it like: libc6 (>= 2.36)",
            )
        groups += relations
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
    groups = [*parse_relations("depends", [raw], strict=False), *computed]
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
    stronger = {str(g): g for g in parse_relations("pre-depends", [before], strict=False)}
    # Only a relation to the same package implies another one.
    alone: dict[tuple[str, str], list[Group]] = {}
    for group in (*stronger.values(), *unique.values()):
        one = group.choices[0]
        same = alone.setdefault((one.name, one.arch), [])
        if len(group.choices) == 1 and len(same) < _SAME:
            same.append(group)
    for text, group in list(unique.items()):
        others = [o for one in group.choices for o in alone.get((one.name, one.arch), ())]
        still = (o for o in others if o is not group and (str(o) in unique or str(o) in stronger))
        if text in stronger or any(other.implies(group) for other in still):
            del unique[text]
    return ", ".join(sorted(unique))


_SAME = 50  # relations to one package that are compared with each other


def _is_library(package: str) -> bool:
    """Whether it is called as a shared library's package is (Policy 8.1), such as libaio1."""
    return bool(
        re.fullmatch(r"lib[a-z0-9+.-]*+", package) and re.search(r"[0-9][a-z]?\Z", package[-2:])
    )
