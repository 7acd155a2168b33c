# SPDX-License-Identifier: GPL-2.0-or-later
"""Locks: what one says, that a run takes it and nothing else, and what is refused."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import documents
from builders.errors import BuildError, Exit
from builders.ground.sources import upstream
from builders.ground.sources.cache import Cache, Fetched
from builders.ground.suite import archive, image, mirror, pinned
from builders.ground.suite.archive import Lists, ReleaseState
from builders.ground.suite.image import Image
from builders.ground.suite.pinned import SNAPSHOT, PinnedFile, PinnedPackage
from builders.pipeline import lockfile, locking, outdated
from builders.pipeline.graph import Pipeline
from builders.pipeline.lockfile import (
    Lock,
    LockedFile,
    LockedPackage,
    LockedRelease,
    LockedSource,
    asked,
    asked_of,
    load,
    read,
    seal,
    text,
)
from builders.pipeline.run import Run
from builders.pipeline.supplies import Supplies
from builders.proofs.rebuild.reproduce import reproduce
from builders.show import locks
from tests.unit.engines import Heard
from tests.unit.samples import SHA256, recipe
from tests.unit.servers import Site, serve
from tests.unit.worlds import World, a_world

GCC, MAKE = b"gcc, packed" * 10, b"make, packed" * 10
MAIN, SECURITY = "http://mirror.example/debian", "http://mirror.example/security"
ADDRESSES = (f"suite.mirror={MAIN}", f"suite.security={SECURITY}")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def package(name: str, version: str, data: bytes, archive: str = "main") -> LockedPackage:
    path = f"pool/{name}_{version}_amd64.deb"
    return LockedPackage(name, version, "amd64", archive, path, len(data), sha256(data))


def a_lock(it: Any, **changes: Any) -> Lock:
    """A lock of the recipe `it`: every source as it would lie in a world's cache."""
    sources = []
    for name in lockfile.reads(it):
        data = f"{name} as it came".encode()
        place = ("main", f"pool/{name}.tar.gz") if name in ("linux", "tree") else ("", "")
        file = LockedFile(f"{name}.tar.gz", *place, len(data), sha256(data))
        version = "6.1.2-1" if name == "linux" else "1"
        sources.append(LockedSource(name, asked_of(it.sources[name]), version, (file,)))
    made = Lock(
        digest="",
        recipe=it.name,
        suite=it.suite.name,
        made="2026-11-01T00:00:00Z",
        snapshot="",
        releases=(
            LockedRelease("bookworm", "main", SHA256, "2026-10-30T20:00:00Z"),
            LockedRelease("bookworm-updates", "main", SHA256, "2026-10-31T08:00:00Z"),
            LockedRelease("bookworm-security", "security", SHA256, ""),
        ),
        asked=asked(it),
        sources=tuple(sources),
        packages=(package("gcc", "12", GCC), package("make", "4", MAKE)),
    )
    return seal(dataclasses.replace(made, **changes))


def put(folder: Path, lock: Lock) -> Path:
    at = folder / "good.lock"
    lockfile.write(lock, at)
    return at


def refused(folder: Path, data: bytes | str) -> BuildError:
    """The error for a lock with these bytes."""
    at = folder / "good.lock"
    at.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(BuildError) as caught:
        read(recipe(), at)
    assert caught.value.exit is Exit.USAGE
    assert "./inv lock --recipe good" in caught.value.hint
    return caught.value


# The file


def test_a_lock_lies_beside_the_recipe() -> None:
    assert lockfile.path("xen-4.17-bookworm").parts[-3:] == (
        "configs",
        "recipes",
        "xen-4.17-bookworm.lock",
    )
    assert lockfile.path("some/where/mine.toml") == Path("some/where/mine.lock")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    lock = a_lock(recipe())
    assert read(recipe(), put(tmp_path, lock)) == lock


def test_a_package_is_one_line_of_it() -> None:
    lines = [line for line in text(a_lock(recipe())).splitlines() if '"gcc"' in line]
    assert len(lines) == 1
    assert json.loads(lines[0].rstrip(","))["sha256"] == sha256(GCC)


def test_the_file_is_the_document_of_its_verb() -> None:
    lock = a_lock(recipe())
    said = locks.written(lock, Path("x/good.lock"), "good")
    assert json.loads(said.said("json")) == json.loads(text(lock))


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="there is no lock") as caught:
        read(recipe(), tmp_path / "good.lock")
    assert "./inv lock --recipe good" in caught.value.hint
    os.mkfifo(tmp_path / "good.lock")
    with pytest.raises(BuildError, match="is no file"):
        load(tmp_path / "good.lock")


# What is refused


def test_one_that_was_edited_is_refused(tmp_path: Path) -> None:
    edited = text(a_lock(recipe())).replace('"version": "12"', '"version": "13"')
    assert "was edited" in refused(tmp_path, edited).message


def test_one_of_another_suite_or_recipe_is_refused(tmp_path: Path) -> None:
    it = recipe()
    assert (
        "another recipe: other, not good"
        in refused(tmp_path, text(a_lock(it, recipe="other"))).message
    )
    assert (
        "another suite: trixie, not bookworm"
        in refused(tmp_path, text(a_lock(it, suite="trixie"))).message
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("builder.packages+=bc", "builder: packages: +bc"),
        ("builder.build_dep=xen", "builder: build dependencies: "),
        ("suite.pockets=[]", "builder: pockets: -security -updates"),
        ("sources.linux.version=6.2.*", "sources.linux: version: -6.1.* +6.2.*"),
        ("sources.xen.sha256=" + "0" * 64, "sources.xen: sha256: "),
    ],
)
def test_a_recipe_that_asks_for_something_else_by_now(
    tmp_path: Path, override: str, words: str
) -> None:
    at = put(tmp_path, a_lock(recipe()))
    with pytest.raises(BuildError) as caught:
        read(recipe(override), at)
    assert caught.value.exit is Exit.USAGE
    assert words in caught.value.message


def test_where_a_source_is_served_is_of_no_meaning(tmp_path: Path) -> None:
    at = put(tmp_path, a_lock(recipe()))
    assert read(recipe("sources.xen.urls=https://elsewhere.example/x.tar.gz"), at)


HOSTILE: list[dict[str, Any]] = [
    {"packages": [package("gcc", "12", GCC), package("gcc", "13", MAKE)]},
    {"packages": [dataclasses.replace(package("gcc", "12", GCC), path="../../etc/passwd")]},
    {"packages": [dataclasses.replace(package("gcc", "12", GCC), path="/etc/passwd")]},
    {"packages": [dataclasses.replace(package("gcc", "12", GCC), path="a\nb")]},
    {"packages": [dataclasses.replace(package("gcc", "12", GCC), path="pool/Packages")]},
    {"packages": [dataclasses.replace(package("gcc", "12", GCC), path="")]},
    {"packages": [dataclasses.replace(package("gcc", "12", GCC), package="gcc;reboot")]},
    {"packages": [dataclasses.replace(package("gcc", "12", GCC), package="-oDir=/")]},
    {"packages": [dataclasses.replace(package("gcc", "12", GCC), version="12 || x")]},
    {"packages": [dataclasses.replace(package("gcc", "12", GCC), archive="http://evil")]},
    {"packages": [dataclasses.replace(package("gcc", "12", GCC), sha256="0")]},
    {"packages": [dataclasses.replace(package("gcc", "12", GCC), size=-1)]},
    {"packages": [dataclasses.replace(package("gcc", "12", GCC), size=1 << 60)]},
    {"packages": [dataclasses.replace(package("gcc", "12", GCC), size=True)]},
    {"packages": [package(f"p{n}", "1", GCC) for n in range(5001)]},
    {"packages": [dataclasses.replace(package(f"p{n}", "1", GCC), size=1 << 33) for n in range(9)]},
    {"snapshot": "../../evil"},
    {"made": "yesterday"},
    {"recipe": "../x"},
    {"suite": "a b"},
    {"sources": [LockedSource("../x", {}, "1", ())]},
    {"sources": [LockedSource("linux", {}, "1", (LockedFile("../x", "", "", 1, SHA256),))]},
    {"asked": {"packages": 3}},
    {"releases": [LockedRelease("bookworm", "main", SHA256, "x")]},
]


@pytest.mark.slow
@pytest.mark.parametrize("changes", HOSTILE, ids=[str(n) for n in range(len(HOSTILE))])
def test_a_value_without_its_form_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    refused(tmp_path, text(a_lock(recipe(), **changes)))


def test_keys_that_a_lock_has_not(tmp_path: Path) -> None:
    table = json.loads(text(a_lock(recipe())))
    changes: list[dict[str, Any]] = [
        {"schema": 99},
        {"kind": "x"},
        {"more": 1},
        {"packages": {}},
        {"digest": 1},
    ]
    for change in changes:
        refused(tmp_path, json.dumps(table | change))
    refused(tmp_path, b"\xff")
    refused(tmp_path, "[" * 100_000)
    refused(tmp_path, "[]")
    for depth in (400, 900, 1500):
        refused(tmp_path, f'{{"kind": "lock", "made": {"[" * depth}{"]" * depth}}}')
    refused(tmp_path, b" " * (documents.LARGEST + 1))


@functools.cache
def _written() -> str:
    return text(a_lock(recipe()))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@given(key=st.sampled_from([f.name for f in dataclasses.fields(Lock)]), value=_JSON)
def test_anything_in_place_of_a_value_is_read_or_refused(key: str, value: Any) -> None:
    table = json.loads(_written()) | {key: value}
    if key != "digest":
        table["digest"] = lockfile._digest(
            {k: v for k, v in table.items() if k not in ("schema", "kind")}
        )
    with suppress(lockfile._WrongError):
        assert lockfile.parse(json.dumps(table).encode())


# What a locked run takes


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


def locked(world: World, **changes: Any) -> Run:
    """A run from a lock of what the world has."""
    run = world.run(*ADDRESSES)
    return dataclasses.replace(run, lock=a_lock(run.recipe, **changes))


@pytest.fixture
def named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The world's engine has an image of the recipe's own name."""

    def find(run: Run) -> Image:
        return Image(image.name(run.recipe), world.packages)

    monkeypatch.setattr(image, "find", find)


@pytest.mark.usefixtures("named")
def test_a_build_of_what_was_locked_is_a_hit(world: World) -> None:
    world.pipeline(*ADDRESSES).build()
    again = Pipeline(locked(world), "minimal", ["xen"])
    assert [s.state for s in again.explain()] == ["hit"] * 5
    assert again.ready()


def test_no_hours_of_compiling_begin_for_a_fresh_image(world: World) -> None:
    world.pipeline(*ADDRESSES).build()
    run = locked(world, packages=(package("gcc", "13", GCC), package("make", "4", MAKE)))
    before = len(world.client.execs)
    with pytest.raises(BuildError) as caught:
        reproduce(run, "minimal", ["xen"], fresh_image=True)
    assert "--locked" in caught.value.hint
    assert len(world.client.execs) == before


def test_an_image_that_was_not_locked_is_none(world: World) -> None:
    world.pipeline(*ADDRESSES).build()
    run = locked(world, packages=(package("gcc", "13", GCC), package("make", "4", MAKE)))
    states = {s.stage: s.state for s in Supplies(run).states(Supplies(run).outputs())}
    assert states["image"] == "miss"


def test_a_source_is_that_of_the_lock_whatever_was_fetched_since(world: World) -> None:
    newer = world.cache.adopt(_file(world, b"a newer kernel"), name="linux.tar.gz")
    run = locked(world)
    scope = mirror.scope(run.recipe.suite)
    linux = run.recipe.sources["linux"]
    world.cache.record(linux, Fetched("linux", "6.1.9-1", (newer,)), scope=scope)
    assert (
        Supplies(dataclasses.replace(run, lock=None, pinned=None)).resolved()["linux"].version
        == "6.1.9-1"
    )
    fetched = Supplies(run).resolved()["linux"]
    assert (fetched.version, fetched.files[0].sha256) == ("6.1.2-1", sha256(b"linux as it came"))


def _file(world: World, data: bytes) -> Path:
    path = world.folder.parent / "file"
    path.write_bytes(data)
    return path


def test_nothing_newer_is_asked_for(world: World) -> None:
    supplies = Supplies(locked(world))
    for ask in (supplies.fetch, supplies.image):
        with pytest.raises(BuildError) as caught:
            ask(refresh=True)
        assert "--again" in caught.value.hint


@pytest.mark.parametrize("tag", ["usual", "locked"])
def test_the_image_with_these_packages_is_taken_under_either_name(
    world: World, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = locked(world)
    assert run.pinned
    usual, own = image.name(run.recipe), image.locked_name(run.recipe, run.pinned)
    monkeypatch.undo()  # the real `find`
    there = {usual: "gcc 13 amd64\nmake 4 amd64\n", own: run.pinned.installed}
    if tag == "usual":
        there = {usual: run.pinned.installed}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image, "exists", lambda _, name: name in there)
        patch.setattr(image, "packages_of", lambda _, name: there[name])
        made = REAL_FIND(run)
        assert made == Image(usual if tag == "usual" else own, run.pinned.installed, usual)
        assert made.fingerprint == Image(usual, run.pinned.installed).fingerprint
        again = dataclasses.replace(run, pinned=dataclasses.replace(run.pinned, anew=True))
        assert REAL_FIND(again) is None


REAL_FIND = image.find  # before a world takes its place


# Where a file is served


def test_the_mirror_first_then_an_archive_of_all_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SNAPSHOT, "http://days.example/archive/")
    it = recipe(*ADDRESSES)
    times = a_lock(it).times()
    assert times == {"main": "20261031T200000Z"}  # half a day after the newest Release
    file = PinnedFile("a.deb", "main", "pool/a_1%3a2.deb", 1, SHA256)
    assert pinned.addresses(it.suite, file, times) == (
        f"{MAIN}/pool/a_1%253a2.deb",
        "http://days.example/archive/debian/20261031T200000Z/pool/a_1%253a2.deb",
    )
    snapshot = a_lock(it, snapshot="20260101T000000Z").times()
    assert snapshot == {"main": "20260101T000000Z", "security": "20260101T000000Z"}
    of_security = dataclasses.replace(file, archive="security", path="pool/a.deb")
    assert pinned.addresses(it.suite, of_security, snapshot) == (
        f"{SECURITY}/pool/a.deb",
        "http://days.example/archive/debian-security/20260101T000000Z/pool/a.deb",
    )
    monkeypatch.setenv(SNAPSHOT, "file:///etc")
    with pytest.raises(BuildError, match=SNAPSHOT):
        pinned.addresses(it.suite, file, times)


def test_what_the_mirror_dropped_comes_from_an_archive_of_all_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with Site() as site:
        monkeypatch.setenv(SNAPSHOT, f"{site.root}/all")
        it = recipe(f"suite.mirror={site.root}/debian", "suite.pockets=[]")
        lock = a_lock(it)
        site.pages["/debian/pool/gcc_12_amd64.deb"] = serve(GCC)
        run = Run(it, Heard(), tmp_path / "artifacts", Cache(tmp_path / "cache"), lock=lock)
        assert run.pinned
        with pytest.raises(BuildError) as caught:
            pinned.packages(run, run.pinned)
        assert caught.value.exit is Exit.SOURCE
        assert "1 of 2 locked packages can't be had: make 4" in caught.value.message
        assert SNAPSHOT in caught.value.hint
        assert "./inv lock --again" in caught.value.hint
        # A file of that name and size, and of other bytes, is not taken either.
        site.pages["/debian/pool/make_4_amd64.deb"] = serve(MAKE[::-1])
        site.pages["/all/debian/20261031T200000Z/pool/make_4_amd64.deb"] = serve(MAKE)
        files = pinned.packages(run, run.pinned)
        assert sorted(f.path.read_bytes() for f in files) == [GCC, MAKE]
        asked_before = len(site.requests)
        assert len(pinned.packages(run, run.pinned)) == 2
        assert len(site.requests) == asked_before


def test_a_source_that_the_mirror_lists_no_more_is_fetched_by_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with Site() as site:
        it = recipe(f"suite.mirror={site.root}/debian", "suite.pockets=[]")
        run = Run(it, Heard(), tmp_path / "artifacts", Cache(tmp_path / "cache"), lock=a_lock(it))
        site.pages["/debian/pool/linux.tar.gz"] = serve(b"linux as it came")
        fetched = Supplies(run, names=["linux"]).fetch()["linux"]
        assert fetched.version == "6.1.2-1"
        assert not [r.path for r in site.requests if "dists" in r.path]


# What is newer


class Offered:
    """Lists that `outdated` reads, without any mirror."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packages: list[tuple[Path, str]] = []

    def add(self, archive: str, name: str, version: str, digest: str = SHA256) -> None:
        path = self.folder / f"list-{len(self.packages)}"
        path.write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
            f"Filename: pool/{name}.deb\nSize: 16\nSHA256: {digest}\n"
        )
        self.packages.append((path, archive))

    def lists(self, *_: Any, **__: Any) -> Lists:
        states = (ReleaseState("bookworm", MAIN, SHA256, 1_790_000_000),)
        return Lists((), tuple(self.packages), (), states)


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offered:
    made = Offered(tmp_path)
    monkeypatch.setattr(archive, "lists", made.lists)
    monkeypatch.setattr(upstream, "references", lambda *_: {})
    return made


@pytest.mark.usefixtures("named")
def test_what_there_is_now_is_locked(world: World, offered: Offered) -> None:
    offered.add(SECURITY, "gcc", "12")
    offered.add(MAIN, "make", "3")
    offered.add(MAIN, "make", "4")
    run = world.run(*ADDRESSES)
    world.fill(run.recipe)
    with pytest.raises(BuildError) as caught:
        locking.lock(run)  # the mirror lists the kernel no more
    assert caught.value.exit is Exit.SOURCE
    assert "linux-source-6.1 linux-1" in caught.value.message
    offered.add(MAIN, "linux-source-6.1", "linux-1", sha256(b"linux as it came"))
    lock = locking.lock(run)
    assert [(p.package, p.version, p.archive) for p in lock.packages] == [
        ("gcc", "12", "security"),
        ("make", "4", "main"),
    ]
    linux = lock.source("linux")
    assert linux
    assert linux.files == (
        LockedFile(
            "linux.tar.gz", "main", "pool/linux-source-6.1.deb", 16, sha256(b"linux as it came")
        ),
    )
    assert lock.releases[0].date == "2026-09-21T14:13:20Z"
    assert lockfile.parse(text(lock).encode()) == lock
    # A lock made of it is at once a hit.
    states = Supplies(dataclasses.replace(run, lock=lock))
    assert {s.state for s in states.states(states.outputs())} == {"hit"}


def test_an_image_that_the_mirror_lists_no_more_is_not_locked(
    world: World, offered: Offered
) -> None:
    offered.add(MAIN, "make", "4")
    offered.add(MAIN, "gcc", "13")
    run = world.run(*ADDRESSES)
    world.fill(run.recipe)
    with pytest.raises(BuildError) as caught:
        locking.lock(run)
    assert caught.value.exit is Exit.SOURCE
    assert "1 of the 2 packages in the builder image: gcc 12" in caught.value.message
    assert "./inv lock --again" in caught.value.hint


@pytest.mark.parametrize(
    ("address", "time"),
    [
        (MAIN, ""),
        ("http://snapshot.example/archive/debian/20260101T000000Z", "20260101T000000Z"),
        ("http://snapshot.example/archive/debian/20260101T000000Z/", "20260101T000000Z"),
        ("http://snapshot.example/archive/20260101/debian", ""),
    ],
)
def test_the_time_of_a_mirror_that_is_a_snapshot(address: str, time: str) -> None:
    assert locking._snapshot(mirror.Mirror(address, "")) == time


def test_what_is_newer_and_what_is_for_security(world: World, offered: Offered) -> None:
    offered.add(MAIN, "gcc", "12")
    offered.add(MAIN, "make", "4.1")
    offered.add(SECURITY, "linux-source-6.1", "6.1.3-1")
    offered.add(MAIN, "linux-source-6.1", "6.1.4-1")
    offered.add(MAIN, "linux-source-6.1", "6.2.1-1")  # the recipe's glob does not admit it
    run = locked(world)
    assert run.lock
    compared = outdated.compare(run, outdated.of_lock(run.lock))
    found = {(n.name, n.old, n.new): n.security for n in compared.newer}
    assert found == {("linux", "6.1.2-1", "6.1.4-1"): True, ("make", "4", "4.1"): False}
    assert compared.unknown == ("xen",)
    said = locks.outdated(compared, "good")
    assert said.code == Exit.AUDIT
    assert "2 newer than the lock, 1 of them for security" in said.said("table")


def test_what_is_listed_and_not_served_is_told(world: World, offered: Offered) -> None:
    offered.add(SECURITY, "linux-source-6.1", "6.1.3-1")
    run = locked(world)
    assert run.lock
    source, scope = run.recipe.sources["linux"], mirror.scope(run.recipe.suite)
    file = world.cache.adopt(_file(world, b"linux as it came"), name="linux.tar.gz")
    fetched = Fetched("linux", "6.1.2-1", (file,), unserved=("6.1.3-1",))
    world.cache.record(source, fetched, scope=scope)
    said = locks.outdated(outdated.compare(run, outdated.of_lock(run.lock)), "good")
    assert said.code == Exit.AUDIT
    assert "could not serve it" in said.said("table")
    assert [entry["served"] for entry in json.loads(said.said("json"))["newer"]] == [False]


def test_nothing_newer_is_status_0(world: World, offered: Offered) -> None:
    offered.add(MAIN, "gcc", "12")
    run = locked(world)
    assert run.lock
    said = locks.outdated(outdated.compare(run, outdated.of_lock(run.lock)), "good")
    assert said.code == 0


def test_a_repository_that_does_not_answer_is_told(
    world: World, offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not offered.packages

    def references(*_: Any) -> dict[str, str]:
        raise BuildError("source seabios could not be asked: x", exit=Exit.SOURCE)

    monkeypatch.setattr(upstream, "references", references)
    run = locked(world)
    assert run.lock
    said = locks.outdated(outdated.compare(run, outdated.of_lock(run.lock)), "good")
    assert said.code == Exit.SOURCE
    assert "could not be asked" in said.said("table")


def test_what_was_built_is_compared_where_there_is_no_lock(world: World, offered: Offered) -> None:
    world.pipeline(*ADDRESSES).build()
    offered.add(MAIN, "make", "4.1")
    run = world.run(*ADDRESSES)
    state = outdated.of_built(run)
    assert state.packages == {"gcc": "12", "make": "4"}
    assert state.sources == {"xen": "xen-1", "seabios": "seabios-1"}
    assert [n.name for n in outdated.compare(run, state).newer] == ["make"]


A, B, C = "a" * 40, "b" * 40, "c" * 40
LISTING = f"""\
{B}\trefs/heads/stable-4.22
{A}\trefs/heads/staging-4.22
{C}\trefs/tags/RELEASE-4.22.0
{A}\trefs/tags/RELEASE-4.22.0^{{}}
{B}\trefs/tags/RELEASE-4.22.1
{C}\trefs/tags/RELEASE-4.23.0
{C}\trefs/tags/4.22.2-rc1
\x1b[31m\trefs/tags/RELEASE-4.22.9
"""


def test_upstream_s_releases_of_one_series_and_its_stable_branch() -> None:
    names = upstream.parse(LISTING)
    assert names["refs/tags/RELEASE-4.22.0"] == A  # the commit, not the tag's own
    assert "refs/tags/RELEASE-4.22.9" not in names
    found = [(n.name, n.commit, n.stable) for n in upstream.newer(names, A)]
    assert found == [("RELEASE-4.22.1", B, False), ("stable-4.22", B, True)]
    assert upstream.newer(names, B) == []
    assert upstream.newer(names, "d" * 40) == []  # no release: nobody knows its series
    kernel = upstream.parse(f"{A}\trefs/tags/v6.12.3\n{B}\trefs/heads/linux-6.12.y\n")
    assert [n.name for n in upstream.newer(kernel, A)] == ["linux-6.12.y"]


@pytest.mark.slow
@given(st.text(max_size=200))
def test_any_listing_is_read(listing: str) -> None:
    assert isinstance(upstream.newer(upstream.parse(listing), A), list)


def test_the_pinned_packages_are_those_of_the_lock() -> None:
    made = a_lock(recipe()).pinned()
    file = PinnedFile("gcc_12_amd64.deb", "main", "pool/gcc_12_amd64.deb", len(GCC), sha256(GCC))
    assert made.packages[0] == PinnedPackage("gcc", "12", "amd64", file)
    assert made.installed == "gcc 12 amd64\nmake 4 amd64\n"
