# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that are handed cards, for real."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from builders.proofs.boot import hvm
from tests.boot.test_boot import inv


def booted(*words: str) -> dict[str, dict[str, Any]]:
    """The boots of one run, by name; each is as it should be, or the verb had failed."""
    inv("build-all")
    done = inv("boot-test", *words, "--accel", "tcg", "--format", "json")
    boots = json.loads(done.stdout)["boots"]
    print({b["name"]: b["seconds"] for b in boots})
    return {b["name"]: b for b in boots}


def test_bytes_go_over_the_cards_of_an_hvm_guest_in_each_life() -> None:
    boot = booted("--guest", "hvm")["boot-guest-hvm"]
    seen = {check["name"]: check["seen"] for check in boot["checks"]}
    assert len(boot["checks"]) == 26
    for card in hvm.NETWORK_CARDS:
        lives = [text for name, text in seen.items() if name.startswith(f"{card.driver}: bytes")]
        assert len(lives) == 3
        assert all(text.startswith("3 of 3 pings, file ") for text in lives)
    console = Path(boot["log"]).read_text(errors="replace")
    assert console.count("@@up") == 3


@pytest.mark.long
def test_xl_refuses_an_hvm_guest_for_each_reason() -> None:
    boots = booted("--guest", "hvm", "--controls")
    for control in hvm.CONTROLS:
        seen = {check["name"]: check["seen"] for check in boots[control.name]["checks"]}
        assert re.search(control.reason, seen["reason"])
        assert "guest is created" in boots[control.name]["must_fail"]
