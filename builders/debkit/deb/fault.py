# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a file of control.tar, as dpkg takes it."""

from __future__ import annotations

from dataclasses import dataclass

MOST = 1000  # faults of one file, after which a reader gives up


@dataclass(frozen=True)
class Fault:
    """message: in words. refused: whether dpkg does not take the package for it, or shrugs it off.

    subject: the path or field that it is about, "" for the whole file.
    """

    message: str
    refused: bool = True
    subject: str = ""
