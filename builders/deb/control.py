# SPDX-License-Identifier: GPL-2.0-or-later
"""The control file of a package (deb-control(5)): read, ordered and written."""

from __future__ import annotations

import re
from collections.abc import Mapping

from debian.deb822 import Deb822

from builders.deb.error import DebError
from builders.errors import BuildError
from builders.progress import printable

# The order in which dpkg-gencontrol writes the fields of a binary package; what it does not
# name comes before Description.
_FIELD_ORDER = (
    "Package",
    "Package-Type",
    "Source",
    "Version",
    "Kernel-Version",
    "Built-Using",
    "Static-Built-Using",
    "Architecture",
    "Maintainer",
    "Original-Maintainer",
    "Installed-Size",
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Suggests",
    "Enhances",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Provides",
    "Section",
    "Priority",
    "Multi-Arch",
    "Essential",
    "Protected",
    "Homepage",
)

_FIELD = re.compile(r"[!-9;-~]+")  # deb-control(5): printable ASCII without a colon


def parse_control(data: bytes) -> Deb822:
    """The one paragraph of a control file (deb-control(5)); DebError where it is malformed."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise DebError("format", "the control file is not in UTF-8 (Policy 5.1)") from None
    lines = text.strip("\n").split("\n")
    names: set[str] = set()
    for number, line in enumerate(lines, 1):
        if line[:1] in (" ", "\t") and line.strip() and names:
            continue
        name, colon, _ = line.partition(":")
        if not colon or not _FIELD.fullmatch(name) or name[0] in "-#":
            shown = printable(line[:60])
            raise DebError("format", f"line {number} of the control file is no field: {shown!r}")
        if name.lower() in names:
            raise DebError("format", f"the control file has {name} twice")
        names.add(name.lower())
    try:
        return Deb822(lines)
    except ValueError as error:  # it takes more characters for line breaks than dpkg does
        raise DebError("format", f"a field of the control file is malformed: {error}") from None


def dump_control(control: Mapping[str, str]) -> bytes:
    """A control file of these fields in their order; BuildError where a value cannot be one."""
    text = "".join(
        f"{name}:{'' if value[:1] == chr(10) else ' '}{value}\n" for name, value in control.items()
    )
    data = text.encode("utf-8", "replace")
    try:
        same = list(parse_control(data).items()) == list(control.items())
    except DebError:
        same = False
    if not same:
        raise BuildError(
            "a field of the control file has an empty line, or one that is not indented",
            hint="begin each line of an extended description with a space",
        )
    return data


def ordered(control: Mapping[str, str]) -> dict[str, str]:
    """The fields in the order of dpkg-gencontrol, Description last."""
    place = {name.lower(): n for n, name in enumerate(_FIELD_ORDER)}
    place["description"] = len(place) + 1

    def rank(name: str) -> int:
        return place.get(name.lower(), len(_FIELD_ORDER))

    return {name: control[name] for name in sorted(control, key=rank)}
