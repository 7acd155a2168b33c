# SPDX-License-Identifier: GPL-2.0-or-later
"""The control file of a package (deb-control(5)): read, ordered and written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from builders.debkit.deb.error import DebError
from builders.debkit.deb.relations import RELATIONS
from builders.errors import BuildError
from builders.text import printable

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
_SPACE = b" \t\n\v\f\r"  # as dpkg's c_isspace
_END = b"\x1a"  # of a file of MS-DOS; to dpkg it ends a line


class Control(Mapping[str, str]):
    """The fields of a control file in their order; names are found in any case.

    A value has no space at its ends, but for the line break of one that begins in the next line;
    further lines of it keep theirs. python-debian's Deb822 says the same, but takes longer to
    load than a package to read.

    blemishes: what is odd about the file, and dpkg shrugs off.
    """

    def __init__(
        self, fields: Iterable[tuple[str, str]] = (), blemishes: Iterable[str] = ()
    ) -> None:
        self._fields = {name.lower(): (name, value) for name, value in fields}
        self.blemishes = tuple(blemishes)

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)


def parse_control(data: bytes) -> Control:
    """The one paragraph of a control file (deb-control(5)).

    Raises DebError where dpkg does not take it for one; what dpkg shrugs off is told by the
    blemishes of the result.
    """
    blemishes: list[str] = []
    if data.lstrip(b"\n")[:1] == _END:  # apt takes it for text
        raise DebError("format", "the control file begins with a Ctrl-Z")
    try:
        data.decode()
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = "latin-1"
        blemishes.append("the control file is not in UTF-8 (Policy 5.1)")
    fields: dict[str, tuple[str, str]] = {}
    for raw_name, raw_value, spaced in _fields(data):
        name, value = raw_name.decode(encoding), _value(raw_value).decode(encoding)
        if name.lower() in fields:
            raise DebError("format", f"the control file has {printable(name)} twice")
        if len(raw_name.partition(b"\0")[0]) < _SHORTEST:
            raise DebError("format", f"the control file has a field {printable(name)!r}")
        if b"\0" in raw_value and name.lower() == "package":  # apt dies of it
            raise DebError("format", "the control file has a NUL in Package")
        # To dpkg, which is written in C, a NUL is the end of a value.
        fields[name.lower()] = name, value.partition("\0")[0].rstrip(" \t\n\v\f\r")
        if spaced:
            blemishes.append(f"the control file has a space before the colon of {name}")
        if not _FIELD.fullmatch(name) or name[0] == "#":
            blemishes.append(f"the control file has a field {name[:60]!r}")
        if fault := _line_fault(value):
            blemishes.append(f"{name} of the control file {fault}")
    return Control(fields.values(), blemishes)


_SHORTEST = 2  # bytes of the name of a field


def _fields(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Name and value of each field, and whether there is space before its colon.

    The very rules of dpkg: what it refuses is a DebError, and it is dpkg that loses the last byte
    of a file after a line break.
    """
    at, line = len(data) - len(data.lstrip(b"\n" + _END)), 1 + data[: _leading(data)].count(b"\n")
    if len(data) - at < 2:
        raise DebError("format", "the control file is empty")

    def fault(why: str) -> DebError:
        return DebError("format", f"line {line} of the control file {why}")

    while True:
        end = _next(data, at, _NAME_ENDS)
        name = data[at:end]
        shown: str = printable(name[:60].decode("latin-1"))
        if end >= len(data) - 1:
            raise fault(
                f"is no field: {shown!r}" if end == len(data) else f"has no value: {shown!r}"
            )
        if not name or name.startswith(b"-"):
            raise fault(f"is no field: {shown!r}")
        colon = end
        while data[colon : colon + 1] in _BLANKS and colon < len(data):
            colon += 1
        if data[colon : colon + 1] != b":":
            rest = printable(data[at : at + 60].partition(b"\n")[0].decode("latin-1"))
            raise fault(f"is no field: {rest!r}")
        start = colon + 1
        while data[start : start + 1] in _BLANKS and start < len(data):
            start += 1
        if start >= len(data) - 1:
            raise fault(f"has no newline at its end, or no value: {shown!r}")
        if data[start : start + 1] == _END:
            raise fault("has a Ctrl-Z")
        value, at, more = _scan(data, start, fault)
        yield name, value, colon > end
        line += data[start:at].count(b"\n")
        if not more:
            break
    if data[at:].strip(b"\n"):
        raise DebError("format", "the control file has a second paragraph")


_BLANKS = frozenset(bytes([byte]) for byte in b" \t\v\f\r")


def _leading(data: bytes) -> int:
    return len(data) - len(data.lstrip(b"\n" + _END))


_NAME_ENDS = re.compile(rb"[ \t\n\v\f\r:\x1a]")
_LINE_ENDS = re.compile(rb"[\n\x1a]")


def _next(data: bytes, at: int, ends: re.Pattern[bytes]) -> int:
    """Where the next of these bytes is; the length of the data where there is none."""
    match = ends.search(data, at)
    return match.start() if match else len(data)


def _scan(data: bytes, at: int, fault: Callable[[str], DebError]) -> tuple[bytes, int, bool]:
    """The value that begins at `at`, where what comes after it begins, and if that is a field."""
    start = at
    while True:
        end = _next(data, at, _LINE_ENDS)
        if end == len(data):
            raise fault("or a later one has no newline at its end")
        if at > start and not data[at:end].strip(_SPACE):
            raise fault("has a blank line in its value")
        after = end + 1
        following = data[after : after + 1]
        if after >= len(data) - 1:  # dpkg loses the last byte, whatever it is; apt does not
            if following.strip(b" \t\n"):
                raise fault("or a later one has no newline at its end")
            return data[start:end], len(data), False
        if following == b"\n":
            return data[start:end], after + 1, False
        if following not in _BLANKS:
            return data[start:end], after, following != _END
        at = after


def _value(raw: bytes) -> bytes:
    """Without space at its end, as dpkg keeps it, and without that of its first line."""
    first, newline, rest = raw.rstrip(_SPACE).partition(b"\n")
    return first.rstrip(_SPACE) + newline + rest


def _line_fault(value: str) -> str:
    """Where other programs see more lines than dpkg does, or less of one."""
    if "\0" in value:
        return "has a NUL"
    lines = value.split("\n")
    if any(len(line.rstrip("\r").splitlines()) > 1 for line in lines):
        return "has a line break that is none to dpkg"
    return ""


def dump_control(control: Mapping[str, str]) -> bytes:
    """A control file of these fields in their order; BuildError where a value cannot be one."""
    text = "".join(
        f"{name}:{'' if value[:1] == chr(10) else ' '}{value}\n" for name, value in control.items()
    )
    data = text.encode("utf-8", "replace")
    try:
        parsed = parse_control(data)
        same = list(parsed.items()) == list(control.items())
        odd = any("line break" in text or "NUL" in text for text in parsed.blemishes)
    except DebError:
        same, odd = False, False
    if odd or any("\r" in value for value in control.values()):
        raise BuildError(
            "a field of the control file has a line break that is none to dpkg",
            hint="write \\n alone, and a space before what comes after it",
        )
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
