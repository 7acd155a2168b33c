# SPDX-License-Identifier: GPL-2.0-or-later
"""The real proof: the packages that tests/build made, booted in QEMU, and boots that must fail."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from builders import ROOT

RECIPE = "xen-4.17-bookworm"


def inv(verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb on the recipe's packages with the minimal kernel."""
    done = subprocess.run(
        [str(ROOT / "inv"), verb, "--recipe", RECIPE, "--flavour", "minimal", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def boots() -> dict[str, dict[str, Any]]:
    """The boots of one run with the negative controls, by name."""
    inv("build-all")
    controls = ("--controls", "--accel", "tcg", "--timeout", "300", "--format", "json")
    done = inv("boot-test", *controls)
    boots = json.loads(done.stdout)["boots"]
    print({b["name"]: b["seconds"] for b in boots})
    return {b["name"]: b for b in boots}


def test_the_packages_boot_with_a_card_hidden(boots: dict[str, dict[str, Any]]) -> None:
    checks = boots["boot"]["checks"]
    assert len(checks) == 9
    assert [c["name"] for c in checks if not c["good"]] == []
    text = Path(boots["boot"]["log"]).read_text(errors="replace")
    assert "pciback 0000:00:04.0: " in text


def test_nothing_is_hidden_where_nothing_is_asked_for(boots: dict[str, dict[str, Any]]) -> None:
    for name in ("boot-nothing-hidden", "boot-wrong-address"):
        seen = {c["name"]: c["seen"] for c in boots[name]["checks"]}
        assert seen["hidden card's driver"] == "e1000"
        assert seen["hidden card is assignable"] == "none is"


def test_a_kernel_without_the_back_end_hides_nothing(boots: dict[str, dict[str, Any]]) -> None:
    control = boots["boot-without-back-end"]
    seen = {c["name"]: c["seen"] for c in control["checks"]}
    assert "is not set" in seen["kernel option"]
    # Its drivers are modules: they were loaded, or nothing else would hold.
    assert {"xenfs", "e1000"} <= set(seen["modules are loaded"].split())
    assert seen["hidden card's driver"] == "e1000"
    text = Path(control["log"]).read_text(errors="replace")
    assert "pciback 0000:00:04.0: " not in text
    assert "pciback driver not loaded" in text  # what xl says of it
