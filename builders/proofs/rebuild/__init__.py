# SPDX-License-Identifier: GPL-2.0-or-later
"""The same build as if on another box, and why two packages differ."""
