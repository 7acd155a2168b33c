# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of `./inv test`, and which of the unit tests are the quick ones."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest

from builders import ROOT
from builders.errors import BuildError, Exit
from builders.progress import Silent
from builders.verbs import test as part


def ran(monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[list[str]]:
    """The commands that a run with these options starts."""
    commands: list[list[str]] = []

    def start(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", start)
    part.test(part.Options(**options), Silent())
    return commands


def test_the_quick_ones_are_unit_tests_without_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = ran(monkeypatch, quick=True)
    assert command[-3:] == ["tests/unit", "-m", "not long and not slow"]
    assert ran(monkeypatch, quick=True, only=("unit",)) == [command]
    assert ran(monkeypatch, only=("unit",)) == [command[:-2]]


@pytest.mark.parametrize("other", [{"build": True}, {"long": True}, {"only": ("engine",)}])
def test_the_quick_ones_go_with_no_other_part(
    other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BuildError) as caught:
        ran(monkeypatch, quick=True, **other)
    assert caught.value.exit == Exit.USAGE


def test_the_quick_ones_are_of_every_wing() -> None:
    wings = {path.parent.name for path in ROOT.glob("builders/*/__init__.py")}
    modules = [path.read_text(encoding="utf-8") for path in ROOT.glob("tests/unit/**/test_*.py")]
    quick = [text for text in modules if not re.search(r"^pytestmark = .*slow", text, re.MULTILINE)]
    imported = {
        wing for text in quick for wing in re.findall(r"^from builders\.(\w+)", text, re.MULTILINE)
    }
    assert wings >= {"debkit", "ground", "pipeline", "proofs", "release", "host", "verbs", "show"}
    assert wings <= imported
