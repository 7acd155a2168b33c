# SPDX-License-Identifier: GPL-2.0-or-later
"""Branches and tags as sources: what they are at, when that is asked again, and who signed."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from builders.errors import BuildError, Exit
from builders.ground.sources.cache import Cache, Fetched
from builders.ground.sources.fetching import fetch_all
from builders.ground.suite import tags
from builders.pipeline.recipe import GitSource
from builders.progress import Silent
from tests.unit.archives import Keys
from tests.unit.sources.fetches import QUICK, Heard, fetch, git, repository

pytestmark = pytest.mark.slow


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    repository(tmp_path / "r")
    return tmp_path / "r"


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    with Keys() as made:
        yield made


def source(folder: Path, ref: str, **more: object) -> GitSource:
    return GitSource("xen", (str(folder),), ref=ref, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ref", "commit"), [("main", "main"), ("v2", "v2^{commit}"), ("a/b.c", "main~1")]
)
def test_a_branch_or_tag_is_the_commit_that_it_is_at(
    folder: Path, cache: Cache, ref: str, commit: str
) -> None:
    git(folder, "branch", "a/b.c", "main~1")
    heard = Heard()
    fetched = fetch(source(folder, ref), cache, heard)
    assert fetched.version == git(folder, "rev-parse", commit)
    assert any(f"{ref} is at {fetched.version}" in line for line in heard.lines)
    pinned = GitSource("xen", (str(folder),), fetched.version)
    assert fetch(pinned, cache).files[0].sha256 == fetched.files[0].sha256


def test_it_stays_until_it_is_asked_for_again(folder: Path, cache: Cache) -> None:
    first = fetch(source(folder, "main"), cache)
    (folder / "file").write_text("four\n")
    git(folder, "commit", "-qam", "four")
    assert fetch(source(folder, "main"), cache) == first
    (again,) = fetch_all([source(folder, "main")], cache, Silent(), refresh=True).values()
    assert again.version == git(folder, "rev-parse", "main")
    assert again.version != first.version


def test_what_is_not_there_or_two_things_is_refused(folder: Path, cache: Cache) -> None:
    with pytest.raises(BuildError, match="no branch or tag mian") as caught:
        fetch(source(folder, "mian"), cache)
    assert "main" in caught.value.message
    assert caught.value.exit == Exit.SOURCE
    git(folder, "branch", "v2")
    with pytest.raises(BuildError, match="a branch and a tag"):
        fetch(source(folder, "v2"), cache)


def test_a_pinned_commit_has_the_record_that_it_had(cache: Cache) -> None:
    commit = "1" * 40
    # As it was written before there was a `ref`.
    old = {"commit": commit, "kind": "GitSource", "name": "x", "scope": ""}
    name = hashlib.sha256(json.dumps(old, sort_keys=True).encode()).hexdigest()
    assert cache._record_path(GitSource("x", ("u",), commit), "").name == f"{name}.json"


def signed(folder: Path, keys: Keys, key: str, name: str, said: str = "") -> None:
    """Make the tag `name`, signed by a key; said: the name in what was signed."""
    commit = git(folder, "rev-parse", "main")
    text = (
        f"object {commit}\ntype commit\ntag {said or name}\n"
        "tagger A <a@example.org> 1350000000 +0000\n\nRelease\n"
    ).encode()
    whole = text + keys.sign(key, text, "20240101")
    command = ["git", "-C", str(folder), "hash-object", "-t", "tag", "-w", "--stdin"]
    made = subprocess.run(command, input=whole, capture_output=True, check=True).stdout.decode()
    git(folder, "update-ref", f"refs/tags/{name}", made.strip())


def taken(wanted: GitSource, cache: Cache) -> Fetched:
    trust = partial(tags.check, reporter=Silent())
    return fetch_all([wanted], cache, Silent(), patience=QUICK, trust=trust)[wanted.name]


def test_a_tag_counts_by_the_keys_that_are_listed(
    folder: Path, cache: Cache, keys: Keys, tmp_path: Path
) -> None:
    alice = keys.make("Alice <alice@example.org>", "20230101")
    mallory = keys.make("Mallory <mallory@example.org>", "20230101")
    ring = str(keys.keyring(tmp_path / "ring.gpg", alice, mallory))
    signed(folder, keys, alice, "v3")
    signed(folder, keys, mallory, "v4")
    signed(folder, keys, alice, "v5", said="v3")  # an old one by a new name
    git(folder, "tag", "light", "main")
    by_alice = {"signed_by": (alice,), "keyring": ring}

    assert taken(source(folder, "v3", **by_alice), cache).version == git(
        folder, "rev-parse", "main"
    )
    for name, why in {
        "v4": r"which sources\.xen\.signed_by does not list",
        "v5": "not the tag v5",
        "v2": "not signed",
        "light": "no annotated tag",
        "main": "only a tag can be signed",
    }.items():
        with pytest.raises(BuildError, match=why) as caught:
            taken(source(folder, name, **by_alice), cache)
        assert caught.value.exit == Exit.SOURCE
    # A tag that was changed after it was signed.
    raw = subprocess.run(
        ["git", "-C", str(folder), "cat-file", "tag", "v3"], capture_output=True, check=True
    ).stdout.replace(b"Release\n", b"Rilease\n")
    command = ["git", "-C", str(folder), "hash-object", "-t", "tag", "-w", "--stdin"]
    made = subprocess.run(command, input=raw, capture_output=True, check=True).stdout.decode()
    git(folder, "update-ref", "refs/tags/v3", made.strip())
    with pytest.raises(BuildError, match="changed afterwards"):
        taken(source(folder, "v3", **by_alice), Cache(tmp_path / "other"))
