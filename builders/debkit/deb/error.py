# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a .deb."""

from __future__ import annotations

from builders.errors import BuildError, Exit
from builders.text import cut


class DebError(BuildError):
    """A .deb that cannot be used.

    kind: truncated, format, damaged, traversal, duplicate, absolute, name or limit.
    """

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        hint = hint or "build or fetch the package again"
        super().__init__(cut(message), hint=hint, exit=Exit.USAGE)
        self.kind = kind
