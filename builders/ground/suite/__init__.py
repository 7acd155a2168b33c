# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian suite: where it is served, how it is verified, its clean root and its packages."""
