# SPDX-License-Identifier: GPL-2.0-or-later
"""The finished packages in QEMU: they boot, hide a device and hand it to a guest."""
