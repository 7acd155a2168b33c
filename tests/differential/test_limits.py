# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile packages within 256 MiB and 20 s: some of each area, all by `tests.fuzz.limits`."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fuzz.catalogue import kinds
from tests.fuzz.child import Children
from tests.fuzz.limits import measured

_EVERY = 4  # one kind in so many
# What took minutes once: tables of a package that multiply.
_ONCE_SLOW = (
    "links-in-a-circle", "hard-links-in-a-chain", "folders-190k", "units-to-be-installed",
    "units-and-links", "unit-of-installs-and-breaks", "kernels-and-modules", "elf-and-relations",
    "elf-and-shlibs", "documents-and-hard-links", "deep-paths-2k", "changelog-of-trailers",
)  # fmt: skip


def _tried() -> list[str]:
    chosen = [names[0] for names in list(kinds().values())[::_EVERY]]
    return list(dict.fromkeys([*_ONCE_SLOW, *chosen]))


def test_no_hostile_package_goes_past_the_limits(tmp_path_factory: pytest.TempPathFactory) -> None:
    def tried(names: list[str]) -> list[str]:
        faults = []
        with Children() as children:
            for name in names:
                place: Path = tmp_path_factory.mktemp("limits")
                faults += [str(run) for run in measured(children, name, place) if run.fault]
        return faults

    names = _tried()
    assert len(names) >= 150
    jobs = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(jobs) as pool:
        found = list(pool.map(tried, (names[start::jobs] for start in range(jobs))))
    assert [fault for faults in found for fault in faults] == []
