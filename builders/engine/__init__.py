# SPDX-License-Identifier: GPL-2.0-or-later
"""The container engine: found or brought up, and one container in it."""
