# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests share: property tests have no deadline, as a busy box is no defect."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("project", deadline=None, print_blob=True)
settings.load_profile("project")
