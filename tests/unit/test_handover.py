# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's devices held against the host that has them."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import ROOT
from builders.errors import BuildError, Exit
from builders.host import devices, domu, handover, hvmloader, listed, notes
from builders.host.devices import Device, Verdict
from builders.host.domu import Asked
from builders.host.handover import Advice
from builders.host.hardware import Bar, Hardware
from builders.host.pci import Bdf
from builders.pipeline import recipe
from builders.progress import Silent
from builders.verbs import builds, domu_config
from tests.unit.machines import NINE, nine

BOOKWORM = recipe.load("xen-4.17-bookworm")
OLD = recipe.load("xen-4.2-wheezy")
MIB, GIB = 1 << 20, 1 << 30
BASE = Asked(name="guest", memory="8G", disks=["/dev/vg/guest"], pci=["01:00.0"])


def device(text: str = "01:00.0", *bars: Bar, code: int = 0x020000, **more: Any) -> Device:
    bdf = Bdf.parse(text)
    assert bdf
    it = more.pop("hardware", Hardware(bars=bars, reset_methods=("flr",)))
    vendor = more.pop("vendor", 0x8086)
    return Device(bdf, code, vendor, 0x1234, hardware=it, reset=bool(it.reset_methods), **more)


def bar(size: int, index: int = 0, *, wide: bool = False, address: int = 0) -> Bar:
    return Bar(index, size, address or max(size, 1 << 30), wide=wide)


def advice(*found: Device, loaded: recipe.Recipe = BOOKWORM, **more: Any) -> Advice:
    """What is said of a guest with 01:00.0 on a machine of these devices."""
    guest = domu.guest(loaded, dataclasses.replace(BASE, **more))
    return handover.advise(guest, devices.judge(devices.Machine(found)), "a test")


def warned(word: str, *found: Device, **more: Any) -> list[str]:
    return [text for text in advice(*found, **more).warnings if word in text]


def test_a_small_device_needs_nothing() -> None:
    it = advice(device("01:00.0", bar(128 << 10)))
    assert (it.hole, it.below, it.notes[1:]) == (None, 3840, ())
    assert "the usual hole is enough" in it.notes[0]
    (only,) = it.warnings
    assert "cannot be saved or migrated" in only


def test_a_large_bar_of_32_bits_gets_a_hole() -> None:
    """256 MiB do not fit into the 192 that a guest with all its memory below has for devices."""
    it = advice(device("01:00.0", bar(256 * MIB)))
    assert (it.hole, it.below) == (512, 3584)
    guest = domu.guest(BOOKWORM, BASE)
    assert "mmio_hole=512\n" in domu.text(guest, it.hole)
    assert advice(device("01:00.0", bar(256 * MIB)), memory="2G").hole is None  # it grows by itself
    assert advice(device("01:00.0", bar(256 * MIB, wide=True))).hole is None
    assert advice(device("01:00.0", bar(256 * MIB, wide=True)), hole="all").hole == 512
    assert advice(device("01:00.0", bar(8 * GIB, wide=True)), hole="all").hole is None
    assert advice(device("01:00.0", bar(256 * MIB)), type="pv").below is None


def test_older_xen_makes_the_hole_itself() -> None:
    large = device("01:00.0", bar(512 * MIB), bar(512 * MIB, 1, wide=True))
    assert advice(large, loaded=OLD).hole is None
    assert not warned("no place", large, loaded=OLD)
    assert advice(large, loaded=OLD).below == 2048  # the rest of its memory is moved above
    larger = device("01:00.0", bar(GIB), bar(GIB, 1, wide=True))
    (text,) = warned("no place", larger, loaded=OLD)
    assert "this Xen has no mmio_hole" in text


def test_what_has_no_place_is_said() -> None:
    large = device("01:00.0", bar(256 * MIB))
    assert "leave --mmio-hole no out" in warned("no place", large, hole="no")[0]
    assert "--mmio-hole 300 has no place" in warned("no place", large, hole="300")[0]
    assert not warned("no place", large, hole="512")
    too_much = device("01:00.0", *(bar(GIB, n) for n in range(3)))
    assert "hand fewer over" in warned("no place", too_much)[0]


def test_bars_beyond_what_the_firmware_maps() -> None:
    big = device("01:00.0", bar(16 * GIB, 1, wide=True))
    assert "SeaBIOS" in warned("BAR 1 of 01:00.0 (16 GiB)", big)[0]
    assert not warned("BAR 1", big, firmware="ovmf")  # ends at 32 GiB, within OVMF's 64
    huge = device("01:00.0", bar(64 * GIB, 1, wide=True))
    assert "the 64 GiB that OVMF maps" in warned("BAR 1", huge, firmware="ovmf")[0]
    assert not warned("BAR 1", huge, firmware="ovmf", memory="130G")  # more memory: more


def test_what_stays_behind() -> None:
    card, sound = device("01:00.0", group=1), device("01:00.1", group=1)
    other = device("02:00.0", group=1)
    texts = warned("stays behind", card, sound, other)
    assert [text.split(": ", 1)[1] for text in texts] == [
        "of the same slot, 01:00.1 stays behind; hand it over too",
        "of the same IOMMU group, 02:00.0 stays behind; hand it over too",
    ]
    assert not warned("stays behind", card, sound, other, pci=["01:00.0", "01:00.1", "02:00.0"])
    virtual = device("01:00.1", virtual=True, group=2)
    assert not warned("stays behind", card, virtual)


def test_a_reset_that_takes_neighbours_along() -> None:
    by_bus = device(hardware=Hardware(reset_methods=("bus",)))
    near, far = device("01:01.0"), device("02:00.0")
    assert "with it 01:01.0" in warned("resets its bus", by_bus, near, far)[0]
    assert not warned("resets its bus", by_bus, near, pci=["01:00.0", "01:01.0"])
    assert not warned("resets its bus", device(), near)  # flr comes first
    assert warned("no way to reset it", device(hardware=Hardware(reset_methods=())))
    assert not warned("no way to reset it", by_bus)


def test_what_else_is_wrong_with_a_device() -> None:
    lost = device("01:00.0", dataclasses.replace(bar(16 * MIB), address=0))
    assert "Above 4G Decoding" in warned("BAR 0 (16 MiB)", lost)[0]
    one = device("01:00.0", bar(256, address=0xF000_0000))
    other = device("02:00.0", bar(1024, address=0xF000_0400))
    assert "shares a page of memory with 02:00.0" in warned("shares", one, other)[0]
    assert not warned("shares", one, device("02:00.0", bar(4096, address=0xF000_1000)))
    assert warned("part of the machine", device(code=0x060400))
    assert "not among the devices of a test" in warned("--devices FILE", device("02:00.0"))[0]


# --- notes


def said(*found: Device, **more: Any) -> set[str]:
    kinds = {"kind": "hvm", "windows": False, "primary": False, **more}
    return {note.name for note, _ in notes.notes(found, kinds.pop("kind"), **kinds)}


def test_notes_by_vendor() -> None:
    nvidia = device(code=0x030000, vendor=0x10DE)
    assert said(nvidia) == {"nvidia-msitranslate"}
    assert said(nvidia, windows=True) == {"nvidia-msitranslate", "nvidia-old-drivers"}
    assert said(device(code=0x040300, vendor=0x10DE)) == {"card-functions"}
    assert said(device(code=0x030000, vendor=0x1002), kind="pv") == {"amd-reset"}
    intel = device(code=0x030000)
    assert said(intel) == {"intel-graphics-secondary", "intel-graphics-reserved"}
    assert said(intel, primary=True) == {"intel-graphics-reserved"}
    assert said(device(code=0x0C0320)) == {"usb-reserved", "usb-companions"}
    assert said(device(code=0x0C0330), kind="pv") == set()
    assert said(device(code=0x010802)) == {"nvme-reset", "nvme-disk"}
    assert said(device(code=0x020000)) == set()


def test_each_note_has_a_source_and_a_use() -> None:
    every = notes.read(notes.FILE)
    assert len({note.name for note in every}) == len(every)
    assert all(note.sources and note.classes for note in every)
    it = advice(device(code=0x030000, vendor=0x10DE))
    assert any("(xl-pci-configuration(5), msitranslate)" in text for text in it.notes)


@pytest.mark.parametrize(
    "text",
    [
        'name = "a"\nsays = "b"\nclasses = ["03"]',
        'name = "a"\nsays = "b"\nsources = ["xl(1)"]',
        'name = "a"\nclasses = ["03"]\nsources = ["xl(1)"]',
        'name = "A b"\nsays = "b"\nclasses = ["03"]\nsources = ["xl(1)"]',
        'name = "a"\nsays = "b"\nclasses = ["3"]\nsources = ["xl(1)"]',
        'name = "a"\nsays = "b"\nclasses = ["03"]\nsources = []',
        'name = "a"\nsays = "b"\nclasses = ["03"]\nsources = ["xl(1)"]\nvendor = "10de"',
        'name = "a"\nsays = "b"\nclasses = ["03"]\nsources = ["xl(1)"]\nguests = ["pvh"]',
    ],
)
def test_a_note_that_lacks_something_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "notes.toml").write_text(f"[[note]]\n{text}\n")
    with pytest.raises(BuildError):
        notes.read(tmp_path / "notes.toml")


# --- nine functions


def test_the_example_of_the_guide(tmp_path: Path) -> None:
    """docs/guest.md shows a guest with nine functions and its file, and that is what is made."""
    page = (ROOT / "docs/guest.md").read_text()
    command = page[page.index("    ./inv domu-config windows-9 ") :].split("\n\n", 1)[0]
    words = command.split()
    given = [after for word, after in itertools.pairwise(words) if word == "--pci"]
    assert given == list(NINE)
    options = domu_config.Options(
        name="windows-9",
        recipe="xen-4.17-bookworm",
        memory="6G",
        vcpus="4",
        disk=("/dev/vg/windows-9",),
        pci=NINE,
        windows=True,
        bridge=("xenbr0",),
        mmio_hole="all",
        devices=str(ROOT / "docs/examples/devices.json"),
    )
    shown = domu_config.write(builds.begin("xen-4.17-bookworm", [], Silent()), options)
    file = "".join(f"    {line}\n" if line else "\n" for line in shown.said("table").splitlines())
    assert file in page
    document = json.loads(shown.said("json"))
    assert (document["mmio_hole_mib"], document["memory_below_4g_mib"]) == (512, 3584)
    warnings = document["warnings"]
    assert not [text for text in warnings if "stays behind" in text or "no place" in text]
    (reset,) = [text for text in warnings if "no way to reset them" in text]
    assert [bdf for bdf in NINE if bdf not in reset] == ["05:00.0"]
    there = listed.read(ROOT / "docs/examples/devices.json")
    here = devices.look(nine(tmp_path).sysfs, ())
    assert [d.hardware for d in there.devices] == [d.hardware for d in here.devices]


def test_one_host_is_named(tmp_path: Path) -> None:
    options = domu_config.Options(name="a", devices="x", sysfs="y")
    with pytest.raises(BuildError, match="--devices and --sysfs") as caught:
        domu_config.host(options)
    assert caught.value.exit == Exit.USAGE
    with pytest.raises(BuildError, match="no sysfs there"):
        domu_config.host(domu_config.Options(name="a", sysfs=str(tmp_path)))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(12, 30), st.booleans()), min_size=1, max_size=6),
    st.sampled_from(["64M", "2G", "3500M", "4G", "64G"]),
    st.sampled_from(["", "all", "no", "256", "3072"]),
    st.sampled_from(["", "seabios", "ovmf"]),
    st.sampled_from(list(Verdict)),
)
def test_what_it_says_of_the_hole_holds(
    sizes: list[tuple[int, bool]], memory: str, hole: str, firmware: str, verdict: Verdict
) -> None:
    bars = [bar(1 << n, index, wide=wide) for index, (n, wide) in enumerate(sizes)]
    card = dataclasses.replace(device("01:00.0", *bars), verdict=verdict)
    guest = domu.guest(
        BOOKWORM, dataclasses.replace(BASE, memory=memory, hole=hole, firmware=firmware)
    )
    it = handover.advise(guest, devices.Machine((card,)), "a test")
    layout = hvmloader.layout(handover.asks(guest, [card]), guest.memory, it.hole)
    assert bool(layout.left) == any("no place" in text for text in it.warnings)
    assert it.hole is None or 256 <= it.hole <= 3840
    if hole in ("", "all") and layout.left:
        assert hvmloader.hole(handover.asks(guest, [card])) is None
    assert (it.below, f"mmio_hole={it.hole}\n" in domu.text(guest, it.hole)) == (
        min(guest.memory, 4096 - (it.hole or 256)),
        it.hole is not None,
    )
