# SPDX-License-Identifier: GPL-2.0-or-later
"""A download that is not complete, with what a later run needs to resume it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import BinaryIO


class Partial:
    """A download that is not complete; only its holder may write it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._origin = path.with_suffix(".json")

    def size(self) -> int:
        """Bytes that have arrived."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def open(self, offset: int) -> BinaryIO:
        """The file, cut to `offset` bytes, for writing on from there."""
        stream = self.path.open("r+b" if self.path.exists() else "w+b")
        stream.truncate(offset)
        stream.seek(offset)
        return stream

    def discard(self) -> None:
        """Throw away what has arrived."""
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def origin(self) -> dict[str, str]:
        """What `came_from` was last told; empty where nothing is known."""
        try:
            facts = json.loads(self._origin.read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(facts, dict):
            return {}
        return {str(k): v for k, v in facts.items() if isinstance(v, str)}

    def came_from(self, **facts: str) -> None:
        """Remember which address the bytes come from, with its validators."""
        self._origin.write_text(json.dumps(facts), encoding="utf-8")
