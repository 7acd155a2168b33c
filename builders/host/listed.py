# SPDX-License-Identifier: GPL-2.0-or-later
"""The devices of another host, as `devices --format json` wrote them there.

The document comes from outside: each value that is used has its form, or the file is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NoReturn

from builders import documents
from builders.errors import BuildError
from builders.host.devices import Device, Machine, Verdict
from builders.host.hardware import BARS, METHODS, Bar, Hardware, Link
from builders.host.pci import Bdf
from builders.host.problems import quoted
from builders.text import printable

KIND, SCHEMA = "devices", 1
MOST = 65_536  # devices: buses of one segment times what fits on one
WORDS = 200  # of a list of texts
TEXT = 4096  # characters


def read(path: Path) -> Machine:
    """The machine of a document in a file; BuildError says which value is wrong."""
    try:
        if not path.is_file() and path.exists():  # a FIFO or a device has no end
            raise OSError(None, "is no file")
        with path.open("rb") as stream:
            data = stream.read(documents.LARGEST + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no name of a file"
        raise BuildError(
            f"--devices {quoted(str(path))}: {why}",
            hint="on the host: ./inv devices --format json > FILE",
        ) from None
    return parse(data, quoted(str(path)))


def parse(data: bytes, name: str) -> Machine:
    """The machine of a document; `name` is for errors."""
    document = _Value(name, "", _json(data, name)).table()
    if document.key("kind").raw != KIND or document.key("schema").raw != SCHEMA:
        raise BuildError(
            f"{name}: no list of devices of schema {SCHEMA}",
            hint="on the host: ./inv devices --format json > FILE",
        )
    devices: dict[Bdf, Device] = {}
    for entry in document.key("devices").items(MOST):
        device = _device(entry.table())
        if device.bdf in devices:
            entry.wrong(f"{device.bdf} is there already")
        devices[device.bdf] = device
    together = []
    for one in document.key("together").items(MOST):
        members = tuple(_address(member) for member in one.items(MOST))
        if not members or len(set(members)) < len(members) or not devices.keys() >= set(members):
            one.wrong("not a set of its devices")
        together.append(members)
    return Machine(
        tuple(sorted(devices.values(), key=lambda device: device.bdf)),
        together=tuple(together),
        xen=document.key("xen").truth(),
        memory=document.key("memory_mib").number(0, 1 << 40),
    )


def _json(data: bytes, name: str) -> Any:
    try:
        return documents.parse(data)
    except ValueError as error:
        raise BuildError(
            f"{name}: no JSON: {printable(str(error))[:200]}",
            hint="on the host: ./inv devices --format json > FILE",
        ) from None


class _Value:
    """A value in the document, and the way to it."""

    def __init__(self, name: str, way: str, raw: Any) -> None:
        self.name, self.way, self.raw = name, way, raw

    def wrong(self, what: str) -> NoReturn:
        raise BuildError(
            f"{self.name}: {self.way or 'the document'}: {what}",
            hint="write it anew on the host: ./inv devices --format json > FILE",
        )

    def table(self) -> _Value:
        return self if isinstance(self.raw, dict) else self.wrong("no table")

    def key(self, key: str) -> _Value:
        way = f"{self.way}.{key}" if self.way else key
        if key not in self.raw:
            _Value(self.name, way, None).wrong("is missing; an older ./inv may have written it")
        return _Value(self.name, way, self.raw[key])

    def items(self, most: int) -> list[_Value]:
        if not isinstance(self.raw, list) or len(self.raw) > most:
            self.wrong(f"no list of at most {most}")
        return [_Value(self.name, f"{self.way}[{n}]", raw) for n, raw in enumerate(self.raw)]

    def text(self, form: str = r"[^\x00-\x1f\x7f]*") -> str:
        if not isinstance(self.raw, str) or len(self.raw) > TEXT or not self.raw.isprintable():
            self.wrong("no text, or one that is no line")
        if not re.fullmatch(form, self.raw):
            self.wrong(f"{quoted(self.raw)} has not the form that it has here")
        return str(self.raw)

    def texts(self, most: int = WORDS, form: str = r".*") -> tuple[str, ...]:
        return tuple(item.text(form) for item in self.items(most))

    def hexadecimal(self, digits: int) -> int:
        return int(self.text(rf"[0-9a-f]{{{digits}}}"), 16)

    def number(self, least: int, most: int) -> int:
        if type(self.raw) is not int or not least <= self.raw <= most:
            self.wrong(f"no number from {least} to {most}")
        return int(self.raw)

    def truth(self) -> bool:
        return self.raw if isinstance(self.raw, bool) else self.wrong("neither true nor false")

    @property
    def empty(self) -> bool:
        return self.raw is None


def _address(value: _Value) -> Bdf:
    bdf = Bdf.parse(value.text())
    if bdf is None or str(bdf) != value.raw:
        value.wrong(f"{quoted(str(value.raw))} is no PCI address")
    return bdf


def _device(entry: _Value) -> Device:
    group = entry.key("iommu_group")
    verdict = entry.key("verdict")
    if verdict.text() not in list(Verdict):
        verdict.wrong(f"no such verdict: {quoted(str(verdict.raw))}")
    return Device(
        _address(entry.key("address")),
        code=entry.key("class").hexadecimal(6),
        vendor=entry.key("vendor").hexadecimal(4),
        device=entry.key("device").hexadecimal(4),
        driver=entry.key("driver").text(r"[A-Za-z0-9._+-]{0,64}"),
        group=None if group.empty else group.number(0, 10**9),
        boot_vga=entry.key("boot_vga").truth(),
        reset=entry.key("reset").truth(),
        virtual=entry.key("virtual").truth(),
        blocks=entry.key("disks").texts(),
        networks=entry.key("networks").texts(),
        inputs=entry.key("inputs").texts(),
        mounts=entry.key("mounts").texts(),
        verdict=Verdict(verdict.raw),
        why=entry.key("why").texts(),
        hardware=_hardware(entry),
    )


def _hardware(entry: _Value) -> Hardware:
    bars = [_bar(bar.table()) for bar in entry.key("bars").items(BARS)]
    if len({bar.index for bar in bars}) < len(bars):
        entry.key("bars").wrong("one is there twice")
    methods, numa = entry.key("reset_methods"), entry.key("numa_node")
    interrupts = entry.key("interrupts").table()
    msi, msix = interrupts.key("msi"), interrupts.key("msix")
    return Hardware(
        bars=tuple(bars),
        rom=_size(entry.key("rom"), 0),
        reset_methods=None if methods.empty else methods.texts(METHODS, r"[a-z][a-z_]{0,31}"),
        numa=None if numa.empty else numa.number(0, 1 << 16),
        msi=None if msi.empty else msi.truth(),
        msix=None if msix.empty else msix.truth(),
        vectors=interrupts.key("in_use").number(0, 4096),
        no_msi=interrupts.key("kept_off").truth(),
        link=_link(entry.key("link")),
    )


def _bar(value: _Value) -> Bar:
    address = value.key("address").hexadecimal(16)
    size = _size(value.key("size"), 1 << 2)
    bits = value.key("bits").number(32, 64)
    if bits not in (32, 64) or address & (size - 1):
        value.wrong("no BAR of 32 or 64 bits at a multiple of its size")
    kind = value.key("kind").text("memory|ports")
    wide, ports = bits == 64, kind == "ports"
    if (wide and ports) or (size > 1 << 31 and not wide):
        value.wrong(f"a BAR of {bits} bits cannot be that")
    sizes = [_size(item, 1 << 20) for item in value.key("resizable_to").items(44)]
    return Bar(
        index=value.key("index").number(0, BARS - 1),
        size=size,
        address=address,
        ports=ports,
        wide=wide,
        prefetchable=value.key("prefetchable").truth(),
        sizes=tuple(sizes),
    )


def _size(value: _Value, least: int) -> int:
    size = value.number(least, 1 << 63)
    if size & (size - 1):
        value.wrong(f"{size} is no power of two")
    return size


def _link(value: _Value) -> Link | None:
    if value.empty:
        return None
    table = value.table()

    def speed(key: str) -> float:
        raw = table.key(key).raw
        sound = type(raw) in (int, float) and 0 <= raw <= 999
        return float(raw) if sound else table.key(key).wrong("no speed in GT/s")

    def width(key: str) -> int:
        return table.key(key).number(0, 32)

    return Link(speed("speed"), width("width"), speed("max_speed"), width("max_width"))
