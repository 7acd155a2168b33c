# SPDX-License-Identifier: GPL-2.0-or-later
"""Statements on a release, by keys that are known and by strangers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.pipeline.shared import Said
from builders.release import rebuilt
from builders.release.provenance import STATEMENT
from builders.release.rebuilt import Released
from tests.unit.releases import Keyring, keyring

SHA, OTHER = "1" * 64, "2" * 64
BUILD = Released(
    "xen-4.17-bookworm", "xen", "1", (), {"xen_1_amd64.deb": SHA}, {}, {"image": "3" * 64}
)


def statement(**changes: Any) -> bytes:
    document: dict[str, Any] = {
        "_type": STATEMENT,
        "predicateType": rebuilt.PREDICATE,
        "subject": [{"name": "xen_1_amd64.deb", "digest": {"sha256": SHA}}],
        "predicate": {"released": {"xen_1_amd64.deb": SHA}},
    }
    return json.dumps(document | changes).encode()


@pytest.fixture(scope="module")
def keys() -> Iterator[Keyring]:
    with keyring() as made:
        yield made


def said(keys: Keyring, fingerprint: str, content: bytes, tag: str = "rebuilt-x") -> Said:
    signature = keys.gpg("--armor", "--local-user", fingerprint, "--detach-sign", given=content)
    return Said(tag, content, signature)


def test_each_key_counts_once_and_only_where_all_of_it_agrees(keys: Keyring) -> None:
    bob, carol, dave = (keys.make(f"{n} <{n}@example.org>") for n in ("b", "c", "d"))
    public = keys.gpg("--export", bob, carol, dave)
    different = statement(subject=[{"name": "xen_1_amd64.deb", "digest": {"sha256": OTHER}}])
    found = rebuilt.count(
        BUILD,
        [
            said(keys, bob, statement()),
            said(keys, bob, statement(more="said again")),
            said(keys, carol, different),
            said(keys, carol, statement()),
            said(keys, dave, statement(), "rebuilt-by-the-releaser"),
        ],
        public,
        dave,
    )
    assert found.agree == (bob,)
    assert found.differ == (carol,)
    assert found.notes == ("rebuilt-by-the-releaser: does not count: its key signed the release",)


def test_a_file_more_or_less_does_not_agree(keys: Keyring) -> None:
    eve = keys.make("e <e@example.org>")
    public = keys.gpg("--export", eve)
    more = [{"name": n, "digest": {"sha256": SHA}} for n in ("xen_1_amd64.deb", "more.deb")]
    for subject in ([], more):
        found = rebuilt.count(BUILD, [said(keys, eve, statement(subject=subject))], public, "")
        assert (found.agree, found.differ) == ((), (eve,))


def test_what_does_not_count(keys: Keyring) -> None:
    frank, mallory = (keys.make(f"{n} <{n}@example.org>") for n in ("f", "m"))
    public = keys.gpg("--export", frank)
    sound = said(keys, frank, statement())
    for one, why in (
        (said(keys, mallory, statement()), "a key that was not given"),
        (Said("t", sound.statement + b" ", sound.signature), "not what was signed"),
        (Said("t", sound.statement, b""), "no sound signature"),
        (Said("t", sound.statement, b"\0" * 1000), "no sound signature"),
        (said(keys, frank, statement(predicate={"released": {"xen_1_amd64.deb": OTHER}})), "other"),
        (said(keys, frank, statement(predicateType="https://slsa.dev/provenance/v1")), "another"),
        (said(keys, frank, b"{}"), "lacks"),
        (said(keys, frank, b"[" * 100_000), "deep"),
        (said(keys, frank, b'{"_type": 1, "_type": 2}'), "twice"),
    ):
        found = rebuilt.count(BUILD, [one], public, "")
        assert (found.agree, found.differ) == ((), ())
        (note,) = found.notes
        assert why in note


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=8), x, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(["subject", "predicate", "_type", "predicateType"]),
)
def test_whatever_a_statement_says_is_refused_or_read(value: Any, key: str) -> None:
    try:
        found = rebuilt.read(statement(**{key: value}))
    except ValueError:
        return
    assert all(len(sha) == 64 for sha in (*found.made.values(), *found.released.values()))


def test_the_tag_is_of_the_packages_alone() -> None:
    import dataclasses

    assert BUILD.tag == dataclasses.replace(BUILD, version="2", overrides=("x=1",)).tag
    assert BUILD.tag != dataclasses.replace(BUILD, packages={"xen_1_amd64.deb": OTHER}).tag


def test_inputs_that_differ_are_named() -> None:
    here = {"image": "3" * 64, "ccache": "none"}
    assert rebuilt.differing(BUILD.inputs, here) == []
    assert rebuilt.differing(BUILD.inputs, {"image": "4" * 64, "source xen": "5"}) == [
        "image",
        "source xen",
    ]
    error = rebuilt.other_inputs(BUILD, [f"file {n}" for n in range(9)])
    assert "and 4 more" in error.message
    assert error.hint
