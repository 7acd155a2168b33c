# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.pipeline import stages
from builders.pipeline.record import BuildRecord, FinishRecord, PlanRecord
from builders.pipeline.stages import Output

_TEXT = st.text(max_size=8)
_DIGESTS = st.dictionaries(_TEXT, _TEXT, max_size=3)
_PLANS = st.builds(PlanRecord, _DIGESTS, _DIGESTS, _DIGESTS)
_BUILDS = st.builds(BuildRecord, _TEXT, _TEXT, _PLANS, _DIGESTS, st.booleans())
_FINISHES = st.builds(FinishRecord, _TEXT, _TEXT, _DIGESTS)


def kept(inputs: Mapping[str, str]) -> Output:
    return Output("x", "", Path(), inputs, {}, {}, 0.0)


@pytest.mark.slow
@given(_BUILDS)
def test_a_build_is_read_as_it_was_recorded(record: BuildRecord) -> None:
    assert BuildRecord.of(kept(record.inputs())) == record


@pytest.mark.slow
@given(_FINISHES)
def test_finished_packages_are_read_as_they_were_recorded(record: FinishRecord) -> None:
    assert FinishRecord.of(kept(record.inputs())) == record


@pytest.mark.slow
@given(_BUILDS, _BUILDS)
def test_two_records_have_one_key_where_they_are_the_same(
    one: BuildRecord, two: BuildRecord
) -> None:
    assert (stages.key(one.inputs()) == stages.key(two.inputs())) == (one == two)


def test_the_keys_of_what_was_built_before_hold() -> None:
    plan = PlanRecord({"build": "1"}, {"fragments/00-x": "2"}, {"series": "3"})
    record = BuildRecord("4", "5", plan, {"xen": "6"}, ccache=False)
    assert record.inputs() == {
        "image": "4",
        "environment": "5",
        "script build": "1",
        "file fragments/00-x": "2",
        "patch series": "3",
        "source xen": "6",
        "ccache": "none",
    }
    assert FinishRecord("1", "2", {"x.deb": "3"}).inputs() == {
        "this tool's code": "1",
        "corrections": "2",
        "raw x.deb": "3",
    }
