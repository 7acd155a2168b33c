# SPDX-License-Identifier: GPL-2.0-or-later
"""The container engine: found or brought up, one container in it, and a step of work in one."""
