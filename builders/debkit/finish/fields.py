# SPDX-License-Identifier: GPL-2.0-or-later
"""The control fields of a finished package (Policy 5.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from builders.debkit import deb
from builders.debkit.corrections import Corrections
from builders.debkit.deb import Deb
from builders.debkit.deb.fields import PRIORITIES, field_faults, relation_faults
from builders.debkit.deb.relations import STRICT_NAME
from builders.debkit.deb.suites import Tools, tools
from builders.debkit.finish.relations import joined_depends, parse_relations
from builders.errors import BuildError
from builders.text import printable
from builders.versions import parsed_version

_ADDED = ("Recommends", "Suggests", "Provides", "Conflicts", "Replaces", "Breaks")
_KEPT = ("Pre-Depends", "Enhances")
# What dpkg keeps in its database, and refuses in a package.
_DROPPED = ("Status", "Config-Version", "Conffiles", "Triggers-Pending", "Triggers-Awaited")


def control_fields(
    package: Deb,
    corrections: Corrections,
    elf_depends: Sequence[str],
    notes: list[str],
    suite: str = "",
) -> dict[str, str]:
    """The control fields of the finished package, in dpkg-gencontrol's order.

    suite: whose dpkg and apt are to take them; BuildError where they would not.
    """
    control: dict[str, tuple[str, str]] = {
        name.lower(): (name, value) for name, value in package.control.items()
    }

    def raw(name: str) -> str:
        return control.get(name.lower(), ("", ""))[1].strip()

    def put(name: str, value: str) -> None:
        control.pop(name.lower(), None)
        if value:
            control[name.lower()] = (name, value)

    name = corrections.package or raw("Package")
    if not STRICT_NAME.fullmatch(name):
        raise BuildError(
            f"{printable(name)!r} is no package name (Policy 5.6.1)",
            hint="state package, in lower case letters, digits and +-.",
        )
    put("Package", name)
    put("Version", _version(raw("Version"), corrections, notes))
    put("Maintainer", _maintainer(raw("Maintainer"), corrections.maintainer, notes))
    for field, stated in (("Section", corrections.section), ("Homepage", corrections.homepage)):
        if re.search(r"\s", stated):
            raise BuildError(f"{field.lower()}: {stated!r} has a space", hint="write one word")
        put(field, stated or raw(field))
    if corrections.priority and corrections.priority not in PRIORITIES:
        raise BuildError(
            f"{corrections.priority!r} is no priority (Policy 2.5)",
            hint=f"one of: {', '.join(PRIORITIES)}",
        )
    put("Priority", corrections.priority or raw("Priority"))
    put("Description", _description(corrections.description) or raw("Description"))
    if not raw("Description"):
        notes.append("the package has no description: state one")
    own = {name, package.control.get("Package", "")}
    put(
        "Depends",
        joined_depends(
            raw("Depends"), corrections.depends, elf_depends, own, notes, raw("Pre-Depends")
        ),
    )
    for field in (*_ADDED, *_KEPT):
        stated_relations = [
            *parse_relations(field, [raw(field)], strict=False),
            *parse_relations(field, getattr(corrections, field.lower(), ())),
        ]
        put(field, ", ".join(sorted({str(group) for group in stated_relations})))
    for field in _DROPPED:
        if raw(field):
            notes.append(f"{field} is a field of dpkg's database: it is left out")
        put(field, "")
    for field in [name for name, value in control.values() if not value]:
        put(field, "")
    finished = deb.ordered(dict(control.values()))
    _check(package, finished, tools(suite))
    return finished


def _check(package: Deb, fields: dict[str, str], suite: Tools) -> None:
    """BuildError where dpkg or apt would refuse the package for one of these fields."""
    for fault in (*field_faults(fields), *relation_faults(fields, suite)):
        if fault.refused:
            raise BuildError(
                f"{package.path}: {printable(fault.subject)} {printable(fault.message)}",
                hint=f"state another {fault.subject} in the package's control file",
            )


def _version(raw: str, corrections: Corrections, notes: list[str]) -> str:
    """The version of the finished package (deb-version(7)), above the raw one."""
    if corrections.version:
        stated = parsed_version(corrections.version)
        if stated is None:
            raise BuildError(
                f"{corrections.version!r} is no version (deb-version(7))",
                hint="begin with a digit, go on with letters, digits and .+-~",
            )
        before = parsed_version(raw)
        if before is not None and stated < before:
            notes.append(f"version {corrections.version} sorts below the raw package's {raw}")
        return corrections.version
    base = raw
    if parsed_version(base) is None:
        base = re.sub(r"[^A-Za-z0-9.+~-]+", ".", re.sub(r"^[^0-9]+", "", raw)).strip(".")
        if parsed_version(base) is None:
            raise BuildError(
                f"the raw package's version {printable(raw)!r} is none (deb-version(7))",
                hint="state version in full",
            )
        notes.append(f"the raw package's version {printable(raw)} is not valid; {base} is used")
    if not corrections.revision:
        return base
    version = base + corrections.revision
    after, before = parsed_version(version), parsed_version(base)
    if after is None:
        raise BuildError(
            f"{version!r} is no version (deb-version(7))",
            hint="state a revision of letters, digits and .+-~, such as +dom0.1",
        )
    if before is None or not after > before:
        raise BuildError(
            f"version {version} does not sort above the raw package's {base}",
            hint='state a revision that does, such as "+dom0.1"; "~" sorts below',
        )
    return version


def _maintainer(raw: str, stated: str, notes: list[str]) -> str:
    """Name and address (Policy 5.6.2)."""
    form = r"(?=[^<>\n]*[^<>\s])[^<>\n]+ <[^<>@\s]+@[^<>@\s]+>"
    if stated and not re.fullmatch(form, stated):
        raise BuildError(
            f"maintainer {stated!r} is not of the form Name <address>",
            hint="write a name, then an e-mail address in angle brackets",
        )
    if not stated and not re.fullmatch(form, raw):
        notes.append(f"maintainer {printable(raw)!r} is not of the form Name <address>: state one")
    return stated or raw


def _description(text: str) -> str:
    """As deb-control(5) folds it: an empty line is a full stop, each line is indented."""
    first, _, rest = text.strip().partition("\n")
    lines = [f" {line.rstrip()}" if line.strip() else " ." for line in rest.split("\n")]
    return "\n".join([first.strip(), *lines]) if rest.strip() else first.strip()
