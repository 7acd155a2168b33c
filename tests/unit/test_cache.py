# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import multiprocessing
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builders.errors import BuildError, Exit, Interrupted
from builders.ground.sources.cache import Cache, CachedFile, Fetched, WrongDigest, file_name
from builders.ground.sources.storage import storage_error
from builders.pipeline.recipe import DebianSource, GitSource, Pooled, UrlSource

DATA = b"xen" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()
SOURCE = UrlSource("xen", ("https://example.org/a/xen-4.2.0.tar.gz",), DIGEST)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def put(cache: Cache, data: bytes = DATA, name: str = "xen-4.2.0.tar.gz") -> CachedFile:
    with cache.scratch() as folder:
        path = folder / name
        path.write_bytes(data)
        return cache.adopt(path)


def files(cache: Cache) -> list[str]:
    return sorted(p.name for p in cache.root.glob("sha256/*/*"))


def damage(file: CachedFile, data: bytes) -> None:
    file.path.chmod(0o644)
    file.path.write_bytes(data)


def test_adopt_takes_the_file_away_and_makes_it_read_only(cache: Cache, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(DATA)
    file = cache.adopt(outside, DIGEST, name="xen.tar")
    assert file == CachedFile("xen.tar", DIGEST, len(DATA), cache.path(DIGEST))
    assert file.path.read_bytes() == DATA
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o444
    assert not outside.exists()
    assert cache.has(DIGEST)
    assert cache.has(DIGEST, len(DATA))
    assert not cache.has(DIGEST, len(DATA) + 1)
    assert list(cache.root.glob("tmp/*")) == []


def test_adopt_can_leave_the_file_where_it_is(cache: Cache, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(DATA)
    outside.chmod(0o640)
    cache.adopt(outside, DIGEST, keep=True)
    assert outside.read_bytes() == DATA
    assert stat.S_IMODE(outside.stat().st_mode) == 0o640
    outside.write_bytes(b"changed later")
    assert cache.path(DIGEST).read_bytes() == DATA


def test_a_file_with_a_second_link_is_copied(cache: Cache, tmp_path: Path) -> None:
    with cache.scratch() as folder:
        path = folder / "one"
        path.write_bytes(DATA)
        (tmp_path / "two").hardlink_to(path)
        cache.adopt(path, DIGEST)
    (tmp_path / "two").write_bytes(b"written through the other name")
    assert cache.path(DIGEST).read_bytes() == DATA


@pytest.mark.parametrize("inside", [True, False])
def test_wrong_bytes_never_enter(cache: Cache, tmp_path: Path, inside: bool) -> None:
    with cache.scratch() as folder:
        path = (folder if inside else tmp_path) / "bad"
        path.write_bytes(b"bad")
        with pytest.raises(WrongDigest) as caught:
            cache.adopt(path, DIGEST)
        assert path.read_bytes() == b"bad"
    assert caught.value.actual == hashlib.sha256(b"bad").hexdigest()
    assert caught.value.size == 3
    assert files(cache) == []


def test_what_is_no_regular_file_is_refused(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(DATA)
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo", "missing"):
        with pytest.raises(OSError, match=name):
            cache.adopt(tmp_path / name, DIGEST)
    assert files(cache) == []


def test_a_digest_is_64_digits(cache: Cache) -> None:
    for wrong in ("", "../../etc/passwd", DIGEST.upper(), DIGEST + "0"):
        with pytest.raises(ValueError, match="sha256"):
            cache.path(wrong)


def test_lookup_reads_the_bytes(cache: Cache) -> None:
    notes: list[str] = []
    assert cache.lookup(DIGEST, name="x", note=notes.append) is None
    file = put(cache)
    assert cache.lookup(DIGEST, name="x", note=notes.append) == CachedFile(
        "x", DIGEST, len(DATA), file.path
    )
    assert notes == []
    damage(file, b"y" * len(DATA))
    assert cache.lookup(DIGEST, name="x", note=notes.append) is None
    assert len(notes) == 1
    assert "set aside" in notes[0]
    assert str(file.path) in notes[0]
    assert files(cache) == []


def test_a_record_comes_back(cache: Cache) -> None:
    assert cache.resolved(SOURCE) is None
    fetched = Fetched("xen", DIGEST, (put(cache), put(cache, b"", "empty")))
    cache.record(SOURCE, fetched)
    assert Cache(cache.root).resolved(SOURCE) == fetched
    assert Cache(cache.root).resolved(SOURCE, verify=True) == fetched


def test_what_the_record_goes_by(cache: Cache) -> None:
    fetched = Fetched("xen", DIGEST, (put(cache),))
    cache.record(SOURCE, fetched)
    mirror = UrlSource("xen", ("https://example.net/xen-4.2.0.tar.gz",), DIGEST)
    renamed = UrlSource("xen", ("https://example.net/other.tar.gz",), DIGEST)
    assert cache.resolved(mirror) == fetched
    assert cache.resolved(renamed) is None
    assert cache.resolved(UrlSource("xen", SOURCE.urls, "0" * 64)) is None

    assert cache.resolved(SOURCE, scope="trixie") == fetched  # pinned: no suite changes it

    suite = DebianSource("linux", "linux", "6.1.*")
    cache.record(suite, Fetched("linux", "6.1.2-1", fetched.files), scope="bookworm")
    assert cache.resolved(suite, scope="trixie") is None
    pooled = Pooled("6.1.1-1", "pool/main/l/linux/linux_6.1.1.orig.tar.xz", "0" * 64)
    assert cache.resolved(replace(suite, pooled=pooled), scope="bookworm") is None
    found = cache.resolved(suite, scope="bookworm")
    assert found is not None
    assert found.version == "6.1.2-1"

    tree = GitSource("bios", ("https://example.org/bios.git",), "1" * 40)
    cache.record(tree, Fetched("bios", "1" * 40, fetched.files))
    assert cache.resolved(GitSource("bios", ("/srv/bios",), "1" * 40)) is not None
    assert cache.resolved(GitSource("bios", tree.urls, "2" * 40)) is None


@pytest.mark.parametrize("verify", [True, False])
def test_a_truncated_file_is_thrown_away_with_a_note(cache: Cache, verify: bool) -> None:
    file = put(cache)
    cache.record(SOURCE, Fetched("xen", DIGEST, (file,)))
    damage(file, DATA[:-1])
    notes: list[str] = []
    assert cache.resolved(SOURCE, verify=verify, note=notes.append) is None
    assert f"{len(DATA) - 1} bytes instead of {len(DATA)}" in notes[0]
    assert not file.path.exists()


def test_a_flipped_bit_is_found_on_verify(cache: Cache) -> None:
    file = put(cache)
    fetched = Fetched("xen", DIGEST, (file,))
    cache.record(SOURCE, fetched)
    damage(file, DATA[:-1] + b"m")
    assert cache.resolved(SOURCE) == fetched
    notes: list[str] = []
    assert cache.resolved(SOURCE, verify=True, note=notes.append) is None
    assert len(notes) == 1
    assert files(cache) == []


def test_a_new_copy_heals_a_damaged_file(cache: Cache) -> None:
    damage(put(cache), b"damaged")
    assert put(cache).path.read_bytes() == DATA


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"version": 1, "files": []}',
        b'{"version": "1", "files": [{"name": "x", "sha256": "../../../etc/shadow", "size": 1}]}',
        b'{"version": "1", "files": [{"name": 5, "sha256": 7, "size": null}]}',
    ],
)
def test_a_damaged_record_is_thrown_away(cache: Cache, text: bytes) -> None:
    cache.record(SOURCE, Fetched("xen", DIGEST, (put(cache),)))
    (record,) = cache.root.glob("resolved/*.json")
    record.write_bytes(text)
    notes: list[str] = []
    assert cache.resolved(SOURCE, note=notes.append) is None
    assert "damaged" in notes[0]
    assert not record.exists()


def test_a_record_without_files_is_no_result(cache: Cache) -> None:
    cache.record(SOURCE, Fetched("xen", DIGEST, ()))
    assert cache.resolved(SOURCE) is None


def _adopt_often(root: Path, start: Callable[[], object]) -> None:
    cache = Cache(root)
    start()
    for _ in range(30):
        with cache.scratch() as folder:
            (folder / "x").write_bytes(DATA)
            cache.adopt(folder / "x", DIGEST)
        cache.record(SOURCE, Fetched("xen", DIGEST, (CachedFile("x", DIGEST, 3000, Path()),)))
        if cache.path(DIGEST).read_bytes() != DATA or cache.resolved(SOURCE) is None:
            raise AssertionError("a reader saw something half-made")


@pytest.mark.slow
def test_processes_may_add_the_same_file_at_once(cache: Cache) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    workers = [
        context.Process(target=_adopt_often, args=(cache.root, barrier.wait)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert files(cache) == [DIGEST]
    assert list(cache.root.glob("tmp/*")) == []


def _count_up(root: Path, times: int) -> None:
    for _ in range(times):
        with Cache(root).partial(DIGEST) as partial:
            size = partial.size()
            with partial.open(size) as out:
                out.write(b"x")
            if partial.size() != size + 1:
                raise AssertionError("somebody else wrote the partial file")


@pytest.mark.slow
def test_only_one_process_holds_a_partial(cache: Cache) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_count_up, args=(cache.root, 5)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with cache.partial(DIGEST) as partial:
        assert partial.size() == 15


def test_a_partial_is_kept_until_it_is_taken(cache: Cache) -> None:
    with cache.partial(DIGEST) as partial:
        with partial.open(0) as out:
            out.write(DATA[:10])
        partial.came_from(url="https://example.org/x", etag='"1"')
    with cache.partial(DIGEST) as partial:
        assert partial.size() == 10
        assert partial.origin() == {"url": "https://example.org/x", "etag": '"1"'}
        with partial.open(10) as out:
            out.write(DATA[10:])
        cache.adopt(partial.path, DIGEST)
    assert files(cache) == [DIGEST]
    assert list(cache.root.glob("partial/*")) == []


def test_a_damaged_origin_is_no_origin(cache: Cache) -> None:
    with cache.partial(DIGEST) as partial:
        for text in ("", "[]", '{"etag": 1}'):
            partial.path.with_suffix(".json").write_text(text)
            assert partial.origin() == {}


def test_a_lock_on_a_file_that_was_just_removed_is_none(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last holder removes the lock file between another one's open and flock."""
    lock = cache.root / "partial" / f"{DIGEST}.lock"
    real = fcntl.flock
    calls: list[int] = []

    def flock(held: int, operation: int) -> None:
        real(held, operation)
        calls.append(held)
        if len(calls) == 1:
            lock.unlink()

    monkeypatch.setattr(fcntl, "flock", flock)
    with cache.partial(DIGEST), lock.open("rb") as other:
        assert len(calls) == 2
        with pytest.raises(BlockingIOError):
            real(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_waiting_for_a_partial_can_be_stopped(cache: Cache) -> None:
    told: list[int] = []
    stop = threading.Event()

    def waiting() -> None:
        told.append(1)
        stop.set()

    again = cache.partial(DIGEST, stop=stop, waiting=waiting)
    with cache.partial(DIGEST), pytest.raises(Interrupted), again:
        pass
    assert told == [1]


def test_prune_keeps_what_is_named_and_what_is_held(cache: Cache) -> None:
    kept, gone = put(cache), put(cache, b"gone" * 500, "gone")
    cache.record(SOURCE, Fetched("xen", DIGEST, (kept,)))
    other = UrlSource("gone", ("https://example.org/gone",), gone.sha256)
    cache.record(other, Fetched("gone", gone.sha256, (gone,)))
    with cache.partial("1" * 64) as partial, partial.open(0) as out:
        out.write(b"left over")
    with cache.partial("2" * 64) as held, cache.scratch() as folder:
        with held.open(0) as out:
            out.write(b"under way")
        (cache.root / "tmp" / "left").mkdir()
        before = cache.size()
        freed = cache.prune({DIGEST})
        assert freed == before - cache.size() >= 2000
        assert folder.is_dir()
        assert held.size() == 9
    assert files(cache) == [DIGEST]
    assert cache.resolved(SOURCE, verify=True) is not None
    assert cache.resolved(other) is None
    assert len(list(cache.root.glob("resolved/*"))) == 1
    assert not list(cache.root.glob(f"partial/{'1' * 64}*"))
    assert not (cache.root / "tmp" / "left").exists()


def test_an_empty_cache_has_no_size(cache: Cache) -> None:
    assert cache.size() == 0
    assert cache.prune() == 0


def test_default_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Cache.default().root == tmp_path / "xdg" / "dom0-debs"
    for ignored in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert Cache.default().root == tmp_path / ".cache" / "dom0-debs"


def test_a_root_that_cannot_be_made_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BuildError) as caught, Cache(tmp_path / "file" / "cache").scratch():
        pass
    assert caught.value.exit == Exit.SOURCE
    assert str(tmp_path / "file") in caught.value.message
    assert "XDG_CACHE_HOME" in caught.value.hint


def test_a_full_disk_says_where_and_how_much(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    error = storage_error(full, tmp_path, 5 << 20)
    assert str(tmp_path) in error.message
    assert "needed: 5.0 MiB" in error.message
    assert "free" in error.message
    assert "No space left" in error.message
    assert "free some space" in error.hint
    assert "make it writable" in storage_error(OSError(errno.EROFS, "ro"), tmp_path).hint


@pytest.mark.parametrize(
    ("url", "filename", "expected"),
    [
        ("https://example.org/a/b.tar.gz", "", "b.tar.gz"),
        ("https://example.org/a/b.tar.gz?x=/y#z", "", "b.tar.gz"),
        ("https://example.org/a%20b.tar", "", "a b.tar"),
        ("https://example.org/", "x.tar", "x.tar"),
    ],
)
def test_file_name(url: str, filename: str, expected: str) -> None:
    assert file_name(UrlSource("x", (url,), DIGEST, filename=filename)) == expected


@pytest.mark.parametrize(
    ("url", "filename"),
    [
        ("https://example.org/", ""),
        ("https://example.org/a/..", ""),
        ("https://example.org/a%2Fb", ""),
        ("https://[bad/a", ""),
        ("https://example.org/a%1bb", ""),
        ("https://example.org/a", "../a"),
    ],
)
def test_what_is_no_file_name(url: str, filename: str) -> None:
    with pytest.raises(BuildError) as caught:
        file_name(UrlSource("x", (url,), DIGEST, filename=filename))
    assert "sources.x.filename" in caught.value.hint


def test_a_record_is_plain_json(cache: Cache) -> None:
    cache.record(SOURCE, Fetched("xen", DIGEST, (put(cache),)))
    (record,) = cache.root.glob("resolved/*.json")
    raw = json.loads(record.read_text())
    assert raw["files"] == [{"name": "xen-4.2.0.tar.gz", "sha256": DIGEST, "size": len(DATA)}]
    assert raw["source"]["kind"] == "UrlSource"


def test_a_cache_that_can_not_be_has_no_damaged_records(tmp_path: Path) -> None:
    """XDG_CACHE_HOME names a file: nothing is there, and nothing was thrown away."""
    (tmp_path / "file").touch()
    notes: list[str] = []
    assert Cache(tmp_path / "file" / "dom0-debs").resolved(SOURCE, note=notes.append) is None
    assert notes == []
