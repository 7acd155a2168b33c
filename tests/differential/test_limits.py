# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile packages within 256 MiB and 20 s: some of each area, all by `tests.fuzz.limits`."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fuzz.catalogue import CASES, kinds
from tests.fuzz.child import Children
from tests.fuzz.limits import measured

_EVERY = 12  # one kind in so many, in an ordinary run; --long has all
# What took minutes once: tables of a package that multiply.
_ONCE_SLOW = (
    "links-in-a-circle", "hard-links-in-a-chain", "folders-190k", "units-to-be-installed",
    "units-and-links", "unit-of-installs-and-breaks", "kernels-and-modules", "elf-and-relations",
    "elf-and-shlibs", "documents-and-hard-links", "deep-paths-2k", "changelog-of-trailers",
)  # fmt: skip


def test_some_of_every_area_keep_within_the_limits(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    names = [names[0] for names in list(kinds().values())[::_EVERY]]
    names = list(dict.fromkeys([*_ONCE_SLOW, *names]))
    assert len(names) >= 60
    assert _faults(tmp_path_factory, names) == []


@pytest.mark.long
def test_all_keep_within_the_limits(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert _faults(tmp_path_factory, list(CASES)) == []


def _faults(folders: pytest.TempPathFactory, names: list[str]) -> list[str]:
    """The runs of these packages that go past a limit."""

    def tried(names: list[str]) -> list[str]:
        faults = []
        with Children() as children:
            for name in names:
                place: Path = folders.mktemp("limits")
                faults += [str(run) for run in measured(children, name, place) if run.fault]
        return faults

    jobs = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(jobs) as pool:
        found = list(pool.map(tried, (names[start::jobs] for start in range(jobs))))
    return [fault for faults in found for fault in faults]
