# SPDX-License-Identifier: GPL-2.0-or-later
"""The digest of a file."""

from __future__ import annotations

import hashlib
from pathlib import Path


def of_file(path: Path) -> str:
    """The sha256 of a file, in hexadecimal. Raises OSError where it can't be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
