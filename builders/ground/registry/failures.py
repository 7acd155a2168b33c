# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a registry is of no use."""

from __future__ import annotations


class RegistryError(Exception):
    """A registry could not be read or written.

    reason: why; hint: what next. passing: the same request may do a moment later.
    """

    def __init__(self, reason: str, hint: str = "", *, passing: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.passing = passing


class WrongBytesError(RegistryError):
    """What a registry served is not what it was asked for."""
