# SPDX-License-Identifier: GPL-2.0-or-later
"""Which device is meant by an address: addresses move when a card is added or firmware changes.

What is recorded when a host's settings are made, configs/dom0/dom0-check compares on the host, in
shell: both read the same of sysfs and write it the same way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.errors import BuildError
from builders.host import sysfs
from builders.host.pci import Bdf

_DEVICES = Path("bus", "pci", "devices")
_ROOT_BUS = re.compile(r"pci([0-9a-f]{4,8}:[0-9a-f]{2})")
_FUNCTION = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:([0-9a-f]{2}\.[0-7])")
# Extended capabilities (PCI Express Base Specification, 7.6.3): from byte 256 of the configuration
# space on, in words of four bytes; that of the Device Serial Number is 0003.
_EXTENDED, _CONFIGURATION, _SERIAL = 256, 4096, 3
_DOCUMENT = 16 << 20  # bytes that are read of a document
_HINT = "./inv devices --format json >FILE, on the host or of its copied sysfs"
NOTHING = "- - - - -"  # in the settings, of a device of which nothing was recorded


@dataclass(frozen=True)
class Identity:
    """What tells one device from another.

    kind: vendor:device, subsystem vendor:device and class, in hexadecimal. serial: of PCI Express,
    "" where there is none or it cannot be read. place: the root bus, then slot and function of
    each bridge down to the device; no bus numbers, which change where a bridge is added.
    """

    kind: str
    serial: str
    place: str

    def __str__(self) -> str:
        return f"{self.kind} {self.serial or '-'} {self.place}"


_WRITTEN = re.compile(
    r"(?P<kind>[0-9a-f]{4}:[0-9a-f]{4} [0-9a-f]{4}:[0-9a-f]{4} [0-9a-f]{6}) "
    r"(?P<serial>-|[0-9a-f]{16}) (?P<place>[0-9a-f]{4,8}:[0-9a-f]{2}(/[0-9a-f]{2}\.[0-7]){1,32})"
)


def parse(text: str) -> Identity | None:
    """What an Identity is as text; None where that is none."""
    found = _WRITTEN.fullmatch(text)
    if not found:
        return None
    return Identity(found["kind"], found["serial"].strip("-"), found["place"])


def look(root: Path, bdf: Bdf) -> Identity | None:
    """The device at an address, by sysfs or a copy of it; None where none is there."""
    folder = root / _DEVICES / str(bdf)
    if not sysfs.there(folder / "vendor"):
        return None

    def digits(name: str, bits: int) -> str:
        return f"{sysfs.number(folder / name, bits):0{bits // 4}x}"

    kind = (
        f"{digits('vendor', 16)}:{digits('device', 16)} "
        f"{digits('subsystem_vendor', 16)}:{digits('subsystem_device', 16)} {digits('class', 24)}"
    )
    place = _place(sysfs.real(folder))
    return Identity(kind, serial(_configuration(folder / "config")), place) if place else None


def recorded(root: Path, addresses: Sequence[Bdf]) -> Mapping[Bdf, Identity]:
    """Those of the devices that are there."""
    there = {bdf: look(root, bdf) for bdf in addresses}
    return {bdf: identity for bdf, identity in there.items() if identity}


def of_document(path: Path) -> Mapping[Bdf, Identity]:
    """What `devices --format json` said of a machine.

    BuildError (USAGE) where the file is no such document.
    """
    try:
        with path.open("rb") as file:
            told = json.loads(file.read(_DOCUMENT))
        if told["kind"] != "devices":
            raise ValueError("of another kind")
        found = {}
        for device in told["devices"]:
            bdf, it = Bdf.parse(str(device["address"])), parse(str(device["identity"]))
            if bdf and it:
                found[bdf] = it
    except OSError as error:
        raise BuildError(f"--devices {path}: {error.strerror}", hint=_HINT) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BuildError(f"--devices {path}: not what devices says", hint=_HINT) from None
    return found


def _place(path: Path) -> str:
    steps = []
    for part in path.parts:
        root, function = _ROOT_BUS.fullmatch(part), _FUNCTION.fullmatch(part)
        if root or function:
            steps.append((root or function)[1])  # type: ignore[index]
    return "/".join(steps)


def _configuration(path: Path) -> bytes:
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(_CONFIGURATION)
    except OSError:
        return b""


def serial(configuration: bytes) -> str:
    """The Device Serial Number of a configuration space; "" where there is none.

    Only root can read more than the first 64 bytes of one in sysfs.
    """

    def word(at: int) -> int:
        return int.from_bytes(configuration[at : at + 4], "little")

    at = _EXTENDED
    for _ in range((_CONFIGURATION - _EXTENDED) // 4):  # a list that leads in a circle ends
        if at < _EXTENDED or at % 4 or at + 4 > len(configuration):
            break
        head = word(at)
        if head in (0, 0xFFFFFFFF):
            break
        if head & 0xFFFF == _SERIAL and at + 12 <= len(configuration):
            return f"{word(at + 8):08x}{word(at + 4):08x}"
        at = head >> 20
    return ""
