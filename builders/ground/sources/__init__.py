# SPDX-License-Identifier: GPL-2.0-or-later
"""Every input by content: fetched, resumed, verified and kept by its digest."""
