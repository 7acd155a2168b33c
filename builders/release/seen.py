# SPDX-License-Identifier: GPL-2.0-or-later
"""Remembers the newest release verified here for each key and recipe, to recognize an older one.

A signature says who made a release, not that it is the latest: a server can keep serving an old one
that lacks later corrections.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from builders import documents
from builders.files import write

_MOST = 1000  # releases that are remembered


def _path() -> Path:
    """In the user's state folder: $XDG_STATE_HOME, or ~/.local/state (XDG Base Directory)."""
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    base = base if base.is_absolute() else Path.home() / ".local/state"
    return base / "dom0-debs" / "releases.json"


def newer(identity: tuple[str, str, str], serial: int) -> int:
    """The serial of a newer release of `identity` that was seen before, or 0; this one is noted.

    identity: fingerprint of the key, recipe and suite. serial: of a release that was verified.
    Where the state can't be read or written, nothing is known and nothing kept.
    """
    path, name = _path(), " ".join(identity)
    serials: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError):
        document = documents.parse(path.read_bytes()) if path.is_file() else {}
        if isinstance(document, dict):
            serials = {k: v for k, v in document.items() if isinstance(v, int)}
    before = serials.get(name, 0)
    if serial > before:
        serials = {k: v for k, v in serials.items() if k != name} | {name: serial}
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write(path, json.dumps(dict(list(serials.items())[-_MOST:]), indent=1) + "\n")
    return before if before > serial else 0
