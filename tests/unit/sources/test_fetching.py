# SPDX-License-Identifier: GPL-2.0-or-later
"""Several sources at once: stopping, offline, a full disk, and what the suite lists."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from builders import ROOT
from builders.errors import BuildError, Exit, Interrupted
from builders.ground.sources.cache import Cache
from builders.ground.sources.fetching import Candidate, fetch_all
from builders.pipeline.recipe import DebianPackage, DebianSource, GitSource, UrlSource
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
    repository,
    source,
)

pytestmark = pytest.mark.slow


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
        from builders.ground.sources.cache import Cache
        from builders.errors import BuildError
        from builders.progress import Silent
        from builders.pipeline.recipe import (GitSource, UrlSource)
        from builders.ground.sources.fetching import fetch_all
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
        from builders.ground.sources.cache import Cache
        from builders.progress import Silent
        from builders.ground.sources.fetching import fetch_all
        from builders.pipeline.recipe import (UrlSource)
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
        assert "set aside" in heard.lines[0]

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
            from builders.ground.sources.cache import Cache
            from builders.errors import BuildError
            from builders.progress import Silent
            from builders.pipeline.recipe import (UrlSource)
            from builders.ground.sources.fetching import fetch_all
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
    assert "0 B free" in error.message
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


# -- Debian -------------------------------------------------------------------

XEN = DebianSource("xen", "xen", "4.17.*")
LINUX = DebianPackage("linux", "linux-source-6.1", "6.1.2-1")


class Suite:
    """Lists what it is told to; remembers what it was asked."""

    def __init__(self, candidates: Mapping[str, Sequence[Candidate]]) -> None:
        self.listed = candidates
        self.asked: list[list[str]] = []

    def candidates(
        self, sources: Sequence[DebianSource | DebianPackage]
    ) -> Mapping[str, Sequence[Candidate]]:
        self.asked.append([s.name for s in sources])
        return self.listed


class Failing(Suite):
    """Raises what it is told to."""

    def __init__(self, error: Exception) -> None:
        super().__init__({})
        self.error = error

    def candidates(
        self, sources: Sequence[DebianSource | DebianPackage]
    ) -> Mapping[str, Sequence[Candidate]]:
        super().candidates(sources)
        raise self.error


def listed(url: str, data: bytes = DATA, *, name: str = "x.tar.xz") -> UrlSource:
    return UrlSource("xen", (url,), hashlib.sha256(data).hexdigest(), len(data), name)


def test_debian_packages_are_fetched_and_remembered(cache: Cache) -> None:
    with Site(serve(DATA), pages={"/deb": serve(b"deb"), "/more": serve(b"more")}) as site:
        more = listed(f"{site.root}/more", b"more", name="more.tar.xz")
        deb = listed(f"{site.root}/deb", b"deb", name="linux.deb")
        suite = Suite(
            {
                "xen": [Candidate("4.17.5-1", (listed(site.url), more))],
                "linux": [Candidate("6.1.2-1", (deb,))],
            }
        )
        found = fetch_all([LINUX, XEN], cache, Silent(), debian=suite, scope="bookworm")
        assert list(found) == ["linux", "xen"]
        assert found["xen"].version == "4.17.5-1"
        assert [f.name for f in found["xen"].files] == ["x.tar.xz", "more.tar.xz"]
        assert found["xen"].files[0].sha256 == DIGEST
        assert found["xen"].files[0].path.read_bytes() == DATA
        assert fetch_all([XEN, LINUX], cache, Silent(), scope="bookworm", offline=True) == found
        assert suite.asked == [["linux", "xen"]]

        asked = len(site.requests)
        fetch_all([XEN], cache, Silent(), debian=suite, scope="bookworm", refresh=True)
        fetch_all([XEN], cache, Silent(), debian=suite, scope="trixie")
        assert suite.asked[1:] == [["xen"], ["xen"]]
        assert len(site.requests) == asked  # the files are there
    assert list(cache.root.glob("tmp/*")) == []


def test_one_debian_source_that_fails_does_not_lose_the_other(cache: Cache) -> None:
    with Site(serve(DATA)) as site:
        suite = Suite(
            {
                "xen": [Candidate("1", (listed(site.url, b"other"),))],
                "linux": [Candidate("2", (listed(site.url),))],
            }
        )
        with pytest.raises(BuildError, match="Hash Sum mismatch") as caught:
            fetch_all([XEN, LINUX], cache, Silent(), debian=suite)
    assert caught.value.exit == Exit.SOURCE
    assert cache.resolved(XEN) is None
    assert cache.resolved(LINUX) is not None


def test_a_refresh_leaves_pinned_files_alone(cache: Cache) -> None:
    with Site(serve(DATA)) as site:
        for refresh in (False, True):
            fetch_all([source(site.url)], cache, Silent(), refresh=refresh, patience=QUICK)
        assert len(site.requests) == 1


def test_without_suite_or_network_debian_sources_are_named(cache: Cache) -> None:
    for offline, expected in ((False, "no suite to ask"), (True, "the run is offline")):
        with pytest.raises(BuildError) as caught:
            fetch_all([XEN, LINUX], cache, Silent(), offline=offline)
        assert expected in caught.value.message
        assert caught.value.message.endswith(": xen, linux")


def test_what_the_suite_says_is_passed_on_beside_other_failures(cache: Cache) -> None:
    broken = Failing(BuildError("the mirror is down", hint="try later", exit=Exit.ENGINE))
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
