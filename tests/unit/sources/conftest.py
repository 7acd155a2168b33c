# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of all kinds of sources share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builders.ground.sources.cache import Cache


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy between the tests and their own servers."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")
