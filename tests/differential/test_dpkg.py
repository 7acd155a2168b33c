# SPDX-License-Identifier: GPL-2.0-or-later
"""`inspect` and `finish` held against dpkg and apt of this box, over thousands of odd packages.

What dpkg refuses to unpack, configure, verify or purge, or apt to read, is an error of `inspect`;
what they take is none. What `finish` accepts they take.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import pytest

from tests.differential import containers
from tests.differential.compare import Disagreement, compared, promised, spread
from tests.differential.judge import Judge
from tests.differential.odd import Odd, enumerated

COMPARED = 4000  # packages, the enumeration first
FINISHED = 1000  # more, drawn by chance
PAIRS = 1500  # containers with two faults at once
_JOBS = min(4, os.cpu_count() or 1)


@pytest.fixture(scope="module", autouse=True)
def judge() -> Iterator[Judge]:
    one = Judge()
    try:
        if not one.works:
            pytest.skip("no chroot and no user namespace: scripts cannot be run apart")
        yield one
    finally:
        one.close()


def _told(found: Sequence[Disagreement]) -> list[str]:
    return [
        f"{one.number} {one.label[:200]}: judges: {one.refusal or 'take it'};"
        f" inspect: {'; '.join(one.errors) or 'no error'}"
        for one in found
    ]


def test_a_sound_package_is_taken_by_all(judge: Judge) -> None:
    path = Odd("sound").write(judge.folder)
    assert judge.alone(path, "sound").refusal == ""


def test_the_judges_refuse(judge: Judge) -> None:
    """Negative controls: each judge says no to a package that it has to refuse."""
    faults = dict(enumerated())
    for label, word in (
        ("Version 'a1'", "unpack"),
        ("postinst b'#!/usr/local/bin/bash\\nset -e\\n'", "configure"),
        ("md5sums b'\\n'", "verify"),
        ("prerm b'#!/bin/sh\\r\\nset -e\\n'", "purge"),
        ("Provides ''", "apt"),
    ):
        path = faults[label](Odd("refused")).write(judge.folder)
        assert judge.alone(path, "refused").refusal.startswith(f"{word}: "), label


def test_inspect_agrees_with_dpkg_and_apt() -> None:
    assert len(enumerated()) < COMPARED
    refused, found = spread(0, COMPARED, _JOBS, compared)
    assert _told(found) == []
    assert COMPARED // 3 < refused < COMPARED  # the generator makes both kinds


def test_inspect_agrees_over_odd_containers() -> None:
    count = len(containers.enumerated()) + PAIRS
    refused, found = spread(0, count, _JOBS, compared, containers.containers)
    assert _told(found) == []
    assert count // 3 < refused < count


def test_finish_mends_odd_containers() -> None:
    count = len(containers.enumerated())
    accepted, found = spread(0, count, _JOBS, promised, containers.containers)
    assert _told(found) == []
    assert accepted > count // 3


def test_what_finish_accepts_is_taken() -> None:
    accepted, found = spread(len(enumerated()) // 2, FINISHED, _JOBS, promised)
    assert _told(found) == []
    assert accepted > FINISHED // 5
