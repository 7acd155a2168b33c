# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a .deb."""

from __future__ import annotations

from builders.errors import BuildError, Exit


class DebError(BuildError):
    """A .deb that cannot be used.

    kind: truncated, format, damaged, traversal, duplicate, absolute, name or limit.
    """

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint or "build or fetch the package again", exit=Exit.USAGE)
        self.kind = kind
