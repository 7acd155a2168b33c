# SPDX-License-Identifier: GPL-2.0-or-later
"""Both packages of a recipe from real sources, built once more as if on another box."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from builders import ROOT
from tests.build.test_bookworm import RECIPE


@pytest.mark.long
def test_a_second_build_elsewhere_has_the_same_bytes() -> None:
    begun = time.monotonic()
    done = subprocess.run(
        [
            *(str(ROOT / "inv"), "reproduce", "--recipe", RECIPE, "--flavour", "minimal"),
            *("--format", "json"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    print(f"\nreproduce took {time.monotonic() - begun:.0f} s\n{done.stdout}")
    assert done.returncode == 0
    compared = json.loads(done.stdout)["packages"]
    names = {c["file"].split("_")[0] for c in compared}
    assert names >= {"xen-upstream", "xen-upstream-dbgsym"}
    assert any(name.startswith("linux-image-") for name in names)
    assert all(c["first"] == c["second"] and not c["differences"] for c in compared)
