# SPDX-License-Identifier: GPL-2.0-or-later
"""The speed figures that the README quotes, each measured against its peer in the same run."""
