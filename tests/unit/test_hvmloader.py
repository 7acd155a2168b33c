# SPDX-License-Identifier: GPL-2.0-or-later
"""Where hvmloader puts the BARs of a guest's devices, held against its algorithm told once more.

`told` follows the steps of pci_setup() one by one, on 32-bit words and pages as it does; the code
under test adds up sizes and works on bytes. Both were compared with the function itself, compiled
from Xen 4.17.5 and 4.22.0, on random devices.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from builders.host import hvmloader
from builders.host.hvmloader import Ask

MIB, GIB = 1 << 20, 1 << 30
NARROW = st.integers(8, 31).map(lambda n: Ask(1 << n))
WIDE = st.integers(12, 38).map(lambda n: Ask(1 << n, wide=True))
ASKS = st.lists(NARROW | WIDE, max_size=14).map(
    lambda found: [Ask(ask.size, ask.wide, str(n)) for n, ask in enumerate(found)]
)
MEMORY = st.sampled_from([64, 1024, 2048, 3000, 3584, 3600, 3848, 4096, 8192, 65536])


def told(
    asks: list[Ask], memory: int, hole: int | None, moves: bool
) -> tuple[int, dict[str, int | None]]:
    """The start of the hole, and the address of each; None for one without a place."""
    low = min(memory - 8, 4096 - (hole or 256)) << 8  # pages
    high = (memory - 8 << 8) - low
    high_end = (1 << 20) + high if high else 0
    bars: list[Ask] = []
    for ask in asks:
        place = next((n for n, bar in enumerate(bars) if bar.size < ask.size), len(bars))
        bars.insert(place, ask)
    relocate = any(ask.wide and ask.size > GIB for ask in bars)
    total = sum(ask.size for ask in bars if not (ask.wide and ask.size > GIB))
    start = 0xF0000000
    if hole:
        start = (1 << 32) - (hole << 20)
    else:
        while total > 0xFC000000 - start and (start << 1) & 0xFFFFFFFF:
            if not moves and ((start << 1) & 0xFFFFFFFF) >> 12 < low:
                break
            start = (start << 1) & 0xFFFFFFFF
    relocate = relocate or total > 0xFC000000 - start
    while start >> 12 < low:
        pages = min(low - (start >> 12), 0xFFFF)
        high_end = (high_end or 1 << 20) + pages
        low -= pages
    places: dict[str, int | None] = {}
    at, above = start, max(high_end << 12, 1 << 32)
    for bar in bars:
        using_64 = bar.wide and relocate and (total > 0xFC000000 - at or bar.size > GIB)
        if bar.size <= GIB:
            total -= bar.size
        base = -(-(above if using_64 else at) // bar.size) * bar.size
        if not using_64 and base + bar.size > 0xFC000000:
            places[bar.whose] = None
        elif using_64:
            places[bar.whose], above = base, base + bar.size
        else:
            places[bar.whose], at = base, base + bar.size
    return start, places


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(ASKS, MEMORY, st.none() | st.integers(256, 3840), st.booleans())
def test_it_is_what_hvmloader_does(
    asks: list[Ask], memory: int, hole: int | None, moves: bool
) -> None:
    found = hvmloader.layout(asks, memory, hole, moves=moves)
    places: dict[str, int | None] = {ask.whose: at for ask, at in (*found.low, *found.high)}
    places |= {ask.whose: None for ask in found.left}
    assert (found.start, places) == told(asks, memory, hole, moves)


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(ASKS, MEMORY, st.booleans())
def test_a_hole_has_room_for_all_that_has_to_be_in_it(
    asks: list[Ask], memory: int, all_low: bool
) -> None:
    hole = hvmloader.hole(asks, all_low=all_low)
    needed = [a for a in asks if not a.wide or (all_low and a.size <= GIB)]
    if hole is None:
        for size in (3840, 3584, 3072, 2048):  # where BARs of each size can begin
            _, places = told(asks, memory, size, moves=False)
            assert any((places[ask.whose] or GIB << 2) >= GIB << 2 for ask in needed)
        return
    assert 256 <= hole <= 3840
    assert sum(ask.size for ask in needed) <= (hole - 64) * MIB
    start, places = told(asks, memory, hole, moves=False)
    assert None not in places.values()
    spans = sorted((places[a.whose] or 0, a.size) for a in asks)
    for ask in needed:
        at = places[ask.whose]
        assert at is not None
        assert start <= at <= at + ask.size <= 0xFC000000
        assert at % ask.size == 0
    assert all(one + size <= after for (one, size), (after, _) in itertools.pairwise(spans))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(20, 30).map(lambda n: Ask(1 << n)), min_size=1, max_size=6))
def test_no_smaller_hole_would_do(asks: list[Ask]) -> None:
    named = [Ask(ask.size, whose=str(n)) for n, ask in enumerate(asks)]
    hole = hvmloader.hole(named)
    assume(hole is not None and hole > 256)
    assert hole is not None
    for smaller in {hole - 1, hole - 16, hole - 64, hole // 2}:
        if smaller >= 256:
            assert None in told(named, 64, smaller, moves=False)[1].values()


def test_what_hvmloader_said_in_a_guest() -> None:
    """Xen 4.17.5 in QEMU, a guest of 128 MiB without a screen and with three cards handed over:
    e1000, virtio-net and a VGA card. Each is `bar` of hvmloader's line, its size and its address.
    """
    said = {
        "02:0 bar 14": (0x1000000, 0xF0000000),  # Xen's platform device
        "05:0 bar 10": (0x1000000, 0xF1000000),
        "03:0 bar 10": (0x20000, 0xF2000000),
        "04:0 bar 20": (0x4000, 0xF2020000),
        "04:0 bar 14": (0x1000, 0xF2024000),
        "05:0 bar 18": (0x1000, 0xF2025000),
    }
    asks = [Ask(size, bar == "04:0 bar 20", bar) for bar, (size, _) in said.items()]
    found = hvmloader.layout(asks, 128)
    assert {ask.whose: at for ask, at in found.low} == {bar: at for bar, (_, at) in said.items()}
    assert (found.start, found.high, found.left) == (0xF0000000, (), ())


@pytest.mark.parametrize(
    ("sizes", "hole"),
    [
        ([16], 256),
        ([128, 32, 16], 256),
        ([128, 64], 256),  # 192 MiB: just so
        ([128, 64, 1], 384),
        ([256], 512),
        ([512, 16], 1024),
        ([1024, 512, 256, 128], 2048),
        ([1024, 1024, 1024], None),  # the third would begin where hvmloader's own part does
        ([1024, 1024], 3072),
        ([2048], None),
    ],
)
def test_holes(sizes: list[int], hole: int | None) -> None:
    assert hvmloader.hole([Ask(size * MIB) for size in sizes]) == hole


def test_memory_below_and_above_4_gib() -> None:
    assert hvmloader.low_memory(2048) == (2048, 0)
    assert hvmloader.low_memory(8192) == (3840, 4352)
    assert hvmloader.low_memory(8192, 1024) == (3072, 5120)


@pytest.mark.parametrize(("above", "end"), [(0, 64), (28 << 10, 64), (29 << 10, 128)])
def test_what_ovmf_maps(above: int, end: int) -> None:
    """32 GiB of devices behind the memory, rounded: 4 + 28 GiB end at 32, 4 + 29 at 64."""
    assert hvmloader.mapped_by_ovmf(above) == end * GIB
