# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests share: property tests have no deadline, as a busy box is no defect.

No defaults of whoever runs the tests hold in them (dom0-debs.toml).
"""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

from hypothesis import settings

from builders.ground import defaults

# Browsers and shells write there, so it has to go again.
_FOLDER = tempfile.TemporaryDirectory(prefix="tests-of-")
Path(_FOLDER.name).chmod(0o755)  # some tests run as another user
NOWHERE = Path(_FOLDER.name) / "configuration"
os.environ["XDG_CONFIG_HOME"] = str(NOWHERE)
defaults.CHECKOUT = NOWHERE / defaults.NAME

settings.register_profile("project", deadline=None, print_blob=True)
settings.load_profile("project")


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking at thousands of collected tests again and again."""
    gc.collect()
    gc.freeze()
