# SPDX-License-Identifier: GPL-2.0-or-later
"""The packages tried.

`trial`: installed with apt on clean machines, and judged by lintian and piuparts. `boot`: booted
in QEMU with a network card hidden. `rebuild`: built again as if on another box, and compared.
"""
