# SPDX-License-Identifier: GPL-2.0-or-later
"""What was compiled, carried out of the engine and back into it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.ground.engine.step import Step
from builders.pipeline.run import Run
from builders.pipeline.steps import ccache

from .conftest import Box


@pytest.fixture
def run(box: Box) -> Iterator[Run]:
    """A run of a suite of its own, whose volume is gone afterwards."""
    made = box.run()
    suite = dataclasses.replace(made.recipe.suite, name="nosuchsuite")
    made.recipe = dataclasses.replace(made.recipe, suite=suite)
    yield made
    made.client.volumes.get(ccache.volume(made)).remove()


def test_what_was_compiled_is_there_on_another_engine(
    run: Run, builder: str, tmp_path: Path
) -> None:
    volumes = {ccache.volume(run): "/ccache"}
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


def test_a_build_cannot_say_what_a_later_one_compiles(run: Run, builder: str) -> None:
    """What the cache's own configuration says has no power, whoever wrote it."""
    volumes = {ccache.volume(run): "/ccache"}
    poison = "printf 'prefix_command = /ccache/wrapper\\n' "
    poison += ">/ccache/ccache.conf; "
    poison += "printf '#!/bin/sh\\necho poisoned >>/ccache/log\\nexec \"$@\"\\n' >/ccache/wrapper; "
    poison += "chmod 755 /ccache/wrapper"
    compiled = "cd /build && echo 'int f(void) { return 2; }' >v.c && ccache gcc -c v.c -o v.o"
    with Step(run, "poison", builder, volumes=volumes) as step:
        step.phase("poison", poison)
        # The control: with the configuration in force, the wrapper is what runs.
        step.phase("control", f"unset CCACHE_CONFIGPATH; {compiled}; grep -q poisoned /ccache/log")
        step.phase("forget", "rm /ccache/log")
    with Step(run, "victim", builder, volumes=volumes) as step:
        another = compiled.replace("return 2", "return 3")
        step.phase("compile", f"{another}; test ! -e /ccache/log")
