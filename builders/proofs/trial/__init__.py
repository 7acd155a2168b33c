# SPDX-License-Identifier: GPL-2.0-or-later
"""The finished packages on clean machines of the suite: apt, lintian and piuparts."""
