# SPDX-License-Identifier: GPL-2.0-or-later
"""What a recipe and a suite make the audit expect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from builders.debkit.deb.suites import Tools, tools

if TYPE_CHECKING:
    from builders.debkit.audit.archive import Archive


@dataclass(frozen=True)
class Expectations:
    """What a recipe wants of its packages.

    kernel_options: option to value ("y", "m", "n" for not set, or another one) in the
        configuration of every kernel.
    archive: the packages of the suite, None where they are not known.
    unknown: the suite whose packages should be known, but are not.
    suite: where the packages are for, so which dpkg and apt; "" for bookworm's.
    """

    kernel_options: Mapping[str, str] = field(default_factory=dict)
    archive: Archive | None = None
    unknown: str = ""
    suite: str = ""

    @property
    def tools(self) -> Tools:
        """The dpkg and apt that the packages are for."""
        return tools(self.suite)
