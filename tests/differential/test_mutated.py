# SPDX-License-Identifier: GPL-2.0-or-later
"""Thousands of mutated packages through `inspect`, `inspect --diff` and `finish`.

Each verb keeps within its limits of time and memory, ends as it may end and leaves nothing behind;
what `finish` accepts can be read again, by dpkg-deb too.
"""

from __future__ import annotations

import pytest

from tests.fuzz import mutants, mutate

PACKAGES = 8_000  # in an ordinary run
MORE = 20_000  # with --long


def test_the_verbs_survive_mutated_packages() -> None:
    _survived(PACKAGES)


@pytest.mark.long
def test_the_verbs_survive_more_of_them() -> None:
    _survived(MORE)


def _survived(count: int) -> None:
    whole = mutants.Tally()
    for tally in mutants.run(mutants.SEED, 0, count):
        whole.add(tally)
    print(whole)
    assert [str(failure) for failure in whole.failures] == []
    assert whole.taken() == count
    assert whole.taken("inspect") > whole.taken("diff") // 2
    assert whole.taken("finish") > count // 3  # the mutations get deep
    for layer in mutate.LAYERS:
        assert 0 < whole.counts[layer, "finish"] < whole.counts[layer, "diff"]
        assert whole.counts[layer, "diff"] < whole.counts[layer, ""]  # some it refuses
