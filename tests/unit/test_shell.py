# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from builders import ROOT
from builders.pipeline import kernel, xen
from builders.pipeline.recipe import load, names
from builders.proofs.rebuild.variation import Variation
from tests import shell

pytestmark = pytest.mark.slow


# A variable for a program that is called, ls of names that are plain, a loop over one package.
LOOSE = "SC1007,SC2010,SC2034,SC2043"


def test_every_shell_script_of_the_project_is_read() -> None:
    names = {str(path.relative_to(ROOT)) for path in shell.scripts()}
    assert {
        "inv",
        ".ci/run",
        "configs/dom0/postinst",
        "builders/pipeline/shell/collect.sh",
        "builders/proofs/boot/templates/guest.sh",
        "builders/proofs/trial/scripts/install.sh",
        "tests/fixtures/rehearsal/xen/configure",
    } <= names
    assert not [name for name in names if name.endswith((".py", ".toml", ".md"))]


@pytest.mark.parametrize(
    ("first", "found"),
    [
        ("#!/bin/sh", True),
        ("#! /bin/bash", True),
        ("#!/usr/bin/env bash", True),
        ("#!/bin/busybox sh", True),
        ("#!/usr/bin/python3", False),
        ("#!/usr/bin/perl", False),
        ("echo", False),
    ],
)
def test_a_script_is_known_by_its_first_line(first: str, found: bool, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "tool").write_text(f"{first}\n")
    assert list(shell.scripts(tmp_path)) == [folder / "tool"] * found


def test_a_fault_in_any_script_fails_the_check(tmp_path: Path) -> None:
    (tmp_path / "sound").write_text('#!/bin/sh\nrm -rf -- "${1:?}"\n')
    assert shell.check(tmp_path).returncode == 0
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "postinst").write_text("#!/bin/sh\nrm -rf $1/*\n")
    done = shell.check(tmp_path)
    assert done.returncode == 1
    assert "below/postinst:2" in done.stdout
    assert "SC2086" in done.stdout


def test_the_phases_of_a_build_are_sound_shell(tmp_path: Path) -> None:
    """With the shell lines of each recipe, and as they run on another box."""
    scripts: dict[str, str] = {}
    for name in names():
        loaded = load(name, ['kernel.loaded=["nvme"]'] if load(name).kernel else [])
        plans = [xen.describe(loaded)] if loaded.xen else []
        flavours = loaded.kernel.flavours if loaded.kernel else {}
        plans += [kernel.describe(loaded, flavour) for flavour in flavours]
        for plan in (*plans, Variation(seconds=60).plan(plans[0])):
            for phase in plan.phases:
                scripts.setdefault(
                    phase.script, f"{len(scripts):02}-{name}-{plan.name}-{phase.name}.sh"
                )
    assert len(scripts) > 20
    for script, file in scripts.items():
        (tmp_path / file).write_text(f"# shellcheck shell=sh disable={LOOSE}\nset -e\n{script}")
    done = shell.check(tmp_path, "--severity", "warning")
    assert done.returncode == 0, done.stdout
