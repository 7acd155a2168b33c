# SPDX-License-Identifier: GPL-2.0-or-later
"""The finished packages before Debian's judges and on clean machines of their suite."""

from __future__ import annotations

import json

import pytest

from tests.build.test_bookworm import BUILD, RECIPE, inv

OF = ["--recipe", RECIPE, "--flavour", "minimal"]


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    done = inv(*BUILD)
    assert done.returncode == 0, done.stdout


def test_lintian_and_piuparts_have_nothing_to_say() -> None:
    done = inv("check", *OF)
    assert done.returncode == 0, done.stdout
    for judge in ("lintian", "piuparts purge", "piuparts remove", "piuparts upgrade"):
        assert f"\n{judge} " in f"\n{done.stdout}"


def test_they_install_run_upgrade_and_go_without_a_trace() -> None:
    done = inv("install-test", *OF, "--format", "json")
    start = done.stdout.index("{")
    cases = {(c["machine"], c["case"]): c for c in json.loads(done.stdout[start:])["cases"]}
    assert {c["state"] for c in cases.values()} == {"ok"}, done.stdout
    assert done.returncode == 0
    assert {machine for machine, _ in cases} == {"fresh", "upgrade", "debian"}
