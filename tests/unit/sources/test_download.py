# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of addresses: what goes well, what recovers, and how what fails is told."""

from __future__ import annotations

import dataclasses
import email.utils
import hashlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.errors import BuildError, Exit
from builders.ground.sources.address import Failed, shown
from builders.ground.sources.cache import Cache
from builders.ground.sources.download import get, probe
from builders.ground.sources.fetching import fetch_all, reachable
from builders.pipeline.recipe import UrlSource
from builders.progress import Silent
from tests.unit import servers
from tests.unit.servers import Site, serve
from tests.unit.sources.fetches import (
    DATA,
    DEAD,
    DIGEST,
    QUICK,
    Heard,
    failure,
    fetch,
    files,
    partials,
    source,
)

pytestmark = pytest.mark.slow


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


HELD = dataclasses.replace(
    QUICK, connect=0.3, stall=0.3, answer=0.5, rate=1 << 20, grace=0.3, attempts=2
)


@pytest.mark.parametrize("name", servers.HOLDING)
def test_no_server_holds_a_download(cache: Cache, name: str) -> None:
    behaviour, expected = servers.HOLDING[name]
    begun = time.monotonic()
    with Site(behaviour) as site:
        error = failure(source(site.url), cache, patience=HELD)
    assert expected in error.message
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize("name", servers.HOLDING)
def test_no_server_holds_a_small_file(name: str) -> None:
    begun = time.monotonic()
    with Site(servers.HOLDING[name][0]) as site, pytest.raises(Failed):
        get(site.url, 1 << 20, patience=HELD)
    assert time.monotonic() - begun < 4


def test_a_small_file_is_no_large_one() -> None:
    endless = servers.raw(servers.OK + b"\r\n", b"x" * 65536)
    with Site(endless) as site, pytest.raises(Failed, match="has no end"):
        get(site.url, 1 << 20, patience=QUICK)
    with Site(serve(DATA)) as site:
        assert get(site.url, 1 << 20, patience=QUICK).body == DATA
    with Site(servers.status(404)) as site:
        assert get(site.url, 1 << 20, patience=QUICK).status == 404


@pytest.mark.parametrize("name", ["interim answers", "a header now and then", "one header"])
def test_no_server_holds_the_doctor(name: str) -> None:
    begun = time.monotonic()
    with Site(servers.HOLDING[name][0]) as site:
        patience = dataclasses.replace(HELD, attempts=1)
        with pytest.raises(Failed):
            probe(site.url, source(site.url), patience)
    assert time.monotonic() - begun < 4


def test_tries_at_one_address_have_an_end(cache: Cache) -> None:
    # Each try brings enough to be no failure, and the server breaks off each time.
    patience = dataclasses.replace(QUICK, progress=1000, pause=0.05, whole=0.4, rate=1 << 30)
    begun = time.monotonic()
    with Site(serve(DATA, upto=1000)) as site:
        error = failure(source(site.url), cache, patience=patience)
    assert "given up after" in error.message
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "location",
    [
        b"gopher://\x1b[2J\x9b2J/",
        b"http://127.0.0.1/\x9b2J",
        b"http://127.0.0.1/\xe2\x80\xae",
        b"http://127.0.0.1/a b",
        b"/" + b"a" * 5000,
        b"http://127.0.0.1:99999999999/",
        b"http://[::1/",
        b"//" + b"a" * 300 + b"/",
    ],
)
def test_a_redirect_to_what_is_no_address(cache: Cache, location: bytes) -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    with Site(servers.raw(answer)) as site:
        error = failure(source(site.url), cache)
    assert error.message.isascii()
    assert error.message.replace("\n", "").isprintable()


def test_a_size_that_the_recipe_does_not_state_has_a_bound(cache: Cache) -> None:
    huge = servers.raw(servers.OK + b"Content-Length: %d\r\n\r\n\x1f\x8b" % (1 << 40))
    with Site(huge) as site:
        error = failure(source(site.url), cache)
    assert "has 1099511627776 bytes: the recipe has to state such a size" in error.message


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
    assert text == "the file there has 300002 bytes, not 5"


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
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
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


# -- reachable ----------------------------------------------------------------


def test_reachable(cache: Cache, tmp_path: Path) -> None:
    with Site(serve(DATA)) as site:
        assert reachable(source(site.url)) is None
        assert reachable(source(DEAD, site.url)) is None
        assert reachable(source(site.url, size=len(DATA))) is None
        assert "has 300002 bytes, not 5" in str(reachable(source(site.url, size=5)))
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
        assert "bytes, not 5" in str(reachable(source(site.url, size=5)))


def test_reachable_tells_what_is_wrong() -> None:
    with Site(servers.status(404)) as site:
        assert reachable(source(site.url)) == f"{site.url}: HTTP 404 Not Found"
    with Site(servers.page("Parked")) as site:
        assert 'HTML page (title: "Parked")' in str(reachable(source(site.url)))
    with Site(servers.stall) as site:
        assert "stalled" in str(reachable(source(site.url), timeout=0.2))
