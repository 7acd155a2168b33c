# SPDX-License-Identifier: GPL-2.0-or-later
"""One PCI device, in full, for people: what the table of all has no room for."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from builders.host.devices import Device, Machine
from builders.host.hardware import Bar, Hardware

_INDENT = 14  # columns of the names of lines


def text(device: Device, machine: Machine, width: int) -> str:
    """Several lines of at most `width` columns (60 at least)."""
    head = f"{device.bdf}  {machine.names.device(device.vendor, device.device)}"
    lines = textwrap.wrap(head, max(width, 60), subsequent_indent="  ")
    for name, value in _rows(device, machine):
        lines += textwrap.wrap(
            value,
            max(width, 60),
            initial_indent=f"  {name:{_INDENT - 2}}",
            subsequent_indent=" " * _INDENT,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _rows(device: Device, machine: Machine) -> Iterator[tuple[str, str]]:
    it = device.hardware
    yield "class", f"{machine.names.kind(device.code)} ({device.code:06x})"
    yield "id", f"{device.vendor:04x}:{device.device:04x}"
    yield "driver", device.driver or "none"
    others = next((one for one in machine.together if device.bdf in one), ())
    group = "not known" if device.group is None else str(device.group)
    yield "IOMMU group", group
    near = [bdf.short for bdf in others if bdf != device.bdf]
    if near:
        yield "goes with", " ".join(near)
    for bar in it.bars:
        yield f"BAR {bar.index}", _bar(bar)
    if it.rom:
        yield "ROM", amount(it.rom)
    yield "reset", _reset(device)
    yield "interrupts", _interrupts(it)
    if it.link:
        now, most = (it.link.speed, it.link.width), (it.link.most_speed, it.link.most_width)
        slower = "" if now == most else f"; it could have {_lanes(*most)}"
        yield "link", f"{_lanes(*now)}{slower}"
    if it.numa is not None:
        yield "NUMA node", str(it.numa)
    yield "hide", "hidden from dom0" if device.hidden else str(device.verdict)
    for reason in device.why:
        yield "", reason


def amount(size: int) -> str:
    """Bytes, a power of two, in the largest unit that fits: 256 MiB."""
    for shift, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >> shift:
            return f"{size >> shift} {unit}"
    return f"{size} bytes"


def _bar(bar: Bar) -> str:
    kind = "ports" if bar.ports else f"memory, {64 if bar.wide else 32} bits"
    words = [f"{amount(bar.size)} of {kind}"]
    words += ["prefetchable"] if bar.prefetchable else []
    words += [] if bar.address else ["the firmware gave it no address"]
    words += [f"can be {_list([amount(size) for size in bar.sizes])}"] if bar.sizes else []
    return ", ".join(words)


def _reset(device: Device) -> str:
    methods = device.hardware.reset_methods
    if methods is None:
        return "the kernel has a way" if device.reset else "not known"
    return " ".join(methods) if methods else "the kernel has no way"


def _interrupts(it: Hardware) -> str:
    known = [
        f"{name} {'not known (only root can read that)' if has is None else 'yes' if has else 'no'}"
        for name, has in (("MSI", it.msi), ("MSI-X", it.msix))
    ]
    known += [f"{it.vectors} in use"] if it.vectors else []
    known += ["kept off by the kernel"] if it.no_msi else []
    return ", ".join(known)


def _lanes(speed: float, width: int) -> str:
    return f"{f'{speed:g} GT/s' if speed else 'unknown speed'}, {f'x{width}' if width else 'x?'}"


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
