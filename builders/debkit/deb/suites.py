# SPDX-License-Identifier: GPL-2.0-or-later
"""Which dpkg and apt a suite has: what a package may have depends on them."""

from __future__ import annotations

from dataclasses import dataclass

Number = tuple[int, ...]


@dataclass(frozen=True)
class Tools:
    """The versions of dpkg and apt in a suite, at its last point release."""

    dpkg: Number
    apt: Number


SUITES = {
    "wheezy": Tools((1, 16, 18), (0, 9)),
    "jessie": Tools((1, 17, 27), (1, 0)),
    "stretch": Tools((1, 18, 26), (1, 4)),
    "buster": Tools((1, 19, 8), (1, 8)),
    "bullseye": Tools((1, 20, 13), (2, 2)),
    "bookworm": Tools((1, 21, 22), (2, 6)),
    "trixie": Tools((1, 22, 22), (3, 0)),
    "forky": Tools((1, 23), (3, 1)),
    "sid": Tools((1, 23), (3, 1)),
    "unstable": Tools((1, 23), (3, 1)),
}
BOOKWORM = SUITES["bookworm"]


def tools(suite: str) -> Tools:
    """Those of a suite; of bookworm for one that is not known."""
    return SUITES.get(suite.partition("-")[0], BOOKWORM)
