# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of a build: the tree in its container, what steps share, and a shell in one."""
