# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON that somebody else may have written, read within bounds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

LARGEST = 4 << 20  # bytes: in memory a document takes up to forty times as much


def parse(data: bytes, limit: int = LARGEST) -> Any:
    """The document in `data`; ValueError where it is none, or not one that has one meaning.

    That is: larger than `limit` bytes, too deep, with a key twice in one table (RFC 8259, 4), or
    a number that JSON does not have (NaN, Infinity).
    """
    if len(data) > limit:
        raise ValueError(f"it has {len(data)} bytes, more than {limit}")
    try:
        return json.loads(data, object_pairs_hook=_table, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is too deep") from None


def _table(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key is there twice")
    return table


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")
