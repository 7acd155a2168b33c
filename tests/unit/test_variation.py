# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from builders import kernel, xen
from builders.recipe import DebianPackage, load
from builders.variation import Variation


def test_another_clock_needs_a_source_that_an_ordinary_build_does_not() -> None:
    recipe = load("xen-4.17-bookworm")
    later = Variation(seconds=60)
    assert later.recipe(recipe).sources["clock"] == DebianPackage("clock", "libfaketime", "*")
    assert later.plan(xen.describe(recipe)).sources == ("xen", "clock")
    assert Variation().recipe(recipe) is recipe
    assert Variation().plan(xen.describe(recipe)).sources == ("xen",)


def test_what_is_built_sees_the_other_box_and_what_is_unpacked_does_not() -> None:
    plan = kernel.describe(load("xen-4.17-bookworm"), "minimal")
    varied = Variation(seconds=60).plan(plan)
    scripts = {phase.name: phase.script for phase in varied.phases}
    assert [p.name for p in varied.phases] == [p.name for p in plan.phases]
    for name in ("configure", "build", "collect"):
        assert 'FAKETIME="+60"' in scripts[name]
        assert "CCACHE_DISABLE=1" in scripts[name]
        assert "export USER='somebody'" in scripts[name]
    assert "FAKETIME=" not in scripts["unpack"]
    assert varied.after.keys() == plan.after.keys()
    assert varied.inputs() != plan.inputs()
