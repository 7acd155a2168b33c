# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual page is what is made from the help, and man has nothing against it."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from builders import ROOT
from builders.errors import Exit
from builders.verbs import manual
from builders.verbs.catalogue import VERBS
from tests import documents


def test_the_page_is_made_from_the_help() -> None:
    page = documents.MANUAL.read_text(encoding="utf-8")
    assert page == manual.page(), "run python -m tests.documents"


def test_it_has_every_verb_option_and_exit_status() -> None:
    plain = manual.page().replace("\\-", "-")
    for name, command in VERBS.items():
        assert f'.SS "{name} ' in plain
        for option in command.options.values():
            assert option.required or option.words or f"\\fB{option.flag}\\fR" in plain
    assert set(manual.STATUSES) == set(Exit)


def test_variables_that_it_names_are_read() -> None:
    """The project's own: somewhere in the code, or in the launcher."""
    sources = [ROOT / "inv", *(ROOT / "builders").rglob("*.py")]
    code = "".join(p.read_text(encoding="utf-8") for p in sources if p.name != "manual.py")
    named = set(re.findall(r"DOM0_DEBS_\w+", manual.page()))
    assert len(named) > 3
    assert {name for name in named if name not in code} == set()


@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff")
def test_groff_has_nothing_to_say() -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z", str(documents.MANUAL)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


def test_no_text_is_a_request() -> None:
    assert manual._text(".deb") == "\\&.deb"
    assert manual._text("a-b 'c' \\d") == "a\\-b \\(aqc\\(aq \\ed"
