# SPDX-License-Identifier: GPL-2.0-or-later
"""What an address is found to serve, without all of it being read."""

from __future__ import annotations

import hashlib
import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.ground.sources import serving
from builders.ground.sources.address import Failed, Patience
from builders.ground.sources.cache import Cache
from builders.ground.sources.pins import GitSource, UrlSource
from builders.ground.sources.serving import Served
from tests.unit.servers import (
    Behaviour,
    Exchange,
    Site,
    garbage,
    page,
    reset,
    serve,
    stall,
    status,
    unannounced,
)

LARGE = b"\x1f\x8b" + random.Random(2).randbytes(serving._CHEAP + 5000)  # noqa: S311 - only varies
DIGEST = hashlib.sha256(LARGE).hexdigest()
SMALL = LARGE[:4000]


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Patience(connect=2, stall=0.3, answer=0.5, attempts=1, silence=10)
    monkeypatch.setattr(serving, "PATIENCE", quick)


def look(
    site: Site,
    cache: Cache,
    behaviour: Behaviour,
    *,
    data: bytes = LARGE,
    size: int | None = None,
    full: bool = False,
) -> Served:
    site.pages["/file.tar.gz"] = behaviour
    source = UrlSource("x", (site.url,), hashlib.sha256(data).hexdigest(), size)
    return serving.serves(source, site.url, cache, threading.Event(), full=full)


def cached(cache: Cache, folder: Path) -> None:
    (folder / "copy").write_bytes(LARGE)
    cache.adopt(folder / "copy", DIGEST)


def sent(site: Site) -> list[tuple[str, str]]:
    return [(r.method, r.headers.get("Range", "")) for r in site.requests]


def test_of_a_large_file_the_ends_are_compared_with_a_copy(
    site: Site, cache: Cache, tmp_path: Path
) -> None:
    cached(cache, tmp_path)
    served = look(site, cache, serve_ends(LARGE), size=len(LARGE))
    assert not served.proven
    assert f"{len(LARGE)} bytes, as pinned" in served.why
    assert "its first and last 1024 bytes are those of the cached file" in served.why
    assert sent(site) == [("HEAD", ""), ("GET", "bytes=0-1023"), ("GET", "bytes=-1024")]


def serve_ends(data: bytes) -> Behaviour:
    """Serve `data`, and both forms of a range."""

    def behave(exchange: Exchange) -> None:
        span = exchange.headers.get("Range", "")
        if not span.startswith("bytes=-"):
            serve(data)(exchange)
            return
        part = data[-int(span.removeprefix("bytes=-")) :]
        begin = len(data) - len(part)
        said = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}
        exchange.begin(206, {**said, "Content-Length": len(part)})
        exchange.body(part)

    return behave


@pytest.mark.parametrize("at", [0, -1])
def test_another_beginning_or_end_than_the_copys(
    site: Site, cache: Cache, tmp_path: Path, at: int
) -> None:
    cached(cache, tmp_path)
    changed = bytearray(LARGE)
    changed[at] ^= 1
    with pytest.raises(Failed, match="begins otherwise" if at == 0 else "ends otherwise"):
        look(site, cache, serve_ends(bytes(changed)))


def test_another_length_than_the_copys(site: Site, cache: Cache, tmp_path: Path) -> None:
    cached(cache, tmp_path)
    with pytest.raises(Failed, match=f"has {len(LARGE) + 1} bytes, the cached one"):
        look(site, cache, serve_ends(LARGE + b"x"))


def test_without_a_copy_it_is_said_what_was_compared(site: Site, cache: Cache) -> None:
    served = look(site, cache, serve(LARGE, ranges=False))
    assert not served.proven
    assert "it begins as a file of that kind" in served.why
    assert "no copy in the cache" in served.why
    assert "the server gives no part of a file" in served.why
    with pytest.raises(Failed, match="does not begin as"):
        look(site, cache, serve(b"plain" + LARGE))


def test_a_small_file_is_proven_by_its_digest(site: Site, cache: Cache) -> None:
    assert look(site, cache, serve(SMALL), data=SMALL) == Served(True, "the pinned sha256")
    with pytest.raises(Failed, match="its sha256 is"):
        look(site, cache, serve(SMALL[:-1] + b"x"), data=SMALL)


def test_full_reads_all_of_it_and_keeps_nothing(site: Site, cache: Cache) -> None:
    assert look(site, cache, serve(LARGE), full=True).proven
    changed = LARGE[:5000] + b"x" + LARGE[5001:]
    with pytest.raises(Failed, match=r"its sha256 is [0-9a-f]{64}, not"):
        look(site, cache, serve(changed), full=True)
    assert not cache.has(DIGEST)


def test_a_redirect_is_named(site: Site, cache: Cache) -> None:
    site.pages["/moved.tar.gz?token=1"] = serve(SMALL)
    there = f"{site.root}/moved.tar.gz"
    served = look(site, cache, status(302, {"Location": f"{there}?token=1"}), data=SMALL)
    assert served.why == f"the pinned sha256, by way of {there}"


def test_a_server_that_refuses_head(site: Site, cache: Cache) -> None:
    def behave(exchange: Exchange) -> None:
        (status(405) if exchange.command == "HEAD" else serve(SMALL))(exchange)

    assert look(site, cache, behave, data=SMALL).proven


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (page("for sale"), r'HTML page \(title: "for sale"\)'),
        (status(404), "HTTP 404"),
        (status(503), "HTTP 503"),
        (stall, "the server stalled"),
        (reset, "connection reset|closed the connection"),
        (garbage, "makes no sense"),
        (status(302, {"Location": "file:///etc/passwd"}), "not http or https"),
        (serve(LARGE, upto=0, end=stall), "stalled"),
        (unannounced(b""), "does not begin as"),
    ],
)
def test_what_does_not_serve_it(site: Site, cache: Cache, behaviour: Behaviour, why: str) -> None:
    with pytest.raises(Failed, match=why):
        look(site, cache, behaviour)


def test_of_a_file_without_an_end_no_more_is_read_than_is_compared(
    site: Site, cache: Cache
) -> None:
    def behave(exchange: Exchange) -> None:
        exchange.begin(200, {})
        exchange.body(LARGE[:2])
        while not exchange.site.closing.wait(0.01):
            exchange.body(bytes(4096))

    assert "no length said" in look(site, cache, behave).why
    with pytest.raises(Failed, match="sends more than 3000 bytes"):
        look(site, cache, behave, size=3000, full=True)


def test_nobody_listens(cache: Cache) -> None:
    source = UrlSource("x", ("http://127.0.0.1:9/x.tar.gz",), DIGEST)
    with pytest.raises(Failed, match="connection refused"):
        serving.serves(source, source.urls[0], cache, threading.Event(), full=False)


def test_a_file_of_this_box(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(SMALL)
    source = UrlSource("x", (f"file://{tmp_path}/x",), hashlib.sha256(SMALL).hexdigest())
    assert serving.serves(source, source.urls[0], cache, threading.Event(), full=False).proven
    (tmp_path / "x").write_bytes(b"y")
    with pytest.raises(Failed, match="its sha256 is"):
        serving.serves(source, source.urls[0], cache, threading.Event(), full=False)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A repository, the commit of its tag, and one that no ref is at."""
    folder = tmp_path_factory.mktemp("git")

    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
        command = ["git", *who, *words]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch=master")
    commits = []
    for n in range(3):
        git("commit", "--quiet", "--allow-empty", "--message", str(n))
        commits.append(git("rev-parse", "HEAD"))
    git("tag", "--annotate", "--message", "x", "rel-1", commits[0])
    return folder, commits[0], commits[1]


@pytest.mark.slow
def test_a_repository(repository: tuple[Path, str, str], cache: Cache) -> None:
    folder, tagged, between = repository

    def ask(commit: str, *, full: bool = False) -> Served:
        source = GitSource("bios", (str(folder),), commit)
        return serving.serves(source, str(folder), cache, threading.Event(), full=full)

    assert ask(tagged) == Served(True, "the pinned commit is at refs/tags/rel-1")
    assert not ask(between).proven
    assert "--full fetches it" in ask(between).why
    assert ask(between, full=True) == Served(True, "the pinned commit was fetched")
    with pytest.raises(Failed, match="is not in that repository"):
        ask("0" * 39 + "1", full=True)
    folder = folder / "none"
    with pytest.raises(Failed):
        ask(tagged)
