# SPDX-License-Identifier: GPL-2.0-or-later
"""What was compiled, carried out of the engine and back into it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.run import Run
from builders.steps import ccache
from builders.steps.step import Step

from .conftest import Box


@pytest.fixture
def run(box: Box) -> Iterator[Run]:
    """A run of a suite of its own, whose volume is gone afterwards."""
    made = box.run()
    suite = dataclasses.replace(made.recipe.suite, name="nosuchsuite")
    made.recipe = dataclasses.replace(made.recipe, suite=suite)
    yield made
    made.client.volumes.get(ccache.volume("nosuchsuite")).remove()


def test_what_was_compiled_is_there_on_another_engine(
    run: Run, builder: str, tmp_path: Path
) -> None:
    volumes = {ccache.volume("nosuchsuite"): "/ccache"}
    compiled = "echo 'int f(void) { return 1; }' >f.c && ccache gcc -c f.c -o f.o && ccache -s"

    def hits() -> bool:
        with Step(run, "compile", builder, volumes=volumes) as step:
            step.phase("compile", f"cd /build && {compiled}")
            text = step.log.read_text()
        return any("Hits:" in line and " 1 /" in line for line in text.splitlines())

    assert not ccache.load(run, builder, tmp_path)
    assert not hits()
    path = ccache.save(run, builder, tmp_path)
    assert path.parent == tmp_path
    assert path.stat().st_size > 1000
    # Another engine has none of it.
    with Step(run, "forget", builder, volumes=volumes) as step:
        step.phase("forget", "rm -rf /ccache/* /ccache/.??*; ls -A /ccache")
    assert ccache.load(run, builder, tmp_path)
    assert hits()
