# SPDX-License-Identifier: GPL-2.0-or-later
"""Real work that is killed at random moments and begun again; `tests.fuzz.kills` does more."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.fuzz import works
from tests.fuzz.kills import disturb

SEED = 11  # the moments are drawn by it
KINDS = ("build-all", "release, key in a file", "fetch")


@pytest.mark.usefixtures("builder")
def test_what_comes_out_is_what_an_undisturbed_run_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # Not pytest's folder: its name is too long for the socket of gpg's agent (unix(7)).
    with tempfile.TemporaryDirectory(prefix="kills-") as short:
        with works.made(Path(short), KINDS) as made:
            tallies = [tally for _, tally in disturb(made, 8, SEED, Path(short))]
        assert [fault for tally in tallies for fault in tally.faults] == []
    assert [tally.kills for tally in tallies] == [3, 3, 2]
    assert sum(tally.hits for tally in tallies) >= 4
