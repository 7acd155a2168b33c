# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import dataclasses
import email.utils
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.errors import BuildError, Exit, Interrupted
from builders.progress import Reporter, Silent, Task
from builders.recipe import DebianPackage, DebianSource, GitSource, Source, UrlSource
from builders.sources.address import Patience, shown
from builders.sources.cache import Cache, Fetched
from builders.sources.fetching import DebianResult, fetch_all, reachable
from tests.unit import servers
from tests.unit.servers import Site, serve

ROOT = Path(__file__).resolve().parents[2]
DATA = b"\x1f\x8b" + random.Random(1).randbytes(300_000)  # noqa: S311 - only has to vary
DIGEST = hashlib.sha256(DATA).hexdigest()
QUICK = Patience(connect=2, stall=0.15, attempts=3, pause=0.001, longest=0.05, silence=5)
DEAD = "http://127.0.0.1:9/file.tar.gz"  # discard: nothing listens there


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy between the tests and their own servers."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


class Heard(Silent):
    """A Reporter that remembers."""

    def __init__(self, on_bytes: Callable[[int], None] = lambda _: None) -> None:
        self.lines: list[str] = []
        self.labels: list[str] = []
        self.phases: list[str] = []
        self.sum = 0
        self.wanted = 0
        self.on_bytes = on_bytes

    def line(self, text: str) -> None:
        self.lines.append(text)

    def transfer(self, label: str) -> Task:
        self.labels.append(label)
        return _HeardTask(self)


class _HeardTask:
    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def total(self, amount: int) -> None:
        self._heard.wanted = amount

    def advance(self, amount: int) -> None:
        self._heard.sum += amount
        self._heard.on_bytes(self._heard.sum)

    def show(self, phase: str, detail: str = "") -> None:
        self._heard.phases.append(f"{phase} {detail}".strip())

    def __enter__(self) -> _HeardTask:
        return self

    def __exit__(self, *_: object) -> None: ...


def source(*urls: str, sha256: str = DIGEST, size: int | None = None, name: str = "") -> UrlSource:
    return UrlSource("xen", urls, sha256, size, name)


def fetch(
    wanted: Source,
    cache: Cache,
    reporter: Reporter | None = None,
    *,
    patience: Patience = QUICK,
    offline: bool = False,
    cancel: threading.Event | None = None,
) -> Fetched:
    return fetch_all(
        [wanted],
        cache,
        reporter or Silent(),
        offline=offline,
        patience=patience,
        cancel=cancel,
    )[wanted.name]


def failure(wanted: Source, cache: Cache, *, patience: Patience = QUICK) -> BuildError:
    with pytest.raises(BuildError) as caught:
        fetch(wanted, cache, patience=patience)
    assert caught.value.exit == Exit.SOURCE
    assert files(cache) == []
    return caught.value


def files(cache: Cache) -> list[str]:
    return sorted(p.name for p in cache.root.glob("sha256/*/*"))


def partials(cache: Cache) -> list[int]:
    return [p.stat().st_size for p in cache.root.glob("partial/*") if not p.suffix]


# -- addresses: what goes well ------------------------------------------------


def test_a_file_arrives_and_is_not_asked_for_again(cache: Cache) -> None:
    heard = Heard()
    with Site(serve(DATA)) as site:
        fetched = fetch(source(site.url), cache, heard)
        again = fetch(source(site.url), cache)
        assert len(site.requests) == 1
        assert site.requests[0].headers["Accept-Encoding"] == "identity"
    assert again == fetched
    assert fetched.version == DIGEST
    (file,) = fetched.files
    assert (file.name, file.sha256, file.size) == ("file.tar.gz", DIGEST, len(DATA))
    assert file.path.read_bytes() == DATA
    assert heard.labels == ["xen"]
    assert heard.sum == heard.wanted == len(DATA)
    assert partials(cache) == []
    assert list(cache.root.glob("partial/*")) == []
    assert list(cache.root.glob("tmp/*")) == []


def test_results_come_in_the_order_of_the_sources(cache: Cache) -> None:
    data = {f"s{n}": f"data {n}".encode() for n in range(8)}
    pages = {f"/{name}.tar": serve(content) for name, content in data.items()}
    with Site(pages=pages) as site:
        wanted = [
            UrlSource(n, (f"{site.root}/{n}.tar",), hashlib.sha256(c).hexdigest(), len(c))
            for n, c in data.items()
        ]
        found = fetch_all(wanted, cache, Silent(), jobs=3, patience=QUICK)
    assert list(found) == list(data)
    assert {n: f.files[0].path.read_bytes() for n, f in found.items()} == data


def test_two_sources_with_the_same_content_are_one_download(cache: Cache) -> None:
    with Site(serve(DATA)) as site:
        one = UrlSource("one", (site.url,), DIGEST)
        two = UrlSource("two", (f"{site.root}/other.tar",), DIGEST)
        found = fetch_all([one, two], cache, Silent(), patience=QUICK)
        assert len(site.requests) == 1
    assert found["one"].files[0].path == found["two"].files[0].path
    assert found["two"].files[0].name == "other.tar"


def test_a_file_that_is_cached_without_a_record_is_used(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA)
    cache.adopt(tmp_path / "x", DIGEST)
    assert fetch(source(DEAD), cache, offline=True).files[0].size == len(DATA)


def test_a_wrong_size_in_the_recipe_costs_no_good_file(cache: Cache) -> None:
    with Site(serve(DATA)) as site:
        fetch(source(site.url), cache)
        with pytest.raises(BuildError, match=r"xen\.size: .* has 300002 bytes") as caught:
            fetch(source(site.url, size=5), cache)
        assert len(site.requests) == 1
    assert caught.value.exit == Exit.USAGE
    assert files(cache) == [DIGEST]


def test_a_file_of_this_box(cache: Cache, tmp_path: Path) -> None:
    local = tmp_path / "a b.tar.gz"
    local.write_bytes(DATA)
    (tmp_path / "link.tar.gz").symlink_to(local)
    url = (tmp_path / "link.tar.gz").as_uri()
    assert fetch(source(url), cache, offline=True).files[0].name == "link.tar.gz"
    assert local.read_bytes() == DATA
    assert fetch(source(local.as_uri()), cache).files[0].name == "a b.tar.gz"


def test_the_length_need_not_be_announced(cache: Cache) -> None:
    with Site(servers.unannounced(DATA)) as site:
        assert fetch(source(site.url), cache).files[0].size == len(DATA)


def test_chunks(cache: Cache) -> None:
    content = DATA[:1000] * 50
    with Site(servers.chunked(DATA[:1000], times=50)) as site:
        wanted = source(site.url, sha256=hashlib.sha256(content).hexdigest())
        assert fetch(wanted, cache).files[0].path.read_bytes() == content


def test_an_archive_that_is_called_html_is_still_an_archive(cache: Cache) -> None:
    with Site(serve(DATA, kind="text/html")) as site:
        assert fetch(source(site.url), cache).files[0].sha256 == DIGEST


def test_a_content_encoding_is_not_undone(cache: Cache) -> None:
    def behave(exchange: servers.Exchange) -> None:
        exchange.begin(200, {"Content-Encoding": "gzip", "Content-Length": len(DATA)})
        exchange.body(DATA)

    with Site(behave) as site:
        assert fetch(source(site.url), cache).files[0].sha256 == DIGEST


def test_redirects_are_followed_without_reading_their_bodies(cache: Cache) -> None:
    pages = {"/a.tar.gz": servers.redirect("/b"), "/b": servers.redirect("file.tar.gz#x")}
    patient = dataclasses.replace(QUICK, stall=10)  # on a busy box nothing is asked for twice
    with Site(serve(DATA), pages=pages) as site:
        found = fetch(source(f"{site.root}/a.tar.gz"), cache, patience=patient)
        assert found.files[0].name == "a.tar.gz"
        assert [r.path for r in site.requests] == ["/a.tar.gz", "/b", "/file.tar.gz"]


# -- addresses: what recovers -------------------------------------------------


@pytest.mark.parametrize("end", [None, servers.reset, servers.stall])
def test_a_broken_transfer_goes_on_where_it_broke(
    cache: Cache, end: servers.Behaviour | None
) -> None:
    heard = Heard()
    with Site(serve(DATA), script=[serve(DATA, upto=100_000, end=end)]) as site:
        fetched = fetch(source(site.url), cache, heard)
        first, second = site.requests
    assert fetched.files[0].path.read_bytes() == DATA
    assert "Range" not in first.headers
    begin = int(second.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    # An RST may overtake what was sent before it.
    assert 0 < begin <= 100_000 if end is servers.reset else begin == 100_000
    assert second.headers["If-Range"] == '"one"'
    assert heard.sum == len(DATA)
    assert any(phase.startswith("again: ") for phase in heard.phases)


def test_a_later_run_goes_on_where_the_last_one_broke(cache: Cache) -> None:
    with Site(script=[serve(DATA, upto=100_000)]) as site:
        failure(source(site.url), cache)
    assert partials(cache) == [100_000]
    with Site(serve(DATA)) as site:
        assert fetch(source(site.url), cache).files[0].sha256 == DIGEST
        assert site.requests[0].headers["Range"] == "bytes=100000-"
        assert "If-Range" not in site.requests[0].headers  # another address


def test_a_server_that_ignores_ranges_starts_over(cache: Cache) -> None:
    heard = Heard()
    script = [serve(DATA, upto=100_000, ranges=False)]
    with Site(serve(DATA, ranges=False), script=script) as site:
        assert fetch(source(site.url), cache, heard).files[0].sha256 == DIGEST
        assert len(site.requests) == 2
    assert heard.sum == len(DATA)


def test_a_file_that_changed_meanwhile_starts_over(cache: Cache) -> None:
    script = [serve(b"\x00" * 300_000, upto=100_000, etag='"old"')]
    with Site(serve(DATA, etag='"new"'), script=script) as site:
        assert fetch(source(site.url), cache).files[0].sha256 == DIGEST
        assert site.requests[1].headers["If-Range"] == '"old"'
        assert len(site.requests) == 2


def test_pieces_that_do_not_fit_are_fetched_anew(cache: Cache) -> None:
    with Site(script=[serve(b"\x00" * 300_000, upto=100_000)]) as site:
        failure(source(site.url), cache)
    with Site(serve(DATA)) as site:
        assert fetch(source(site.url), cache).files[0].sha256 == DIGEST
        assert ["Range" in r.headers for r in site.requests] == [True, False]


def test_another_range_than_asked_for_starts_over(cache: Cache) -> None:
    script = [serve(DATA, upto=1000), serve(DATA, shift=-500)]
    with Site(serve(DATA), script=script) as site:
        assert fetch(source(site.url), cache).files[0].sha256 == DIGEST
        assert len(site.requests) == 3


def test_416_for_a_complete_partial(cache: Cache) -> None:
    with cache.partial(DIGEST) as partial, partial.open(0) as out:
        out.write(DATA)
    with Site(serve(DATA)) as site:
        assert fetch(source(site.url), cache).files[0].sha256 == DIGEST
        assert len(site.requests) == 1


def test_a_complete_partial_of_known_size_asks_nobody(cache: Cache) -> None:
    with cache.partial(DIGEST) as partial, partial.open(0) as out:
        out.write(DATA)
    with Site(serve(DATA)) as site:
        fetch(source(site.url, size=len(DATA)), cache)
        assert site.requests == []


def test_416_for_a_partial_of_something_else(cache: Cache) -> None:
    with cache.partial(DIGEST) as partial, partial.open(0) as out:
        out.write(b"z" * 400_000)
    with Site(serve(DATA)) as site:
        assert fetch(source(site.url), cache).files[0].sha256 == DIGEST
        assert ["Range" in r.headers for r in site.requests] == [True, False]


def test_a_partial_that_is_too_long_is_not_resumed(cache: Cache) -> None:
    with cache.partial(DIGEST) as partial, partial.open(0) as out:
        out.write(b"z" * 400_000)
    with Site(serve(DATA)) as site:
        fetch(source(site.url, size=len(DATA)), cache)
        assert ["Range" in r.headers for r in site.requests] == [False]


@pytest.mark.parametrize(
    "passing", [servers.status(503), servers.status(500), servers.silent, servers.garbage]
)
def test_passing_trouble_is_tried_again(cache: Cache, passing: servers.Behaviour) -> None:
    with Site(serve(DATA), script=[passing, passing]) as site:
        assert fetch(source(site.url), cache).files[0].sha256 == DIGEST
        assert len(site.requests) == 3


def test_progress_buys_further_attempts(cache: Cache) -> None:
    patient = dataclasses.replace(QUICK, attempts=2, progress=20_000)
    with Site(serve(DATA, upto=30_000)) as site:
        assert fetch(source(site.url), cache, patience=patient).files[0].sha256 == DIGEST
        assert len(site.requests) == 11
    stubborn = Cache(cache.root / "other")
    with Site(serve(DATA, upto=30_000, ranges=False)) as site:
        failure(source(site.url), stubborn, patience=patient)
        assert len(site.requests) == 3


def test_retry_after_is_honoured(cache: Cache) -> None:
    patient = dataclasses.replace(QUICK, longest=0.4)
    soon = email.utils.formatdate(time.time() + 900, usegmt=True)
    script = [
        servers.status(429, {"Retry-After": 0}),
        servers.status(503, {"Retry-After": soon}),
    ]
    with Site(serve(DATA), script=script) as site:
        start = time.monotonic()
        fetch(source(site.url), cache, patience=patient)
        took = time.monotonic() - start
        assert len(site.requests) == 3
    assert 0.4 <= took < 3  # the date is far off, and capped


@pytest.mark.parametrize("value", ["soon", "-5", "9" * 40, "Mon, 99 Foo 2000 00:00:00 GMT"])
def test_a_senseless_retry_after_does_no_harm(cache: Cache, value: str) -> None:
    with Site(serve(DATA), script=[servers.status(429, {"Retry-After": value})]) as site:
        assert fetch(source(site.url), cache).files[0].sha256 == DIGEST


@pytest.mark.parametrize(
    "bad",
    [
        servers.status(404),
        servers.status(503),
        servers.page("Gone"),
        servers.serve(b"\x1f\x8b wrong"),
        servers.redirect("ftp://example.org/x"),
        servers.chunked(DATA, times=3),
    ],
)
def test_the_next_mirror_is_tried(cache: Cache, bad: servers.Behaviour) -> None:
    heard = Heard()
    with Site(bad) as first, Site(serve(DATA)) as second:
        wanted = source(first.url, DEAD, second.url, size=len(DATA))
        assert fetch(wanted, cache, heard).files[0].sha256 == DIGEST
    assert len(heard.lines) == 2
    assert heard.lines[0].startswith(f"xen: {first.url}: ")
    assert "connection refused (3 attempts); trying the next" in heard.lines[1]


def test_a_bad_mirror_does_not_spoil_what_a_good_one_sent(cache: Cache) -> None:
    with Site(script=[serve(DATA, upto=200_000)]) as site:
        failure(source(site.url), cache)
    with Site(servers.page("Parked")) as parked, Site(serve(DATA)) as good:
        fetch(source(parked.url, good.url), cache)
        assert good.requests[0].headers["Range"] == "bytes=200000-"


# -- addresses: what fails, and how it is told --------------------------------


def reason(behaviour: servers.Behaviour, cache: Cache, **options: object) -> str:
    """What is said of an address that behaves so."""
    with Site(behaviour) as site:
        wanted = dataclasses.replace(source(site.url), **options)  # type: ignore[arg-type]
        message = failure(wanted, cache).message
        head = f"source xen could not be fetched:\n  {site.url}: "
    assert message.startswith(head)
    return message.removeprefix(head)


def test_every_mirror_is_listed_with_its_own_reason(cache: Cache) -> None:
    with Site(servers.status(404)) as one, Site(servers.page("For sale &amp; rent")) as two:
        error = failure(source(one.url, two.url, DEAD), cache)
        assert error.message.splitlines() == [
            "source xen could not be fetched:",
            f"  {one.url}: HTTP 404 Not Found",
            f"  {two.url}: the server answered with an HTML page "
            '(title: "For sale & rent"), perhaps the address is dead or squatted',
            f"  {DEAD}: connection refused (3 attempts)",
        ]
    assert "--set sources.xen.urls=file:///" in error.hint


def test_a_wrong_digest_shows_both_and_is_thrown_away(cache: Cache) -> None:
    wrong = b"\x1f\x8b wrong"
    text = reason(serve(wrong), cache)
    assert hashlib.sha256(wrong).hexdigest() in text
    assert DIGEST in text
    assert "thrown away" in text
    assert partials(cache) == []


def test_a_wrong_digest_of_one_whole_answer_is_not_tried_again(cache: Cache) -> None:
    with Site(serve(b"\x1f\x8b wrong")) as site:
        failure(source(site.url), cache)
        assert len(site.requests) == 1


def test_a_page_under_another_name_is_recognised_too(cache: Cache) -> None:
    text = reason(servers.page("Sign in", kind="text/plain"), cache, filename="fix.patch")
    assert 'it is an HTML page (title: "Sign in")' in text


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", "application/x-gzip"])
def test_a_page_in_place_of_an_archive(cache: Cache, kind: str) -> None:
    assert 'HTML page (title: "Hi")' in reason(servers.page("Hi", kind=kind), cache)


def test_a_page_without_a_title_and_with_control_characters(cache: Cache) -> None:
    assert "an HTML page, perhaps" in reason(serve(b"oops", kind="text/html"), cache)
    text = reason(servers.page("a\x1b[2J&#27;\n b" + "c" * 200), cache)
    assert "\x1b" not in text
    assert "c" * 81 not in text


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (servers.status(403), "HTTP 403 Forbidden"),
        (servers.status(503), "HTTP 503 Service Unavailable (3 attempts)"),
        (servers.stall, "the server stalled (3 attempts)"),
        (servers.silent, "connection reset by peer (3 attempts)"),
        (servers.garbage, "the answer makes no sense (BadStatusLine) (3 attempts)"),
        (
            serve(DATA, upto=1000, ranges=False),
            "the connection ended after 1000 of 300002 bytes (3 attempts)",
        ),
        (
            serve(DATA, upto=2000, ranges=False, end=servers.stall),
            "the server stalled after 2000 of 300002 bytes (3 attempts)",
        ),
        (
            serve(DATA, upto=0, end=servers.drip),
            "the server stalled",
        ),
        (
            servers.chunked(DATA[:5000], finish=False),
            "the connection ended after 5000 bytes (3 attempts)",
        ),
        (servers.redirect("file:///etc/passwd"), "redirects to file:///etc/passwd, which is not"),
        (servers.redirect("http://[bad"), "redirects to something that is no address"),
    ],
)
def test_reasons(cache: Cache, behaviour: servers.Behaviour, expected: str) -> None:
    assert reason(behaviour, cache).startswith(expected)


def test_a_redirect_loop_is_called_one(cache: Cache) -> None:
    pages = {
        "/a.tar": servers.redirect("/b?key=secret"),
        "/b?key=secret": servers.redirect("/a.tar"),
    }
    with Site(pages=pages) as site:
        text = failure(source(f"{site.root}/a.tar"), cache).message
        assert f"redirects in a loop: {site.root}/a.tar -> {site.root}/b -> " in text
        assert len(site.requests) == 6
    assert "secret" not in text


def test_an_endless_chain_of_redirects(cache: Cache) -> None:
    def further(exchange: servers.Exchange) -> None:
        servers.status(307, {"Location": exchange.path + "x"})(exchange)

    assert "redirects more than 5 times, last to http://127.0.0.1" in reason(further, cache)


@pytest.mark.parametrize("endless", [True, False])
def test_more_bytes_than_declared_end_the_transfer(cache: Cache, endless: bool) -> None:
    chunks = servers.chunked(DATA[:50_000], times=100_000 if endless else 7)
    text = reason(chunks, cache, size=300_000)
    assert text == "the server sends more than 300000 bytes"
    assert partials(cache) == []


def test_an_announced_length_that_is_not_the_declared_one(cache: Cache) -> None:
    text = reason(serve(DATA), cache, size=5)
    assert text == "the file there has 300002 bytes, the recipe says 5"


def test_fewer_bytes_than_declared(cache: Cache) -> None:
    text = reason(servers.unannounced(DATA), cache, size=400_000)
    assert text == "the answer ended after 300002 of 400000 bytes (3 attempts)"


def test_an_end_that_nobody_announced_is_doubted(cache: Cache) -> None:
    with Site(servers.unannounced(DATA), script=[servers.unannounced(DATA, upto=9000)]) as site:
        assert fetch(source(site.url), cache).files[0].sha256 == DIGEST


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ftp://example.org/x.tar", "not an http, https or file address"),
        ("/srv/x.tar", "not an http, https or file address"),
        ("http://", "not a valid address"),
        ("http://[bad/x.tar", "not a valid address"),
        ("file://example.org/x.tar", "names the host example.org; write file:///path"),
        ("file:///nowhere/x.tar", "No such file or directory"),
        ("file:///dev", "not a regular file"),
        ("file:///dev/zero", "not a regular file"),
        ("file:///%00", "not a file name"),
    ],
)
def test_senseless_addresses(cache: Cache, url: str, expected: str) -> None:
    wanted = source(url, name="x.tar")
    assert failure(wanted, cache).message.splitlines()[1] == f"  {url}: {expected}"
    assert reachable(wanted) == f"{url}: {expected}"


def test_a_wrong_file_of_this_box_is_left_alone(cache: Cache, tmp_path: Path) -> None:
    local = tmp_path / "x.tar"
    local.write_bytes(b"mine")
    assert hashlib.sha256(b"mine").hexdigest() in failure(source(local.as_uri()), cache).message
    assert "has 4 bytes" in failure(source(local.as_uri(), size=5), cache).message
    assert local.read_bytes() == b"mine"


def test_several_failures_are_one_error_and_the_rest_is_kept(cache: Cache) -> None:
    with Site(pages={"/good.tar": serve(DATA)}) as site:
        wanted = [
            UrlSource("one", (f"{site.root}/one.tar",), "1" * 64),
            UrlSource("good", (f"{site.root}/good.tar",), DIGEST),
            UrlSource("two", (f"{site.root}/two.tar",), "2" * 64),
        ]
        with pytest.raises(BuildError) as caught:
            fetch_all(wanted, cache, Silent(), patience=QUICK)
    error = caught.value
    assert error.exit == Exit.SOURCE
    assert error.message.splitlines()[0] == "2 sources could not be fetched: one, two"
    assert f"{site.root}/one.tar: HTTP 404" in error.message
    assert f"{site.root}/two.tar: HTTP 404" in error.message
    assert "sources.one.urls" in error.hint
    assert "sources.two.urls" in error.hint
    assert files(cache) == [DIGEST]


def test_credentials_are_used_and_never_shown(cache: Cache) -> None:
    heard = Heard()
    with Site(servers.status(500)) as site:
        url = site.url.replace("//", "//user:secret@")
        with pytest.raises(BuildError) as caught:
            fetch(source(url, url + "2", name="x.tar.gz"), cache, heard)
        assert site.requests[0].headers["Authorization"].startswith("Basic ")
        said = reachable(source(url)) or ""
    dead = failure(source(DEAD.replace("//", "//user:secret@")), cache)
    bad = failure(source("http://user:secret@[bad/x.tar", name="x.tar"), cache)
    told = [caught.value.message, caught.value.hint, said, dead.message, bad.message]
    told += heard.lines + heard.labels + heard.phases
    assert "secret" not in "\n".join(told)
    assert "user" not in "\n".join(told)
    assert site.url in said
    kept = [p for p in cache.root.rglob("*") if p.is_file()]
    assert not any(b"secret" in p.read_bytes() for p in kept)


def test_credentials_are_not_sent_on_by_a_redirect(cache: Cache) -> None:
    with Site(serve(DATA)) as other, Site(servers.redirect(other.url)) as site:
        fetch(source(site.url.replace("//", "//user:secret@")), cache)
        assert "Authorization" in site.requests[0].headers
        assert "Authorization" not in other.requests[0].headers


@given(st.text(max_size=40))
def test_shown_never_fails_and_never_moves_the_cursor(text: str) -> None:
    assert shown(text).isprintable()
    assert "secret" not in shown(f"http://user:secret@{text.replace('secret', '')}")


# -- addresses: any order of trouble ------------------------------------------

SMALL = DATA[:20_000]
SMALL_DIGEST = hashlib.sha256(SMALL).hexdigest()
_CUTS = st.integers(0, len(SMALL))
_HARMLESS = st.one_of(
    st.builds(lambda n: serve(SMALL, upto=n), _CUTS),
    st.builds(lambda n: serve(SMALL, upto=n, ranges=False), _CUTS),
    st.builds(lambda n: serve(SMALL, upto=n, end=servers.reset), _CUTS),
    st.builds(lambda n: serve(SMALL, upto=n, etag='"two"'), _CUTS),
    st.builds(lambda n: serve(SMALL, shift=n), st.integers(-30_000, 30_000)),
    st.builds(lambda n: servers.unannounced(SMALL, upto=n), _CUTS),
    st.builds(lambda n: serve(SMALL[::-1], upto=n), st.integers(0, len(SMALL) - 1)),
    st.builds(lambda n: servers.chunked(SMALL[:n], finish=False), st.integers(1, len(SMALL))),
    st.sampled_from([servers.status(503), servers.silent, servers.garbage]),
)
_FATAL = st.one_of(
    st.sampled_from([servers.status(404), servers.page("x"), servers.serve(b"\x00" * 20_000)]),
    st.builds(lambda n: serve(SMALL + b"x" * n), st.integers(1, 9)),
)
_PROPERTY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@_PROPERTY
@given(script=st.lists(_HARMLESS, max_size=5), size=st.sampled_from([None, len(SMALL)]))
def test_any_order_of_breaks_ends_in_the_right_bytes(
    script: Sequence[servers.Behaviour], size: int | None
) -> None:
    patient = dataclasses.replace(QUICK, attempts=len(script) + 3, longest=0.001)
    with tempfile.TemporaryDirectory() as folder, Site(serve(SMALL), script=script) as site:
        cache = Cache(Path(folder))
        fetched = fetch(source(site.url, sha256=SMALL_DIGEST, size=size), cache, patience=patient)
        assert fetched.files[0].path.read_bytes() == SMALL
        assert partials(cache) == []


@_PROPERTY
@given(script=st.lists(_HARMLESS | _FATAL, min_size=1, max_size=6), size=st.booleans())
def test_any_order_of_trouble_ends_in_the_right_bytes_or_an_error(
    script: Sequence[servers.Behaviour], size: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, Site(serve(SMALL), script=script) as site:
        cache = Cache(Path(folder))
        wanted = source(site.url, site.url, sha256=SMALL_DIGEST, size=len(SMALL) if size else None)
        caught: BuildError | None = None
        try:
            fetch(wanted, cache, patience=dataclasses.replace(QUICK, longest=0.001))
        except BuildError as error:
            caught = error
        if caught is not None:
            assert caught.exit == Exit.SOURCE
            assert caught.message.count(site.url) == 2
            assert files(cache) == []
        else:
            assert files(cache) == [SMALL_DIGEST]
            assert cache.path(SMALL_DIGEST).read_bytes() == SMALL


# -- stopping, offline, a full disk -------------------------------------------


def test_cancel_while_bytes_come_keeps_them(cache: Cache) -> None:
    stop = threading.Event()
    heard = Heard(lambda total: stop.set() if total >= 100_000 else None)
    with Site(serve(DATA, upto=150_000, end=servers.stall)) as site, pytest.raises(Interrupted):
        fetch(source(site.url), cache, heard, cancel=stop)
    assert files(cache) == []
    (arrived,) = partials(cache)
    assert arrived >= 100_000
    with Site(serve(DATA)) as site:
        fetch(source(site.url), cache)
        assert site.requests[0].headers["Range"] == f"bytes={arrived}-"


def test_cancel_does_not_wait_for_a_silent_server(cache: Cache) -> None:
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    with Site(servers.stall) as site:
        start = time.monotonic()
        with pytest.raises(Interrupted):
            fetch(
                source(site.url),
                cache,
                cancel=stop,
                patience=dataclasses.replace(QUICK, stall=20),
            )
        assert time.monotonic() - start < 3


def test_cancel_before_the_start(cache: Cache) -> None:
    stop = threading.Event()
    stop.set()
    with Site(serve(DATA)) as site:
        with pytest.raises(Interrupted):
            fetch(source(site.url), cache, cancel=stop)
        assert site.requests == []


def test_cancel_during_a_pause(cache: Cache) -> None:
    before = set(threading.enumerate())
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    patient = dataclasses.replace(QUICK, pause=30, longest=30)
    with Site(servers.status(503)) as site:
        start = time.monotonic()
        with pytest.raises(Interrupted):
            fetch(source(site.url), cache, cancel=stop, patience=patient)
        assert time.monotonic() - start < 2
        left = set(threading.enumerate()) - before
        assert not [t.name for t in left if t.name.startswith("fetch-")]
        assert len(site.requests) == 1


def test_no_socket_is_opened_when_everything_is_cached(cache: Cache, tmp_path: Path) -> None:
    """In a process of its own: a library may open one as it is loaded."""
    with Site(serve(DATA)) as site:
        wanted = source(site.url)
        fetch(wanted, cache)
    commit = repository(tmp_path / "repo")
    tree = GitSource("tree", (str(tmp_path / "repo"),), commit)
    script = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        def guard(event, arguments):
            if event.startswith("socket."):
                raise SystemExit(event)
        sys.addaudithook(guard)
        from builders.sources.cache import Cache
        from builders.errors import BuildError
        from builders.progress import Silent
        from builders.recipe import GitSource, UrlSource
        from builders.sources.fetching import fetch_all
        cache = Cache(Path({str(cache.root)!r}))
        tree = {tree!r}
        print(len(fetch_all([{wanted!r}], cache, Silent())))
        print(len(fetch_all([{wanted!r}, tree], cache, Silent(), offline=True)))
        missing = UrlSource("other", {wanted.urls!r}, "0" * 64)
        try:
            fetch_all([missing], cache, Silent(), offline=True)
        except BuildError as error:
            print(error.message)
        """
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "1",
        "2",
        "source other is not in the cache, and the run is offline",
    ]


def test_the_socket_guard_catches_a_download(cache: Cache) -> None:
    """The guard of the test above is worth nothing if it never fires."""
    script = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        seen = set()
        sys.addaudithook(lambda event, _: seen.add(event))
        from builders.sources.cache import Cache
        from builders.progress import Silent
        from builders.sources.fetching import fetch_all
        from builders.recipe import UrlSource
        assert not any(e.startswith("socket.") for e in seen)
        with __import__("contextlib").suppress(Exception):
            fetch_all([{source(DEAD)!r}], Cache(Path({str(cache.root)!r})), Silent())
        print("socket.connect" in seen)
        """
    )
    code = script.replace("Silent())", "Silent(), patience=p)").replace(
        "import fetch_all", "import fetch_all, Patience; p = Patience(attempts=1)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.stdout, result.stderr) == ("True\n", "")


def test_offline_uses_what_is_on_this_box_only(cache: Cache, tmp_path: Path) -> None:
    local = tmp_path / "file.tar.gz"
    local.write_bytes(DATA)
    with Site(serve(DATA)) as site:
        fetched = fetch(source(site.url, local.as_uri()), cache, offline=True)
        assert site.requests == []
    assert fetched.files[0].sha256 == DIGEST


def test_a_damaged_file_is_fetched_again_with_a_note(cache: Cache) -> None:
    heard = Heard()
    with Site(serve(DATA)) as site:
        path = fetch(source(site.url), cache).files[0].path
        path.chmod(0o644)
        path.write_bytes(DATA[:-1])
        fetch(source(site.url), cache, heard)
        assert path.read_bytes() == DATA
        assert "thrown away" in heard.lines[0]

        path.chmod(0o644)
        path.write_bytes(DATA[::-1])
        fetch_all([source(site.url)], cache, heard, verify=True, patience=QUICK)
        assert path.read_bytes() == DATA
        assert len(site.requests) == 3


def test_a_write_that_fails_is_told_at_once(tmp_path: Path) -> None:
    """A limit on the size of files (setrlimit(2)) stands in for a full disk."""
    with Site(serve(DATA)) as site:
        script = textwrap.dedent(
            f"""
            import resource
            from pathlib import Path
            from builders.sources.cache import Cache
            from builders.errors import BuildError
            from builders.progress import Silent
            from builders.recipe import UrlSource
            from builders.sources.fetching import fetch_all
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            try:
                fetch_all([{source(site.url, site.url)!r}], Cache(Path("{tmp_path}")), Silent())
            except BuildError as error:
                print(error.exit, error.message)
            """
        )
        result = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert len(site.requests) == 1
    assert result.stderr == ""
    assert f"3 no room to write in {tmp_path}: File too large" in result.stdout
    assert "needed: " in result.stdout
    assert files(Cache(tmp_path)) == []


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mount is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(full: Path, tmp_path: Path) -> None:
    big = DATA * 7  # 2 MiB
    cache = Cache(full)
    wanted = UrlSource("xen", (), hashlib.sha256(big).hexdigest())
    with Site(serve(big)) as site:
        error = failure(dataclasses.replace(wanted, urls=(site.url, site.url)), cache)
        assert len(site.requests) == 1
    assert f"no room to write in {full}: No space left on device (needed: 1." in error.message
    assert "0 bytes free" in error.message
    assert partials(cache)[0] > 500_000
    cache.prune()
    local = tmp_path / "local.tar"
    local.write_bytes(big)
    error = failure(dataclasses.replace(wanted, urls=(local.as_uri(),)), cache)
    assert "No space left on device" in error.message
    assert list(full.glob("tmp/*")) == []

    commit = repository(tmp_path / "repo", {"blob": big})
    error = failure(GitSource("tree", (str(tmp_path / "repo"),), commit), cache)
    assert "No space left on device" in error.message


def test_a_lock_held_elsewhere_is_waited_for(cache: Cache) -> None:
    heard = Heard()
    with Site(serve(DATA)) as site:
        with cache.partial(DIGEST) as partial:
            threads = [threading.Thread(target=fetch, args=(source(site.url), cache, heard))]
            threads[0].start()
            while not heard.phases:
                time.sleep(0.01)
            with partial.open(0) as out:
                out.write(DATA)
            cache.adopt(partial.path, DIGEST)
        threads[0].join(10)
        assert site.requests == []
    assert heard.phases[0].startswith("waiting")
    assert cache.resolved(source(site.url)) is not None


# -- reachable ----------------------------------------------------------------


def test_reachable(cache: Cache, tmp_path: Path) -> None:
    with Site(serve(DATA)) as site:
        assert reachable(source(site.url)) is None
        assert reachable(source(DEAD, site.url)) is None
        assert reachable(source(site.url, size=len(DATA))) is None
        assert "has 300002 bytes, the recipe says 5" in str(reachable(source(site.url, size=5)))
        assert {r.method for r in site.requests} == {"HEAD"}
    (tmp_path / "x").write_bytes(DATA)
    assert reachable(source((tmp_path / "x").as_uri())) is None
    assert reachable(source(DEAD), timeout=1) == f"{DEAD}: connection refused"
    assert list(cache.root.glob("*")) == []


def test_reachable_where_head_is_refused() -> None:
    with Site(serve(DATA), script=[servers.status(405)]) as site:
        assert reachable(source(site.url, size=len(DATA))) is None
        assert [r.method for r in site.requests] == ["HEAD", "GET"]
        assert site.requests[1].headers["Range"] == "bytes=0-0"
    with Site(serve(DATA, ranges=False), script=[servers.status(405)]) as site:
        assert "the recipe says 5" in str(reachable(source(site.url, size=5)))


def test_reachable_tells_what_is_wrong() -> None:
    with Site(servers.status(404)) as site:
        assert reachable(source(site.url)) == f"{site.url}: HTTP 404 Not Found"
    with Site(servers.page("Parked")) as site:
        assert 'HTML page (title: "Parked")' in str(reachable(source(site.url)))
    with Site(servers.stall) as site:
        assert "stalled" in str(reachable(source(site.url), timeout=0.2))


# -- git ----------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_NAME": "A" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "a@example.org" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_DATE": "1350000000 +0000" for who in ("AUTHOR", "COMMITTER")},
    }
    result = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


def repository(folder: Path, content: Mapping[str, bytes] | None = None) -> str:
    """A repository of three commits on the branch main; returns the second commit."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / ".gitattributes").write_text("hidden export-ignore\nversion export-subst\n")
    (folder / "hidden").write_text("hidden\n")
    (folder / "version").write_text("$Format:%H %d$\n")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("run")
    commits = []
    for text in ("one\n", "two\n", "three\n"):
        (folder / "file").write_text(text)
        for name, data in (content or {}).items():
            (folder / name).write_bytes(data)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", text)
        commits.append(git(folder, "rev-parse", "HEAD"))
    git(folder, "tag", "-a", "v2", "-m", "v2", commits[1])
    return commits[1]


def tree(url: str | Path, commit: str) -> GitSource:
    return GitSource("bios", (str(url),), commit)


@pytest.mark.parametrize("as_url", [True, False])
def test_a_commit_becomes_a_tar(cache: Cache, tmp_path: Path, as_url: bool) -> None:
    repo = tmp_path / "repo"
    commit = repository(repo)
    heard = Heard()
    fetched = fetch(tree(repo.as_uri() if as_url else repo, commit), cache, heard)
    assert fetched.version == commit
    (file,) = fetched.files
    assert file.name == f"bios-{commit[:12]}.tar"
    assert file.sha256 == hashlib.sha256(file.path.read_bytes()).hexdigest()
    with tarfile.open(file.path) as tar:
        members = {m.name: m for m in tar.getmembers()}
        assert set(members) == {"bios"} | {
            f"bios/{n}" for n in (".gitattributes", "hidden", "version", "run", "link", "file")
        }
        content = tar.extractfile("bios/file")
        version = tar.extractfile("bios/version")
        assert content is not None
        assert content.read() == b"two\n"
        assert version is not None
        assert version.read() == b"$Format:%H %d$\n"
        assert members["bios/run"].mode & 0o111
        assert members["bios/link"].linkname == "run"
        assert {m.mtime for m in members.values()} == {1350000000}
    shutil.rmtree(repo)
    assert fetch(tree(repo, commit), cache) == fetched
    assert list(cache.root.glob("tmp/*")) == []
    assert heard.labels == ["bios"]


def test_a_server_without_single_commits_gives_the_same_tar(cache: Cache, tmp_path: Path) -> None:
    """The dumb protocol: plain files, no shallow fetch (gitprotocol-http(5))."""
    commit = repository(tmp_path / "repo")
    git(tmp_path, "clone", "-q", "--bare", "repo", "dumb.git")
    git(tmp_path / "dumb.git", "update-server-info")
    direct = fetch(tree(tmp_path / "repo", commit), cache)
    other = Cache(tmp_path / "other")
    with Site(servers.folder(tmp_path)) as site:
        fetched = fetch(tree(f"{site.root}/dumb.git", commit), other)
        assert reachable(tree(f"{site.root}/dumb.git", commit)) is None
        head = git(tmp_path / "repo", "rev-parse", "main")
        with pytest.raises(BuildError) as caught:
            fetch(tree(f"{site.root}/dumb.git", "1" * 40), other)
    assert fetched.files[0].sha256 == direct.files[0].sha256
    assert f"commit {'1' * 40} is not in that repository" in caught.value.message
    assert head in caught.value.message


def test_a_commit_that_is_not_there(cache: Cache, tmp_path: Path) -> None:
    repository(tmp_path / "repo")
    head = git(tmp_path / "repo", "rev-parse", "main")
    error = failure(tree(tmp_path / "repo", "1" * 40), cache)
    assert (
        f"{tmp_path / 'repo'}: commit {'1' * 40} is not in that repository; "
        f"its branch main is at {head}" in error.message
    )
    assert "--set sources.bios.urls=file:///" in error.hint


def test_a_tag_in_place_of_a_commit(cache: Cache, tmp_path: Path) -> None:
    commit = repository(tmp_path / "repo")
    tag = git(tmp_path / "repo", "rev-parse", "v2")
    assert (
        f"not a commit but a tag of {commit}"
        in failure(tree(tmp_path / "repo", tag), cache).message
    )


def test_the_next_repository_is_tried(cache: Cache, tmp_path: Path) -> None:
    commit = repository(tmp_path / "repo")
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    urls = (str(tmp_path / "none"), "git://127.0.0.1:9/x", str(empty), str(tmp_path / "repo"))
    heard = Heard()
    fetched = fetch(GitSource("bios", urls, commit), cache, heard)
    assert fetched.version == commit
    assert len(heard.lines) == 3
    assert "does not appear to be a git repository" in heard.lines[0]
    assert "Connection refused" in heard.lines[1]
    assert "is not in that repository" in heard.lines[2]


def test_no_setting_of_the_user_changes_what_git_does(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository(tmp_path / "repo")
    url = (tmp_path / "repo").as_uri()
    plain = fetch(tree(url, commit), cache).files[0].sha256
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        '[url "file:///nowhere/"]\n\tinsteadOf = file:///\n[tar]\n\tumask = 077\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "tar.umask")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "077")
    other = Cache(tmp_path / "other")
    assert fetch(tree(url, commit), other).files[0].sha256 == plain


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% {0}/touched",
        "--upload-pack=touch {0}/touched",
        "-otouched",
        "helper::{0}/touched",
    ],
)
def test_an_address_runs_no_command(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    (tmp_path / "git-remote-helper").write_text('#!/bin/sh\ntouch "$2"\n')
    (tmp_path / "git-remote-helper").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    wanted = tree(url.format(tmp_path), "1" * 40)
    failure(wanted, cache)
    assert reachable(wanted) is not None
    assert not (tmp_path / "touched").exists()


def test_git_credentials_are_never_shown(cache: Cache) -> None:
    url = "http://user:secret@127.0.0.1:9/x.git"
    heard = Heard()
    with pytest.raises(BuildError) as caught:
        fetch(GitSource("bios", (url, url + "2"), "1" * 40), cache, heard)
    said = reachable(tree(url, "1" * 40)) or ""
    text = "\n".join([caught.value.message, said, *heard.lines, *heard.phases])
    assert "127.0.0.1" in text
    assert "secret" not in text


def test_a_git_that_asks_for_a_password_fails_instead(cache: Cache) -> None:
    with Site(servers.status(401, {"WWW-Authenticate": 'Basic realm="x"'})) as site:
        start = time.monotonic()
        assert (
            "could not be fetched" in failure(tree(f"{site.root}/x.git", "1" * 40), cache).message
        )
        assert time.monotonic() - start < 5


def test_a_missing_git_names_its_package(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError) as caught:
        fetch(tree(tmp_path, "1" * 40), cache)
    assert caught.value.exit == Exit.ENGINE
    assert "git is not installed" in caught.value.message
    assert "apt-get install git" in caught.value.hint
    assert "git is not installed" in str(reachable(tree(tmp_path, "1" * 40)))


def test_cancel_ends_git_and_its_helpers(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = f"86400.{random.SystemRandom().randrange(10**9)}"
    (tmp_path / "git").write_text(f"#!/bin/sh\nsleep {marker} &\nsleep {marker}\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Interrupted):
        fetch(tree(tmp_path, "1" * 40), cache, cancel=stop)
    assert not _running(marker)


def test_a_git_that_says_nothing_is_given_up(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = f"86400.{random.SystemRandom().randrange(10**9)}"
    real = shutil.which("git")
    (tmp_path / "git").write_text(
        f'#!/bin/sh\n[ "$1" = fetch ] || exec {real} "$@"\nsleep {marker}\n'
    )
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    patient = dataclasses.replace(QUICK, silence=0.2)
    with pytest.raises(BuildError, match=r"git fetch said nothing for 0\.2 s"):
        fetch(tree(tmp_path, "1" * 40), cache, patience=patient)
    assert not _running(marker)


def _running(marker: str) -> bool:
    """Whether a process with that argument is there, and still is after a moment."""
    until = time.monotonic() + 2
    while _seen(marker):
        if time.monotonic() > until:
            return True
        time.sleep(0.02)
    return False


def _seen(marker: str) -> bool:
    found = False
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found |= marker.encode() in path.read_bytes().split(b"\0")
        except OSError:
            continue
    return found


# -- Debian -------------------------------------------------------------------

XEN = DebianSource("xen", "xen", "4.17.*")
LINUX = DebianPackage("linux", "linux-source-6.1", "6.1.2-1")


class Apt:
    """Brings what it is told to; remembers what it was asked."""

    def __init__(self, results: Mapping[str, tuple[str, Mapping[str, bytes]]]) -> None:
        self.results = results
        self.asked: list[list[str]] = []

    def fetch(
        self, sources: Sequence[DebianSource | DebianPackage], into: Path
    ) -> dict[str, DebianResult]:
        self.asked.append([s.name for s in sources])
        brought = {}
        for name, (version, content) in self.results.items():
            paths = []
            for file, data in content.items():
                (into / file).write_bytes(data)
                paths.append(into / file)
            brought[name] = DebianResult(version, tuple(paths))
        return brought


class Failing(Apt):
    """Raises what it is told to."""

    def __init__(self, error: Exception) -> None:
        super().__init__({})
        self.error = error

    def fetch(
        self, sources: Sequence[DebianSource | DebianPackage], into: Path
    ) -> dict[str, DebianResult]:
        super().fetch(sources, into)
        raise self.error


GOOD = {
    "xen": ("4.17.5-1", {"xen_4.17.5-1.dsc": b"dsc", "xen_4.17.5.orig.tar.xz": DATA}),
    "linux": ("6.1.2-1", {"linux-source-6.1_6.1.2-1_all.deb": b"deb"}),
}


def test_debian_packages_are_taken_over_and_remembered(cache: Cache) -> None:
    apt = Apt(GOOD)
    found = fetch_all([LINUX, XEN], cache, Silent(), debian=apt, scope="bookworm")
    assert list(found) == ["linux", "xen"]
    assert found["xen"].version == "4.17.5-1"
    assert [f.name for f in found["xen"].files] == list(GOOD["xen"][1])
    assert found["xen"].files[1].sha256 == DIGEST
    assert found["xen"].files[1].path.read_bytes() == DATA
    assert fetch_all([XEN, LINUX], cache, Silent(), scope="bookworm", offline=True) == found
    assert apt.asked == [["linux", "xen"]]

    fetch_all([XEN], cache, Silent(), debian=apt, scope="bookworm", refresh=True)
    fetch_all([XEN], cache, Silent(), debian=apt, scope="trixie")
    assert apt.asked[1:] == [["xen"], ["xen"]]
    assert list(cache.root.glob("tmp/*")) == []


def test_a_refresh_leaves_pinned_files_alone(cache: Cache) -> None:
    with Site(serve(DATA)) as site:
        for refresh in (False, True):
            fetch_all([source(site.url)], cache, Silent(), refresh=refresh, patience=QUICK)
        assert len(site.requests) == 1


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ({}, "xen: apt brought nothing for xen"),
        ({"xen": ("4.17.5-1", {})}, "xen: apt brought nothing for xen"),
        (
            {"xen": ("4.14.6-1", {"xen.dsc": b"x"})},
            "xen: xen 4.17.* was asked for, and apt brought 4.14.6-1",
        ),
    ],
)
def test_what_apt_brought_is_compared(
    cache: Cache, results: Mapping[str, tuple[str, Mapping[str, bytes]]], expected: str
) -> None:
    with pytest.raises(BuildError) as caught:
        fetch_all([XEN], cache, Silent(), debian=Apt(results))
    assert caught.value.exit == Exit.SOURCE
    assert caught.value.message == expected
    assert files(cache) == []


def test_files_outside_of_the_folder_are_refused(cache: Cache, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")

    class Outside:
        def __init__(self, link: bool) -> None:
            self.link = link

        def fetch(
            self, sources: Sequence[DebianSource | DebianPackage], into: Path
        ) -> dict[str, DebianResult]:
            (into / "link").symlink_to(secret)
            path = into / "link" if self.link else into / ".." / ".." / ".." / "secret"
            return {s.name: DebianResult("4.17.5-1", (path,)) for s in sources}

    for link in (True, False):
        with pytest.raises(BuildError):
            fetch_all([XEN], cache, Silent(), debian=Outside(link))
    assert secret.read_bytes() == b"secret"
    assert files(cache) == []


def test_without_apt_or_network_debian_sources_are_named(cache: Cache) -> None:
    for offline, expected in ((False, "no apt of the suite"), (True, "the run is offline")):
        with pytest.raises(BuildError) as caught:
            fetch_all([XEN, LINUX], cache, Silent(), offline=offline)
        assert expected in caught.value.message
        assert caught.value.message.endswith(": xen, linux")


def test_what_apt_says_is_passed_on_beside_other_failures(cache: Cache) -> None:
    broken = Failing(BuildError("apt: the mirror is down", hint="try later", exit=Exit.ENGINE))
    with pytest.raises(BuildError) as alone:
        fetch_all([XEN], cache, Silent(), debian=broken)
    assert alone.value.exit == Exit.ENGINE
    with pytest.raises(BuildError) as both:
        fetch_all(
            [XEN, UrlSource("dead", (DEAD,), DIGEST)],
            cache,
            Silent(),
            debian=broken,
            patience=QUICK,
        )
    assert both.value.message.startswith("2 sources could not be fetched: xen, dead\n")
    assert "the mirror is down" in both.value.message
    assert "try later" in both.value.hint


def test_a_fault_in_the_program_is_not_swallowed(cache: Cache) -> None:
    with pytest.raises(ZeroDivisionError):
        fetch_all([XEN], cache, Silent(), debian=Failing(ZeroDivisionError()))
