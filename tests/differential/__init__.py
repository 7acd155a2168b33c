# SPDX-License-Identifier: GPL-2.0-or-later
"""`inspect` and `finish` held against the real dpkg, apt and debconf, over generated packages."""
