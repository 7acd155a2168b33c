# SPDX-License-Identifier: GPL-2.0-or-later
"""The work in containers: a step with its log, what steps share, and a shell in one."""
