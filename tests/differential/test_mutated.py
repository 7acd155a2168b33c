# SPDX-License-Identifier: GPL-2.0-or-later
"""Thousands of mutated packages through `inspect`, `inspect --diff` and `finish`.

Each verb keeps within its limits of time and memory, ends as it may end and leaves nothing behind;
what `finish` accepts can be read again, by dpkg-deb too.
"""

from __future__ import annotations

from tests.fuzz import mutants, mutate

PACKAGES = 20_000


def test_the_verbs_survive_mutated_packages() -> None:
    whole = mutants.Tally()
    for tally in mutants.run(mutants.SEED, 0, PACKAGES):
        whole.add(tally)
    print(whole)
    assert [str(failure) for failure in whole.failures] == []
    assert whole.taken() == PACKAGES
    assert whole.taken("inspect") > whole.taken("diff") // 2
    assert whole.taken("finish") > PACKAGES // 3  # the mutations get deep
    for layer in mutate.LAYERS:
        assert 0 < whole.counts[layer, "finish"] < whole.counts[layer, "diff"]
        assert whole.counts[layer, "diff"] < whole.counts[layer, ""]  # some it refuses
