# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of devices by their class and vendor: configs/domu/notes.toml."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from builders import ROOT
from builders.documents import toml
from builders.errors import BuildError
from builders.host.devices import Device
from builders.host.problems import quoted

FILE = ROOT / "configs" / "domu" / "notes.toml"
TYPES = ("hvm", "pv")


@dataclass(frozen=True)
class Note:
    """What to know of some devices, and where that stands.

    classes: beginnings of the class code in hexadecimal digits. vendors: empty for all.
    guests: types of guests. windows: for --windows only. primary: with --gfx-passthru only, or
    without it only; None for both.
    """

    name: str
    says: str
    sources: tuple[str, ...]
    classes: tuple[str, ...] = ()
    vendors: tuple[str, ...] = ()
    guests: tuple[str, ...] = TYPES
    windows: bool = False
    primary: bool | None = None

    def fits(self, device: Device) -> bool:
        """Whether it is about that device."""
        code = f"{device.code:06x}"
        return any(code.startswith(start) for start in self.classes) and (
            not self.vendors or f"{device.vendor:04x}" in self.vendors
        )


def notes(
    devices: Iterable[Device], kind: str, *, windows: bool, primary: bool
) -> list[tuple[Note, list[Device]]]:
    """Those that are about one of `devices` in a guest of that kind, with the devices."""
    handed = list(devices)
    found = []
    for note in read(FILE):
        fit = [device for device in handed if note.fits(device)]
        meant = kind in note.guests and note.primary in (None, primary)
        if fit and meant and (windows or not note.windows):
            found.append((note, fit))
    return found


@cache
def read(path: Path) -> tuple[Note, ...]:
    """The notes in a file; BuildError where one has no source or a key that none has."""
    tables = toml(path).get("note", [])
    if not isinstance(tables, list):
        raise BuildError(f"{path}: note is no list", hint="begin each note with [[note]]")
    return tuple(_note(path, table) for table in tables)


_FORMS = {
    "classes": re.compile(r"[0-9a-f]{2,6}"),
    "vendors": re.compile(r"[0-9a-f]{4}"),
    "guests": re.compile("|".join(TYPES)),
    "sources": re.compile(r"\S.{2,200}"),
}


def _note(path: Path, table: Any) -> Note:
    name = table.get("name") if isinstance(table, dict) else None
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]{1,40}", name):
        raise BuildError(f"{path}: a note has no name", hint='name = "nvidia-msi", for example')

    def wrong(what: str) -> BuildError:
        return BuildError(f"{path}: note {name}: {what}", hint="the head of that file has the keys")

    values: dict[str, Any] = {}
    for key, value in table.items():
        if key in _FORMS:
            sound = isinstance(value, list) and all(
                isinstance(item, str) and _FORMS[key].fullmatch(item) for item in value
            )
            if not sound or not value:
                raise wrong(f"{key} has a value that it cannot have")
            values[key] = tuple(value)
        elif key in ("windows", "primary") and isinstance(value, bool):
            values[key] = value
        elif key in ("name", "says") and isinstance(value, str) and value.strip():
            values[key] = value.strip()
        else:
            raise wrong(f"{quoted(key)} is no key of a note, or has no such value")
    for key in ("says", "sources", "classes"):
        if key not in values:
            raise wrong(f"no {key}")
    return Note(**values)
