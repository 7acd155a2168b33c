# SPDX-License-Identifier: GPL-2.0-or-later
"""What it costs a build that files are held against their digests whenever they are used.

Hashes every file of the source cache and of the stages of the last `build-all` as often as a build
does, and compares with the time that the stages took. Exit status 1 where the goal was missed.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import Row, show
from builders import ROOT
from builders.ground.sources.cache import Cache

_ARTIFACTS = ROOT / "artifacts" / "xen-4.17-bookworm"
# As it arrives and as it streams into the step; as it is kept, as it is read by the next stage, as
# it is published.
_SOURCE_USES, _STAGE_USES = 2, 3
_GOAL = 0.02  # of the time of a build
_RUNS = 3


def _hashed(paths: list[Path]) -> float:
    """Seconds that hashing all of these files takes."""
    begun = time.monotonic()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
    return time.monotonic() - begun


def _records() -> list[tuple[Path, dict[str, Any]]]:
    """The folder and the record of every stage that `build-all` has left."""
    paths = sorted(_ARTIFACTS.glob("stages/*/*/stage.json"))
    return [(path.parent, json.loads(path.read_text())) for path in paths]


def main() -> int:
    """Print the figures; 1 where the goal was missed."""
    records = _records()
    if not records:
        print(f"{_ARTIFACTS}: nothing is built\nnext: ./inv build-all --recipe xen-4.17-bookworm")
        return 2
    sources = sorted((Cache.default().root / "sha256").glob("*/*"))
    kept = [folder / name for folder, record in records for name in record["files"]]
    checks = [_SOURCE_USES * _hashed(sources) + _STAGE_USES * _hashed(kept) for _ in range(_RUNS)]
    build = sum(record["seconds"] for _, record in records)
    row = Row("digests, of a bookworm build", checks, [build] * _RUNS, _GOAL)
    show([row], files_of_the_cache=len(sources), files_of_stages=len(kept))
    return int(row.figure > row.goal)


if __name__ == "__main__":
    sys.exit(main())
