# SPDX-License-Identifier: GPL-2.0-or-later
"""The control file of a package (deb-control(5)): read, ordered and written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from builders.deb.error import DebError
from builders.deb.relations import RELATIONS
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
    *RELATIONS,
    "Section",
    "Priority",
    "Multi-Arch",
    "Essential",
    "Protected",
    "Homepage",
)

_FIELD = re.compile(r"[!-9;-~]+")  # deb-control(5): printable ASCII without a colon


class Control(Mapping[str, str]):
    """The fields of a control file in their order; names are found in any case.

    A value has no space around it; further lines of it keep theirs. python-debian's Deb822 says
    the same, but takes longer to load than a package to read.
    """

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = {name.lower(): (name, value) for name, value in fields}

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)


def parse_control(data: bytes) -> Control:
    """The one paragraph of a control file (deb-control(5)); DebError where it is malformed."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise DebError("format", "the control file is not in UTF-8 (Policy 5.1)") from None
    fields: dict[str, list[str]] = {}  # of each the name and the lines of its value
    value: list[str] = []
    for number, line in enumerate(text.strip("\n").split("\n"), 1):
        if line[:1] in (" ", "\t") and line.strip() and value:
            value.append(line.rstrip("\r"))
            continue
        name, colon, first = line.partition(":")
        if not colon or not _FIELD.fullmatch(name) or name[0] in "-#":
            shown = printable(line[:60])
            raise DebError("format", f"line {number} of the control file is no field: {shown!r}")
        if name.lower() in fields:
            raise DebError("format", f"the control file has {name} twice")
        fields[name.lower()] = value = [name, first.strip()]
    return Control((name, _joined(name, lines)) for name, *lines in fields.values())


def _joined(name: str, lines: list[str]) -> str:
    """The value of these lines; DebError where other programs see more lines in it than dpkg."""
    value = "\n".join(lines)
    if lines[1:] and any(not line[:1].isspace() for line in value.splitlines()[1:]):
        raise DebError(
            "format",
            f"{name} of the control file is malformed: each line must start with whitespace",
        )
    return value


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
