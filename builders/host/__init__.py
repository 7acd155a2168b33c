# SPDX-License-Identifier: GPL-2.0-or-later
"""The Xen host and its guests.

`devices`: the PCI devices of this machine, which go together and what dom0 can do without. `dom0`:
a host's settings as a package. `domu`: a guest's file for xl and xm.
"""
