# SPDX-License-Identifier: GPL-2.0-or-later
"""What a device asks of a machine, read from sysfs; and the list of devices, read again."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.errors import BuildError, Exit
from builders.host import detail, devices, domu, handover, hardware, listed
from builders.host.devices import Device
from builders.host.hardware import Bar, Hardware, Link
from builders.host.pci import Bdf
from builders.pipeline import recipe
from builders.show import hosts
from builders.verbs import devices as verb
from tests.unit.machines import Machine, resources, workstation

MIB = 1 << 20
XEN = recipe.load("xen-4.17-bookworm")
# As a graphics card of today has it: registers, two windows of 64 bits, ports, a ROM.
CARD = (
    Bar(0, 16 * MIB, 0xA2000000),
    Bar(1, 256 * MIB, 0x6000000000, wide=True, prefetchable=True),
    Bar(3, 32 * MIB, 0x6010000000, wide=True, prefetchable=True),
    Bar(5, 128, 0x3000, ports=True),
)


def card(folder: Path) -> tuple[Machine, Path]:
    m = Machine(folder)
    at = m.pci("0000:01:00.0", "0x030000", group=1, driver="nouveau")
    (at / "resource").write_text(resources(CARD, rom=512 << 10))
    (at / "resource1_resize").write_text("0000000000003fc0\n")
    (at / "reset_method").write_text("flr bus\n")
    (at / "numa_node").write_text("1\n")
    (at / "msi_bus").write_text("1\n")
    for name, text in (
        ("current_link_speed", "2.5 GT/s PCIe"),
        ("current_link_width", "16"),
        ("max_link_speed", "16.0 GT/s PCIe"),
        ("max_link_width", "16"),
    ):
        (at / name).write_text(f"{text}\n")
    return m, at


def read(m: Machine) -> Hardware:
    (device,) = devices.look(m.sysfs, ids=()).devices
    return device.hardware


def test_a_card_is_read_whole(tmp_path: Path) -> None:
    m, at = card(tmp_path)
    sizes = tuple(MIB << n for n in range(6, 14))
    bars = [Bar(**{**vars(bar), "sizes": sizes if bar.index == 1 else ()}) for bar in CARD]
    assert read(m) == Hardware(
        bars=tuple(bars),
        rom=512 << 10,
        reset_methods=("flr", "bus"),
        numa=1,
        link=Link(2.5, 16, 16, 16),
    )
    (at / "msi_irqs").mkdir()
    for irq in ("40", "41"):
        (at / "msi_irqs" / irq).write_text("msix\n")
    (at / "msi_bus").write_text("0\n")
    assert (read(m).msi, read(m).msix, read(m).vectors, read(m).no_msi) == (None, True, 2, True)


def test_the_ways_to_reset(tmp_path: Path) -> None:
    m, at = card(tmp_path)
    (at / "reset_method").write_text("\n")
    assert read(m).reset_methods == ()
    (at / "reset_method").unlink()
    assert read(m).reset_methods is None  # an older kernel: there is a way, it does not say which
    (at / "reset").unlink()
    assert read(m).reset_methods == ()


def config(capabilities: list[tuple[int, int, int]], *, listed: bool = True) -> bytes:
    """A configuration space; capabilities: where, which, and where the next one is."""
    space = bytearray(256)
    space[0x06] = 0x10 if listed else 0
    space[0x34] = capabilities[0][0] if capabilities else 0
    for at, kind, after in capabilities:
        space[at], space[at + 1] = kind, after
    return bytes(space)


@pytest.mark.parametrize(
    ("space", "known"),
    [
        (config([(0x40, 0x01, 0x50), (0x50, 0x05, 0x60), (0x60, 0x11, 0)]), (True, True)),
        (config([(0x40, 0x05, 0)]), (True, False)),
        (config([(0x40, 0x05, 0)])[:64], (None, None)),  # what a user may read
        (config([(0x40, 0x05, 0)], listed=False), (False, False)),
        (config([(0x40, 0x11, 0x40)]), (False, True)),  # in a circle
        (config([(0xFC, 0x11, 0)]), (False, True)),
        (b"", (None, None)),
        (b"\xff" * 256, (False, False)),  # a device that has gone
    ],
)
def test_capabilities(tmp_path: Path, space: bytes, known: tuple[bool | None, bool | None]) -> None:
    m, at = card(tmp_path)
    (at / "config").write_bytes(space)
    assert (read(m).msi, read(m).msix) == known


@pytest.mark.parametrize(
    "line",
    [
        "0x00000000a2000000 0x00000000a2ffffff",
        "0x00000000a2ffffff 0x00000000a2000000 0x0000000000040200",  # ends before it begins
        "0x00000000a2000000 0x00000000a2fffffe 0x0000000000040200",  # no power of two
        "0x00000000a2100000 0x00000000a30fffff 0x0000000000040200",  # not where it can be
        "0x0000000000000000 0xffffffffffffffff 0x0000000000140204",  # more than there is
        "0x0000000100000000 0x00000001ffffffff 0x0000000000040200",  # 4 GiB in 32 bits
        "0x00000000a2000000 0x00000000a2ffffff 0x0000000000000400",  # neither memory nor ports
        "0x00000000A2000000 0x00000000a2ffffff 0x0000000000040200",
        "\uff10x00000000a2000000 0x00000000a2ffffff 0x0000000000040200",
    ],
)
def test_what_is_no_resource_is_passed_over(tmp_path: Path, line: str) -> None:
    m, at = card(tmp_path)
    rest = resources(CARD[1:], rom=4096).split("\n", 1)[1]
    (at / "resource").write_text(f"{line}\n{rest}")
    assert [bar.index for bar in read(m).bars] == [1, 3, 5]
    assert read(m).rom == 4096


def test_nothing_outside_of_the_folder_is_read(tmp_path: Path) -> None:
    """A tree that was copied from somewhere may have links in it that lead anywhere."""
    m, at = card(tmp_path / "a")
    other, there = card(tmp_path / "b")
    (at / "resource").unlink()
    (at / "resource").symlink_to(there / "resource")
    (at / "numa_node").unlink()
    os.mkfifo(at / "numa_node")
    assert (read(m).bars, read(m).numa) == ((), None)
    (m.sysfs / "bus/pci/devices/0000:02:00.0").symlink_to(there)
    assert [d.bdf.short for d in devices.look(m.sysfs, ids=()).devices] == ["01:00.0"]
    assert len(read(other).bars) == 4


def line(words: tuple[int, ...]) -> str:
    return " ".join(f"{word:#018x}" for word in words) + "\n"


BARS = st.builds(
    lambda index, bits, place, wide, prefetchable: Bar(
        index, 1 << bits, place << bits & (1 << 64) - 1, wide=wide, prefetchable=prefetchable
    ),
    *(st.integers(0, 5), st.integers(4, 40), st.integers(0, 1 << 20)),
    *(st.booleans(), st.booleans()),
)
ATTRIBUTES = ("resource", "resource0_resize", "reset_method", "numa_node", "config", "msi_bus")


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from((*ATTRIBUTES, "current_link_speed", "max_link_width")),
        st.binary(max_size=300)
        | st.text("0x123456789abcdef \n", max_size=300).map(str.encode)
        | st.lists(st.tuples(*[st.integers(0, (1 << 64) - 1)] * 3).map(line), max_size=9).map(
            lambda lines: "".join(lines).encode()
        )
        | st.lists(BARS, max_size=6, unique_by=lambda bar: bar.index).map(
            lambda bars: resources(bars).encode()
        ),
    )
)
def test_whatever_is_read_has_its_bounds_and_goes_through_json(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        m = Machine(Path(folder))
        at = m.pci("0000:01:00.0", "0x030000")
        for name, content in files.items():
            (at / name).write_bytes(content)
        it = hardware.read(at)
        device = Device(Bdf(0, 1, 0, 0), 0x030000, 1, 1, hardware=it)
        machine = devices.Machine((device,), together=((device.bdf,),))
        for bar in it.bars:
            assert 4 <= bar.size <= 1 << 63
            assert not bar.size & (bar.size - 1)
            assert not bar.address % bar.size
            assert bar.wide or bar.size <= 1 << 31
        assert len(it.bars) <= 6
        again = listed.parse(hosts.devices(machine).said("json").encode(), "x")
        assert again.devices == machine.devices
        assert detail.text(device, machine, 80)


# --- the list of another host

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def document(folder: Path) -> dict[str, Any]:
    m = workstation(folder)
    at = m.sysfs / "bus/pci/devices/0000:01:00.0"
    (at / "resource").write_text(resources(CARD, rom=65536))
    (at / "max_link_width").write_text("16\n")
    told: dict[str, Any] = json.loads(hosts.devices(devices.look(m.sysfs, ids=())).said("json"))
    return told


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The document, as text: each test changes one of its own."""
    return json.dumps(document(tmp_path_factory.mktemp("host")))


def test_the_list_of_another_host_is_that_host(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(json.dumps(document(tmp_path)))
    here = devices.look(tmp_path / "sys", ids=())
    there = listed.read(tmp_path / "list")
    assert there.together == here.together
    assert [(d.bdf, d.verdict, d.hardware, d.group, d.mounts) for d in there.devices] == [
        (d.bdf, d.verdict, d.hardware, d.group, d.mounts) for d in here.devices
    ]


def at_path(told: Any, path: list[str | int]) -> Any:
    for step in path:
        told = told[step]
    return told


WRONG: list[tuple[list[str | int], Any, str]] = [
    (["kind"], "packages", "no list of devices"),
    (["schema"], 2, "no list of devices"),
    (["xen"], 1, "xen: neither true nor false"),
    (["memory_mib"], -1, "memory_mib: no number"),
    (["devices"], {}, "devices: no list"),
    (["devices", 0], "x", "devices[0]: no table"),
    (["devices", 0, "address"], "00:00.0", "no PCI address"),
    (["devices", 1, "address"], "0000:00:00.0", "is there already"),
    (["devices", 0, "class"], "0x0600", "has not the form"),
    (["devices", 0, "vendor"], 4318, "no text"),
    (["devices", 0, "driver"], "a b", "has not the form"),
    (["devices", 0, "driver"], "a\n", "no text"),
    (["devices", 0, "iommu_group"], 1.0, "no number"),
    (["devices", 0, "iommu_group"], True, "no number"),
    (["devices", 0, "verdict"], "good", "no such verdict"),
    (["devices", 0, "why"], ["x"] * 201, "no list of at most 200"),
    (["devices", 8, "bars", 0, "size"], 24, "no power of two"),
    (["devices", 8, "bars", 0, "size"], 1 << 64, "no number"),
    (["devices", 8, "bars", 0, "size"], 1 << 33, "at a multiple of its size"),
    (["devices", 8, "bars", 0, "bits"], 48, "no BAR of 32 or 64 bits"),
    (["devices", 8, "bars", 0, "address"], "00000000a2100000", "at a multiple of its size"),
    (["devices", 8, "bars", 0, "index"], 1, "one is there twice"),
    (["devices", 8, "bars", 0, "index"], 6, "no number from 0 to 5"),
    (["devices", 8, "rom"], 65537, "no power of two"),
    (["devices", 8, "reset_methods"], ["FLR"], "has not the form"),
    (["devices", 8, "link", "speed"], "8", "no speed"),
    (["devices", 8, "link", "width"], 33, "no number"),
    (["together", 0], [], "not a set of its devices"),
    (["together", 0], ["0000:ff:00.0"], "not a set of its devices"),
]


@pytest.mark.parametrize(("path", "value", "says"), WRONG)
def test_a_list_with_a_wrong_value(told: str, path: list[str | int], value: Any, says: str) -> None:
    wrong = json.loads(told)
    assert wrong["devices"][8]["address"] == "0000:01:00.0"
    at_path(wrong, path[:-1])[path[-1]] = value
    with pytest.raises(BuildError) as caught:
        listed.parse(json.dumps(wrong).encode(), "x")
    assert says in caught.value.message
    assert caught.value.exit == Exit.USAGE


def test_a_list_without_a_key(told: str) -> None:
    wrong = json.loads(told)
    del wrong["devices"][0]["bars"]
    with pytest.raises(BuildError, match=r"devices\[0\].bars: is missing; an older"):
        listed.parse(json.dumps(wrong).encode(), "x")


def test_what_is_no_list(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "deep").write_text("[" * 100_000)
    (tmp_path / "twice").write_text('{"kind": 1, "kind": 2}')
    (tmp_path / "large").write_bytes(b" " * (5 << 20))
    for name in ("none", "fifo", "deep", "twice", "large", ""):
        with pytest.raises(BuildError):
            listed.read(tmp_path / name)


@pytest.mark.slow
@given(JSON)
@settings(max_examples=60, deadline=None)
def test_no_list_is_taken_by_luck(value: Any) -> None:
    with pytest.raises(BuildError):
        listed.parse(json.dumps(value).encode(), "x")


@pytest.mark.slow
@given(st.data())
@settings(max_examples=100, deadline=None)
def test_one_value_changed_is_refused_or_makes_a_machine(told: str, data: st.DataObject) -> None:
    """No other exception, and what is taken can be shown and judged as any machine."""
    changed = json.loads(told)
    where: Any = changed
    while True:
        key = data.draw(
            st.sampled_from(list(where) if isinstance(where, dict) else range(len(where)))
        )
        if not isinstance(where[key], dict | list) or not where[key] or data.draw(st.booleans()):
            break
        where = where[key]
    where[key] = data.draw(JSON | st.sampled_from(["0000:01:00.0", 1 << 28, 64, "flr"]))
    try:
        machine = listed.parse(json.dumps(changed).encode(), "x")
    except BuildError:
        return
    assert all(detail.text(device, machine, 80) for device in machine.devices)
    bdf = data.draw(st.sampled_from(machine.devices)).bdf if machine.devices else Bdf(0, 1, 0, 0)
    guest = domu.guest(XEN, domu.Asked("g", "4G", disks=["/a"], pci=[str(bdf)]))
    assert handover.advise(guest, machine, "x").warnings


# --- shown


def test_one_in_full(tmp_path: Path) -> None:
    m, _ = card(tmp_path)
    shown = verb.run(verb.Options(sysfs=str(m.sysfs), device=("01:00.0",))).said("table")
    lines = {" ".join(line.split()) for line in shown.splitlines()}
    assert "BAR 0 16 MiB of memory, 32 bits" in lines
    assert "BAR 5 128 bytes of ports" in lines
    assert "reset flr bus" in lines
    assert "link 2.5 GT/s, x16; it could have 16 GT/s, x16" in lines
    assert any(line.startswith("interrupts MSI not known") for line in lines)
    with pytest.raises(BuildError, match="no such device here"):
        verb.run(verb.Options(sysfs=str(m.sysfs), device=("02:00.0",)))
    with pytest.raises(BuildError, match="no such file"):
        verb.run(verb.Options(sysfs=str(m.sysfs), names=str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("size", "words"),
    [(128, "128 bytes"), (4096, "4 KiB"), (1 << 28, "256 MiB"), (1 << 35, "32 GiB")],
)
def test_amounts(size: int, words: str) -> None:
    assert detail.amount(size) == words
