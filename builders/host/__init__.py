# SPDX-License-Identifier: GPL-2.0-or-later
"""The Xen host and its guests: PCI devices, settings as a package, files for xl and xm."""
