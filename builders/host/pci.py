# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses of PCI functions, and the names of what sits there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from builders.host import sysfs as fs
from builders.host.problems import Problems, quoted

# Where distributions keep the list of https://pci-ids.ucw.cz, by the package pci.ids (hwdata).
IDS = tuple(
    Path(name)
    for name in (
        "/usr/share/misc/pci.ids",
        "/usr/share/hwdata/pci.ids",
        "/var/lib/pciutils/pci.ids",
    )
)

# ASCII digits only: int() would also take other scripts' digits.
_BDF = re.compile(
    r"(?:(?P<domain>[0-9a-fA-F]{4,8}):)?"
    r"(?P<bus>[0-9a-fA-F]{2}):(?P<slot>[0-9a-fA-F]{2})\.(?P<function>[0-7])"
)
FORM = "an address is written like 02:00.0 or 0000:02:00.0, as lspci -D shows it"
_NO_FUNCTION = re.compile(r"([0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[01][0-9a-fA-F]")
LAST_SEGMENT = 0xFFFF  # Xen's segments have 16 bits
# Characters of xen-pciback.hide. The kernel refuses a parameter of more than 1,024 (charp,
# kernel/params.c) and then hides nothing; Xen cuts dom0's whole command line at 1,023
# (MAX_GUEST_CMDLINE), which has the name of this option and root= in it too.
HIDE_LIMIT = 900


@dataclass(frozen=True, order=True)
class Bdf:
    """One function: domain (segment), bus, slot (device) and function."""

    domain: int
    bus: int
    slot: int
    function: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The address in `text`, with or without its domain; None where it is none."""
        found = _BDF.fullmatch(text)
        if not found:
            return None
        bdf = cls(
            int(found["domain"] or "0", 16),
            int(found["bus"], 16),
            int(found["slot"], 16),
            int(found["function"]),
        )
        return bdf if bdf.slot < 32 else None

    def __str__(self) -> str:
        return f"{self.domain:04x}:{self.bus:02x}:{self.slot:02x}.{self.function}"

    @property
    def short(self) -> str:
        """As a person types it: without the domain where that is 0."""
        return str(self) if self.domain else str(self).split(":", 1)[1]


def read_all(texts: Sequence[str], option: str, problems: Problems) -> tuple[Bdf, ...]:
    """The addresses given to `option`, sorted; what is wrong with them goes to `problems`.

    Xen's segments have 16 bits, and an address that comes twice is a slip of the hand.
    """
    found: list[Bdf] = []
    for text in texts:
        bdf = Bdf.parse(text.strip())
        if bdf is None and _NO_FUNCTION.fullmatch(text.strip()):
            whole = f"{text.strip()}.0"
            problems.add(
                f"{option} {quoted(text)} lacks its function: {whole}",
                f"{whole} is the first one; ./inv devices shows which go together",
            )
        elif bdf is None:
            problems.add(f"{option} {quoted(text)}: no PCI address", FORM)
        elif bdf.domain > LAST_SEGMENT:
            problems.add(
                f"{option} {quoted(text)}: Xen has no PCI segment above {LAST_SEGMENT:x}",
                "such a device stays with dom0",
            )
        elif bdf in found:
            problems.add(f"{option} {quoted(text)}: {bdf} is there already", "give each once")
        else:
            found.append(bdf)
    return tuple(sorted(found))


def hide_option(addresses: Sequence[Bdf]) -> str:
    """The value of xen-pciback.hide, in the shorter form where the full one is over HIDE_LIMIT.

    xen-pciback takes (BUS:SLOT.FUNCTION) for segment 0 in all its versions; wildcards came with
    Linux 3.7 only and would hide what nobody named.
    """
    full = "".join(f"({bdf})" for bdf in addresses)
    return full if len(full) <= HIDE_LIMIT else "".join(f"({bdf.short})" for bdf in addresses)


# Base classes of the PCI Code and ID Assignment Specification, for a box without pci.ids.
CLASSES = {
    0x00: "Unclassified device",
    0x01: "Mass storage controller",
    0x02: "Network controller",
    0x03: "Display controller",
    0x04: "Multimedia controller",
    0x05: "Memory controller",
    0x06: "Bridge",
    0x07: "Communication controller",
    0x08: "Generic system peripheral",
    0x09: "Input device controller",
    0x0A: "Docking station",
    0x0B: "Processor",
    0x0C: "Serial bus controller",
    0x0D: "Wireless controller",
    0x0E: "Intelligent controller",
    0x0F: "Satellite communications controller",
    0x10: "Encryption controller",
    0x11: "Signal processing controller",
    0x12: "Processing accelerators",
    0x13: "Non-Essential Instrumentation",
}


@dataclass(frozen=True)
class Names:
    """Names from pci.ids; empty where there is no such file.

    vendors: vendor -> name; devices: (vendor, device) -> name; classes: (base, sub) -> name.
    """

    vendors: dict[int, str]
    devices: dict[tuple[int, int], str]
    classes: dict[tuple[int, int], str]
    path: Path | None = None

    def device(self, vendor: int, device: int) -> str:
        """What lspci shows: vendor and device, by number where there is no name."""
        maker = self.vendors.get(vendor, f"[{vendor:04x}]")
        return f"{maker} {self.devices.get((vendor, device), f'[{device:04x}]')}"

    def brief(self, vendor: int, device: int) -> str:
        """The same with the vendor as people call it, for a narrow table: what stands in brackets,
        such as AMD/ATI, or the name without the form of the company."""
        maker = self.vendors.get(vendor, f"[{vendor:04x}]")
        in_brackets = re.fullmatch(r".*\S \[([^\[\]]+)\]", maker)
        called = in_brackets[1] if in_brackets else _COMPANY.sub("", maker) or maker
        return f"{called} {self.devices.get((vendor, device), f'[{device:04x}]')}"

    def kind(self, code: int) -> str:
        """The name of a class code of 24 bits; the programming interface is left out."""
        base, sub = code >> 16 & 0xFF, code >> 8 & 0xFF
        known = CLASSES.get(base, f"Class {base:02x}{sub:02x}")
        return self.classes.get((base, sub), known)


_COMPANY = re.compile(r",? (Inc|Incorporated|Corp|Corporation|Co|Ltd|LLC|GmbH|AG)\b.*")


def names(wanted: Iterable[tuple[int, int]], paths: Sequence[Path] = IDS) -> Names:
    """The names of these (vendor, device) and of all classes, by the first list that is there."""
    for path in paths:
        lines = fs.lines(path)
        if lines is not None:
            return _parse(lines, set(wanted), path)
    return Names({}, {}, {})


_LINE = re.compile(
    r"(?P<tab>\t?)(?P<class>C )?(?P<id>[0-9a-f]{2}|[0-9a-f]{4})  (?P<name>\S.{0,999})"
)


def _parse(lines: Iterable[str], wanted: set[tuple[int, int]], path: Path) -> Names:
    """pci.ids(5): a vendor or "C class" at the margin, a device or subclass after one tab."""
    vendors = {vendor for vendor, _ in wanted}
    result = Names({}, {}, {}, path)
    above: tuple[str, int] | None = None
    for line in lines:
        found = _LINE.fullmatch(line.rstrip())
        if not found:
            continue
        number, name = int(found["id"], 16), quoted(found["name"])
        if not found["tab"]:
            above = ("class" if found["class"] else "vendor", number)
            if above[0] == "vendor" and number in vendors:
                result.vendors[number] = name
        elif above and above[0] == "class":
            result.classes[above[1], number] = name
        elif above and (above[1], number) in wanted:
            result.devices[above[1], number] = name
    return result
