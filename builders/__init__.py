# SPDX-License-Identifier: GPL-2.0-or-later
"""Turn pinned upstream sources into Debian packages for a Xen host."""

from pathlib import Path

VERSION = "0.1.0"
ROOT = Path(__file__).resolve().parent.parent  # of the checkout
