# SPDX-License-Identifier: GPL-2.0-or-later
"""All hostile packages: `CASES` has those of every module that makes some."""

from __future__ import annotations

from tests.fuzz import archives, containers, contents, controls, hostile, products
from tests.fuzz.kinds import CASES, kinds

__all__ = ["CASES", "kinds"]

assert CASES, (archives, containers, contents, controls, hostile, products)
