# SPDX-License-Identifier: GPL-2.0-or-later
"""Turn pinned upstream sources into Debian packages for a Xen host."""
