# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON and TOML that somebody else may have written, read within bounds."""

from __future__ import annotations

import codecs
import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builders.errors import BuildError
from builders.text import printable

LARGEST_TOML = 1 << 18  # bytes of a file in TOML
_DOTS = 500  # in a line of it: the time that tomllib takes grows with their square
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


def toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file of a sensible size; BuildError names the line."""
    try:
        if not path.is_file() and path.exists():  # a FIFO or a device has no end
            raise OSError(None, "is no file")
        with path.open("rb") as stream:
            data = stream.read(LARGEST_TOML + 1)
    except OSError as error:
        raise BuildError(
            f"{printable(str(path))}: {error.strerror}", hint="name a file in TOML, readable"
        ) from None
    if len(data) > LARGEST_TOML:
        raise BuildError(f"{path}: has more than {LARGEST_TOML} bytes", hint="make it smaller")
    try:
        text = _decoded(data)
        for number, line in enumerate(text.split("\n"), 1):
            if line.count(".") > _DOTS:
                raise ValueError(f"line {number} has more than {_DOTS} dots")
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # wrong, no UTF-8, or beyond its reader
        raise BuildError(
            f"{path}: not valid TOML: {printable(str(error))}", hint=_advice(data, str(error))
        ) from None


def _decoded(data: bytes) -> str:
    """The text of a file in TOML, which is UTF-8 without a byte order mark (TOML 1.0)."""
    if data.startswith(codecs.BOM_UTF8):
        raise ValueError("a byte order mark at line 1")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"the byte 0x{data[error.start]:02x} is not UTF-8 (at line {line})"
        ) from None


def _advice(data: bytes, error: str) -> str:
    """What to do about a line that is not TOML."""
    if "UTF-8" in error or "byte order" in error:
        return "save it as UTF-8, without a byte order mark"
    place = re.search(r"at line ([0-9]+)", error)
    lines = data.decode("utf-8", "replace").split("\n")
    line = lines[int(place[1]) - 1] if place and int(place[1]) <= len(lines) else ""
    if mode := re.search(r"=\s*(0[0-7]{3,4})\s*(#.*)?$", line):
        return f'write a mode in quotes: "{mode[1]}"'
    return "correct that line"
