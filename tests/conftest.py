# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests share: property tests have no deadline, as a busy box is no defect.

No defaults of whoever runs the tests hold in them (dom0-debs.toml).
"""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import settings

from builders.ground import defaults

NOWHERE = Path("/nonexistent/configuration")
os.environ["XDG_CONFIG_HOME"] = str(NOWHERE)
defaults.CHECKOUT = NOWHERE / defaults.NAME

settings.register_profile("project", deadline=None, print_blob=True)
settings.load_profile("project")
