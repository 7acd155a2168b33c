# SPDX-License-Identifier: GPL-2.0-or-later
"""Every input by content: fetched in parallel, resumed, verified, kept by digest.

A file is identified by its sha256 and a tree by its commit, so neither the
channel nor the mirror is trusted: http is as good as https, and a redirect
from https to http is followed. Debian packages are fetched by somebody who
lets apt verify them; only the keeping is done here.
"""

from __future__ import annotations

import contextlib
import email.utils
import errno
import fnmatch
import functools
import html
import http.client
import os
import queue
import random
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit

from builders.cache import (
    Cache,
    CachedFile,
    Fetched,
    Partial,
    WrongDigest,
    file_name,
    storage_error,
)
from builders.errors import BuildError, Exit, Interrupted
from builders.progress import Reporter, Task, printable
from builders.recipe import DebianPackage, DebianSource, GitSource, Source, UrlSource

if TYPE_CHECKING:
    # At run time it is imported where it is used: it is slow, and it opens a
    # socket when it is loaded, which a run that finds everything cached must not.
    import requests

_CHUNK = 256 << 10
_HEAD = 16 << 10  # bytes that a page's title is looked for in
_REDIRECTS = 5
_ENDLESS = 8 << 30  # bytes that no source reaches; a server without an end does
_TRICKLE = 1024  # bytes; fewer than these in Patience.stall seconds is a stall
_ARCHIVE = re.compile(r"\.(tar|tgz|tbz2?|txz|gz|bz2|xz|lzma|zst|zip|deb|cpio)$", re.IGNORECASE)
_PAGE = re.compile(rb"\s*<(!doctype\s+html|!--|html|head|body|title|script|meta)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Patience:
    """How long to wait and how often to try, for one address.

    connect, stall: seconds until a connection stands, and without (or hardly) a byte.
    attempts: tries before the next address; one that brought `progress` new bytes
    is not counted. pause: seconds before the second try, doubled (with jitter) for
    each further one up to `longest`, which also caps what Retry-After asks for.
    silence: seconds that git may say nothing.
    """

    connect: float = 15.0
    stall: float = 30.0
    attempts: int = 4
    progress: int = 1 << 20
    pause: float = 1.0
    longest: float = 60.0
    silence: float = 300.0


@dataclass(frozen=True)
class DebianResult:
    """What apt chose and verified: the version, and its files below the given folder."""

    version: str
    files: tuple[Path, ...]


class DebianFetcher(Protocol):
    """Whoever can ask the suite's apt."""

    def fetch(
        self, sources: Sequence[DebianSource | DebianPackage], into: Path
    ) -> Mapping[str, DebianResult]:
        """Download `sources` below `into`; returns a result for the name of each.

        Raises BuildError where apt can't find, fetch or verify one.
        """


def fetch_all(
    sources: Iterable[Source],
    cache: Cache,
    reporter: Reporter,
    *,
    debian: DebianFetcher | None = None,
    scope: str = "",
    offline: bool = False,
    refresh: bool = False,
    verify: bool = False,
    jobs: int = 4,
    cancel: threading.Event | None = None,
    patience: Patience | None = None,
) -> dict[str, Fetched]:
    """All `sources` in the cache, by name and in their order.

    scope: what else decides a Debian version (the suite and its mirror).
    offline: only what is cached or on this box. refresh: ask again for Debian
    versions that were resolved before. verify: read cached files anew, not only
    their size. jobs: sources at a time.

    Raises BuildError (source) that names every source that failed, each address
    with its own reason; what could be fetched is kept. Raises Interrupted within
    a second or two after `cancel` is set; what has arrived is kept for the next run.
    """
    every = list(sources)
    stop = threading.Event() if cancel is None else cancel
    patience = patience or Patience()
    found: dict[str, Fetched] = {}
    for source in every:
        if stop.is_set():
            raise Interrupted
        if not (refresh and not offline and _is_debian(source)):
            known = cache.resolved(source, scope=scope, verify=verify, note=reporter.line)
            if known is not None:
                found[source.name] = known
    wanted = [source for source in every if source.name not in found]
    job = _Job(cache, reporter, patience, stop, offline)
    work = [
        _Work((source.name,), functools.partial(job.one, source))
        for source in wanted
        if isinstance(source, (UrlSource, GitSource))
    ]
    of_debian = [s for s in wanted if isinstance(s, (DebianSource, DebianPackage))]
    if of_debian:
        names = tuple(s.name for s in of_debian)
        # First: apt has to start a container, so it takes longest.
        work.insert(0, _Work(names, lambda: job.debian(of_debian, debian, scope)))
    failures = _side_by_side(work, jobs, stop, found)
    if failures:
        raise _joined(failures)
    return {source.name: found[source.name] for source in every}


def reachable(source: UrlSource | GitSource, timeout: float = 10.0) -> str | None:
    """None where an address of `source` answers as it should, else the reason of each.

    Nothing is downloaded. timeout: seconds to wait for each answer.
    """
    patience = Patience(connect=timeout, stall=timeout, silence=timeout, attempts=1)
    reasons: list[tuple[str, str]] = []
    for url in source.urls:
        try:
            if isinstance(source, GitSource):
                with tempfile.TemporaryDirectory() as folder:
                    git = _Git(Path(folder), patience, threading.Event(), source.name)
                    git.run("ls-remote", "--quiet", "--", url, "HEAD")
            elif _is_file(url):
                _local_file(url, source)
            else:
                _probe(url, source, patience)
        except _Failed as error:
            reasons.append((url, error.reason))
        except BuildError as error:
            return error.message
        else:
            return None
    return "; ".join(f"{shown(url)}: {reason}" for url, reason in reasons)


def shown(url: str) -> str:
    """`url` as it may be shown: no user name, no password, nothing that moves a cursor."""
    try:
        parts = urlsplit(url)
        if "@" in parts.netloc:
            url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    except ValueError:  # such as a bracket that isn't closed
        url = re.sub(r"//[^/]*@", "//", url)
    return printable(url)


# -- running side by side ---------------------------------------------------


@dataclass(frozen=True)
class _Work:
    names: tuple[str, ...]
    run: Callable[[], list[Fetched]]


def _side_by_side(
    work: Sequence[_Work], jobs: int, stop: threading.Event, found: dict[str, Fetched]
) -> list[tuple[_Work, BuildError]]:
    """Run `work` in at most `jobs` threads; results go to `found`, failures are returned."""
    todo: queue.SimpleQueue[_Work] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[_Work, list[Fetched], BaseException | None]]
    done = queue.SimpleQueue()
    for item in work:
        todo.put(item)

    def worker() -> None:
        while not stop.is_set():
            try:
                item = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((item, item.run(), None))
            except BaseException as error:  # raised by the thread that waits
                done.put((item, [], error))

    # Daemons: a thread that waits for a silent server must not hold up Ctrl-C.
    threads = [
        threading.Thread(target=worker, daemon=True, name=f"fetch-{n}")
        for n in range(max(1, min(jobs, len(work))))
    ]
    failures: list[tuple[_Work, BuildError]] = []
    left = len(work)
    try:
        for thread in threads:
            thread.start()
        while left:
            try:
                item, results, error = done.get(timeout=0.1)
            except queue.Empty:
                if stop.is_set():
                    raise Interrupted from None
                continue
            left -= 1
            found.update({result.name: result for result in results})
            if isinstance(error, BuildError):
                failures.append((item, error))
            elif error is not None:
                raise error
    except BaseException:
        stop.set()
        until = time.monotonic() + 1.0
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))
        raise
    return sorted(failures, key=lambda failure: work.index(failure[0]))


def _joined(failures: Sequence[tuple[_Work, BuildError]]) -> BuildError:
    """One error for all: the only one as it is, several one below the other."""
    if len(failures) == 1:
        return failures[0][1]
    names = [name for work, _ in failures for name in work.names]
    hints = list(dict.fromkeys(error.hint for _, error in failures if error.hint))
    return BuildError(
        f"{len(names)} sources could not be fetched: {', '.join(names)}\n"
        + "\n".join(error.message for _, error in failures),
        hint="\n".join(hints),
        exit=Exit.SOURCE,
    )


def _is_debian(source: Source) -> bool:
    return isinstance(source, (DebianSource, DebianPackage))


class _Failed(Exception):  # noqa: N818 - it is collected, not shown
    """An address is of no use, for `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Passing(_Failed):
    """The same address may do next time; `pause` is what the server asked for, in seconds."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclass(frozen=True)
class _Job:
    """What all sources of one run share."""

    cache: Cache
    reporter: Reporter
    patience: Patience
    stop: threading.Event
    offline: bool

    def one(self, source: UrlSource | GitSource) -> list[Fetched]:
        return [self.url(source) if isinstance(source, UrlSource) else self.git(source)]

    def url(self, source: UrlSource) -> Fetched:
        name = file_name(source)
        with self.reporter.transfer(source.name) as task:
            file = self._cached(source, name) or self._download(source, name, task)
        fetched = Fetched(source.name, source.sha256, (file,))
        self.cache.record(source, fetched)
        return fetched

    def _cached(self, source: UrlSource, name: str) -> CachedFile | None:
        file = self.cache.lookup(source.sha256, name=name, note=self.reporter.line)
        if file is not None and source.size not in (None, file.size):
            raise BuildError(
                f"sources.{source.name}.size: the file of that sha256 has {file.size} bytes, "
                f"the recipe says {source.size}",
                hint="correct the size, or leave it out",
            )
        return file

    def _download(self, source: UrlSource, name: str, task: Task) -> CachedFile:
        reasons: list[tuple[str, str]] = []
        urls = self._usable(source)
        with self.cache.partial(
            source.sha256, stop=self.stop, waiting=lambda: task.show("waiting for another run")
        ) as partial:
            file = self._cached(source, name)  # the other run may have finished it
            if file is not None:
                return file
            download = _Download(source, name, self.cache, partial, task, self.patience, self.stop)
            for url in urls:
                try:
                    return download.from_file(url) if _is_file(url) else download.from_server(url)
                except _Failed as error:
                    reasons.append((url, error.reason))
                    if url != urls[-1]:
                        self._passed_over(source, url, error)
        raise BuildError(
            _report(source, reasons),
            hint=f"look at the reasons above; to use a copy of the file: "
            f"--set sources.{source.name}.urls=file:///path/to/{name}",
            exit=Exit.SOURCE,
        )

    def git(self, source: GitSource) -> Fetched:
        reasons: list[tuple[str, str]] = []
        urls = self._usable(source)
        with self.reporter.transfer(source.name) as task:
            for url in urls:
                try:
                    with self.cache.scratch() as folder:
                        git = _Git(folder, self.patience, self.stop, source.name, task)
                        tar = _commit_as_tar(git, source, url)
                        file = self.cache.adopt(tar, name=f"{source.name}-{source.commit[:12]}.tar")
                except _Failed as error:
                    reasons.append((url, error.reason))
                    if url != urls[-1]:
                        self._passed_over(source, url, error)
                    continue
                fetched = Fetched(source.name, source.commit, (file,))
                self.cache.record(source, fetched)
                return fetched
        raise BuildError(
            _report(source, reasons),
            hint=f"look at the reasons above; to use a clone on this box: "
            f"--set sources.{source.name}.urls=file:///path/to/clone",
            exit=Exit.SOURCE,
        )

    def debian(
        self,
        sources: Sequence[DebianSource | DebianPackage],
        fetcher: DebianFetcher | None,
        scope: str,
    ) -> list[Fetched]:
        names = ", ".join(source.name for source in sources)
        if self.offline:
            raise BuildError(
                f"not in the cache, and the run is offline: {names}",
                hint="run once with the network",
                exit=Exit.SOURCE,
            )
        if fetcher is None:
            raise BuildError(
                f"not in the cache, and there is no apt of the suite to ask: {names}",
                hint="run a verb that has a builder image, such as build",
                exit=Exit.SOURCE,
            )
        fetched: list[Fetched] = []
        problems: list[str] = []
        with self.reporter.transfer(names), self.cache.scratch() as into:
            results = fetcher.fetch(sources, into)
            taken: dict[Path, CachedFile] = {}
            for source in sources:
                if self.stop.is_set():
                    raise Interrupted
                try:
                    files = self._take(source, results.get(source.name), into, taken)
                except _Failed as error:
                    problems.append(f"{source.name}: {error.reason}")
                    continue
                fetched.append(Fetched(source.name, results[source.name].version, files))
                self.cache.record(source, fetched[-1], scope=scope)
        if problems:
            raise BuildError(
                "\n".join(problems),
                hint="compare the recipe's version with what the suite's mirror carries",
                exit=Exit.SOURCE,
            )
        return fetched

    def _take(
        self,
        source: DebianSource | DebianPackage,
        result: DebianResult | None,
        into: Path,
        taken: dict[Path, CachedFile],
    ) -> tuple[CachedFile, ...]:
        if result is None or not result.files:
            raise _Failed(f"apt brought nothing for {source.package}")
        if not fnmatch.fnmatchcase(result.version, source.version):
            raise _Failed(
                f"{source.package} {source.version} was asked for, and apt brought {result.version}"
            )
        for path in result.files:
            if path in taken:  # two sources of the recipe may share a file
                continue
            if not path.absolute().parent.resolve().is_relative_to(into.resolve()):
                raise _Failed(f"{path.name} lies outside of the download folder")
            try:
                taken[path] = self.cache.adopt(path)
            except OSError as error:
                raise _Failed(f"{path.name}: {error.strerror}") from None
        return tuple(taken[path] for path in result.files)

    def _usable(self, source: UrlSource | GitSource) -> list[str]:
        """The addresses that this run may use."""
        urls = [url for url in source.urls if not self.offline or _is_local(url)]
        if not urls:
            raise BuildError(
                f"source {source.name} is not in the cache, and the run is offline",
                hint=f"run once with the network, or use a copy on this box: "
                f"--set sources.{source.name}.urls=file:///path",
                exit=Exit.SOURCE,
            )
        return urls

    def _passed_over(self, source: Source, url: str, error: _Failed) -> None:
        self.reporter.line(f"{source.name}: {shown(url)}: {error.reason}; trying the next address")


def _report(source: Source, reasons: Sequence[tuple[str, str]]) -> str:
    lines = [f"source {source.name} could not be fetched:"]
    lines += [f"  {shown(url)}: {reason}" for url, reason in reasons]
    return "\n".join(lines)


# -- files of an address ----------------------------------------------------


def _is_file(url: str) -> bool:
    return url[:5].lower() == "file:"


def _is_local(url: str) -> bool:
    return _is_file(url) or (not re.match(r"[\w+.-]+://|[^/]*:", url))


def _local_file(url: str, source: UrlSource) -> Path:
    """The file that a file: address names, seen to be there and of the right size."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _Failed("not a valid address") from None
    if parts.netloc not in ("", "localhost"):
        raise _Failed(f"names the host {printable(parts.netloc)}; write file:///path")
    path = Path(unquote(parts.path))
    try:
        found = path.resolve(strict=True)
        size = found.stat().st_size
    except (OSError, RuntimeError, ValueError) as error:  # missing, a loop of links, a NUL
        raise _Failed(getattr(error, "strerror", None) or "not a file name") from None
    if not found.is_file():
        raise _Failed("not a regular file")
    if source.size is not None and size != source.size:
        raise _Failed(f"has {size} bytes, the recipe says {source.size}")
    if not os.access(found, os.R_OK):
        raise _Failed("Permission denied")
    return found


class _Download:
    """The download of one file, over one address after the other."""

    def __init__(
        self,
        source: UrlSource,
        name: str,
        cache: Cache,
        partial: Partial,
        task: Task,
        patience: Patience,
        stop: threading.Event,
    ) -> None:
        self._source = source
        self._name = name
        self._cache = cache
        self._partial = partial
        self._task = task
        self._patience = patience
        self._stop = stop
        self._shown = 0
        self._single = False  # whether the bytes at hand came with one answer
        self._end_known = False  # whether the server said how many bytes there are

    def from_file(self, url: str) -> CachedFile:
        """The file from this box, as it is: it is copied, never taken away."""
        path = _local_file(url, self._source)
        try:
            file = self._cache.adopt(path, self._source.sha256, name=self._name, keep=True)
        except WrongDigest as error:
            raise _Failed(_mismatch(error)) from None
        except OSError as error:
            raise _Failed(error.strerror or "cannot be read") from None
        self._task.total(file.size)
        self._at(file.size)
        return file

    def from_server(self, url: str) -> CachedFile:
        """The file from a server: tried again while that may help, resumed where it can be."""
        import requests

        attempt, best = 1, self._partial.size()
        with requests.Session() as session:
            while True:
                try:
                    if not self._source.size or self._partial.size() != self._source.size:
                        self._transfer(session, url)
                    return self._settle()
                except _Passing as error:
                    size = self._partial.size()
                    if size - best >= self._patience.progress:
                        attempt = 0
                    best = max(best, size)
                    if attempt >= self._patience.attempts:
                        tries = f" ({attempt} attempts)" if attempt > 1 else ""
                        raise _Failed(error.reason + tries) from None
                    attempt += 1
                    self._task.show(f"again: {error.reason}")
                    self._rest(attempt, error.pause)

    def _rest(self, attempt: int, asked: float | None) -> None:
        pause = self._patience.pause * 2 ** max(0, attempt - 2)
        pause *= 0.5 + random.random() / 2  # noqa: S311 - so that many boxes don't come at once
        if self._stop.wait(min(pause if asked is None else asked, self._patience.longest)):
            raise Interrupted

    def _settle(self) -> CachedFile:
        """The complete file taken into the cache, or thrown away where it is wrong."""
        with self._partial.path.open("rb") as stream:
            title = _page_title(stream.read(_HEAD))
        try:
            return self._cache.adopt(self._partial.path, self._source.sha256, name=self._name)
        except WrongDigest as error:
            reason = _mismatch(error)
            if title is not None:
                reason += f"; it is an HTML page{title}"
            # Pieces of two files, or an end that nobody announced: the whole may do.
            again = not (self._single and self._end_known)
            self._restart()
            raise (_Passing if again else _Failed)(reason) from None

    def _restart(self) -> None:
        self._partial.discard()
        self._single = False
        self._at(0)

    def _at(self, position: int) -> None:
        self._task.advance(position - self._shown)
        self._shown = position

    def _transfer(self, session: requests.Session, url: str) -> None:
        """Bring the partial file to its end with one request; returns when it is there."""
        offset = self._partial.size()
        size = self._source.size
        if size is not None and offset > size:
            self._restart()
            offset = 0
        with _answer(session, "GET", url, self._range(url, offset), self._patience) as response:
            status = response.status_code
            if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
                return  # what is here may be all of it; if not, its digest says so
            if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise _refusal(response)
            total = _length(response)
            if status == HTTPStatus.PARTIAL_CONTENT:
                begin, whole = _content_range(response)
                if begin != offset or not offset:
                    self._restart()
                    raise _Passing(f"the server sent another range than bytes {offset}-")
                total = whole if whole is not None or total is None else offset + total
            else:
                offset = 0  # it ignores ranges, or the file there has changed
            self._body(response, url, offset, total)

    def _body(self, response: requests.Response, url: str, offset: int, total: int | None) -> None:
        size = self._source.size
        chunks = _chunks(response, self._patience, self._stop)
        first = next(chunks, b"")
        if offset == 0 and _ARCHIVE.search(self._name) and _is_page(response, first):
            raise _Failed(_page_reason(first, chunks))
        if None not in (total, size) and total != size:
            raise _Failed(f"the file there has {total} bytes, the recipe says {size}")
        limit = next(n for n in (size, total, _ENDLESS) if n is not None)
        expected = total if total is not None else size
        if expected is not None:
            self._task.total(expected)
        self._end_known = total is not None
        self._at(offset)
        self._task.show("")
        position = offset
        try:
            self._single = offset == 0
            if offset == 0:
                self._partial.came_from(url=shown(url), **_validators(response))
            with self._partial.open(offset) as out:
                for chunk in _prepend(first, chunks):
                    if position + len(chunk) > limit:
                        raise _TooMuch
                    out.write(chunk)
                    position += len(chunk)
                    self._at(position)
        except _TooMuch:
            self._restart()
            raise _Failed(f"the server sends more than {limit} bytes") from None
        except _Passing as error:
            of = f" of {expected}" if expected is not None else ""
            raise _Passing(f"{error.reason} after {position}{of} bytes") from None
        except OSError as error:
            needed = None if expected is None else expected - position
            raise storage_error(error, self._cache.root, needed) from None
        if expected is not None and position < expected:
            raise _Passing(f"the answer ended after {position} of {expected} bytes")

    def _range(self, url: str, offset: int) -> dict[str, str]:
        """Headers that ask for what is missing (RFC 9110, sections 13.1.5 and 14.2)."""
        if not offset:
            return {}
        headers = {"Range": f"bytes={offset}-"}
        origin = self._partial.origin()
        # Another mirror has validators of its own; there the digest alone decides.
        if origin.get("url") == shown(url):
            validator = origin.get("etag") or origin.get("modified")
            if validator:
                headers["If-Range"] = validator
        return headers


class _TooMuch(Exception):  # noqa: N818 - control flow within one function
    pass


def _prepend(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _mismatch(error: WrongDigest) -> str:
    return (
        f"wrong content ({error.size} bytes): its sha256 is {error.actual}, not "
        f"{error.expected}; it was thrown away. Change a pin only if you know why the file changed"
    )


# -- http -------------------------------------------------------------------


@contextlib.contextmanager
def _answer(
    session: requests.Session, method: str, url: str, headers: Mapping[str, str], patience: Patience
) -> Iterator[requests.Response]:
    """The answer at the end of all redirects, its body not read yet.

    The adapter is asked, not the session: that reads the body of every redirect
    to its end, and a hostile one has none.
    """
    import requests

    # Anything else would be unpacked on the way, and the digest is of the file as it is.
    sent = {"User-Agent": "dom0-debs", "Accept-Encoding": "identity", **headers}
    seen = [url]
    try:
        if urlsplit(url).scheme not in ("http", "https"):
            raise _Failed("not an http, https or file address")
    except ValueError:
        raise _Failed("not a valid address") from None
    while True:
        try:
            request = session.prepare_request(requests.Request(method, seen[-1], headers=sent))
            here = request.url or ""
            settings = session.merge_environment_settings(here, {}, True, None, None)
            response = session.get_adapter(here).send(
                request,
                timeout=(patience.connect, patience.stall),
                stream=True,
                verify=True if settings["verify"] is None else settings["verify"],
                cert=settings["cert"],
                proxies=settings["proxies"],
            )
        except ValueError:  # InvalidURL, InvalidSchema and their like
            raise _Failed("not a valid address") from None
        except requests.RequestException as error:
            raise _network(error) from None
        try:
            target = session.get_redirect_target(response)
            if target is None:
                yield response
                return
        finally:
            response.close()
        try:
            following = urldefrag(urljoin(seen[-1], target)).url
            scheme = urlsplit(following).scheme
        except ValueError:
            raise _Failed("redirects to something that is no address") from None
        if scheme not in ("http", "https"):  # above all not to a file of this box
            raise _Failed(f"redirects to {_brief(following)}, which is not http or https")
        looped = following in seen
        seen.append(following)
        if len(seen) > _REDIRECTS + 1:
            if looped:
                path = " -> ".join(_brief(u) for u in seen[seen.index(following) :])
                raise _Failed(f"redirects in a loop: {path}")
            raise _Failed(f"redirects more than {_REDIRECTS} times, last to {_brief(following)}")


def _brief(url: str) -> str:
    """An address that a server named: without its query, which may hold a signature."""
    return shown(url).partition("?")[0][:200]


def _chunks(
    response: requests.Response, patience: Patience, stop: threading.Event
) -> Iterator[bytes]:
    """The body as it arrives. Raises _Passing where it breaks off or stalls."""
    import urllib3.exceptions

    since, heard = time.monotonic(), 0
    while True:
        if stop.is_set():
            raise Interrupted
        try:
            data = response.raw.read1(_CHUNK, decode_content=False)
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            raise _network(error) from None
        if not data:
            return
        heard += len(data)
        if heard >= _TRICKLE:
            since, heard = time.monotonic(), 0
        elif time.monotonic() - since > patience.stall:
            raise _Passing(f"the server stalled ({heard} bytes in {patience.stall:g} s)")
        yield data


def _network(error: BaseException) -> _Failed:
    """What went wrong below http, in words that hold nothing of the address."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        inner = [getattr(current, "reason", None), *current.args]
        inner += [current.__cause__, current.__context__]
        current = next((e for e in inner if isinstance(e, BaseException)), None)
    if any(type(cause).__name__ == "ConnectTimeoutError" for cause in chain):
        return _Passing("no connection in time")
    for cause in reversed(chain):
        name = type(cause).__name__
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _Failed(f"its certificate is not accepted: {cause.verify_message}")
        if isinstance(cause, socket.gaierror):
            return _Passing(f"the host's name has no address ({cause.strerror})")
        if isinstance(cause, TimeoutError) or name == "ReadTimeoutError":
            return _Passing("the server stalled")
        if isinstance(cause, http.client.RemoteDisconnected):
            return _Passing("the server closed the connection without an answer")
        if isinstance(cause, http.client.IncompleteRead) or name == "IncompleteRead":
            return _Passing("the connection ended")
        if isinstance(cause, ssl.SSLError):
            return _Passing(f"TLS failed: {cause.reason or name}")
        if isinstance(cause, OSError) and cause.strerror:
            return _Passing(cause.strerror.lower())
    return _Passing(f"the answer makes no sense ({type(chain[-1]).__name__})")


def _refusal(response: requests.Response) -> _Failed:
    code = response.status_code
    phrase = printable(str(response.reason or ""))[:60]
    text = f"HTTP {code} {phrase}".rstrip()
    if code in (408, 425, 429) or code >= 500:
        return _Passing(text, _retry_after(response))
    return _Failed(text)


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that the server asks to wait (RFC 9110, section 10.2.3)."""
    value = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return None


def _length(response: requests.Response) -> int | None:
    value = response.headers.get("Content-Length", "")
    if "Transfer-Encoding" in response.headers or not re.fullmatch(r"[0-9]{1,18}", value):
        return None
    return int(value)


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """The first byte and the length of the whole file, each where it is said."""
    value = response.headers.get("Content-Range", "").strip()
    match = re.fullmatch(r"bytes\s+(?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)", value)
    if not match:
        return None, None
    begin, whole = match.groups()
    return (
        None if begin is None else int(begin),
        None if whole == "*" else int(whole),
    )


def _validators(response: requests.Response) -> dict[str, str]:
    """What If-Range may hold; a weak ETag may not (RFC 9110, section 13.1.5)."""
    found: dict[str, str] = {}
    etag = response.headers.get("ETag", "")
    if etag.startswith('"') and etag.isprintable():
        found["etag"] = etag
    modified = response.headers.get("Last-Modified", "")
    if modified and modified.isprintable():
        found["modified"] = modified
    return found


def _is_page(response: requests.Response, first: bytes) -> bool:
    """Whether the answer is an HTML page, by its first bytes or by what it says it is."""
    if _PAGE.match(first.removeprefix(b"\xef\xbb\xbf")):
        return True
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in ("text/html", "application/xhtml+xml"):
        return False
    # Some servers call every file text/html; an archive is not text.
    return not re.search(rb"[\x00-\x08\x0e-\x1f\x80-\xff]", first[:512])


def _page_reason(first: bytes, rest: Iterator[bytes]) -> str:
    head = first
    with contextlib.suppress(_Failed):
        while len(head) < _HEAD and b"</title" not in head.lower():
            more = next(rest, b"")
            if not more:
                break
            head += more
    return (
        f"the server answered with an HTML page{_title(head)}, "
        "perhaps the address is dead or squatted"
    )


def _page_title(head: bytes) -> str | None:
    """The title of a page, as it is shown; None where `head` does not begin a page."""
    return _title(head) if _PAGE.match(head.removeprefix(b"\xef\xbb\xbf")) else None


def _title(head: bytes) -> str:
    match = re.search(rb"<title[^>]*>([^<]*)", head[:_HEAD], re.IGNORECASE)
    if not match:
        return ""
    text = html.unescape(match.group(1).decode("utf-8", "replace"))
    text = " ".join(printable(text).split())[:80]
    return f' (title: "{text}")' if text else ""


def _probe(url: str, source: UrlSource, patience: Patience) -> None:
    """Ask whether a server has the file; raises _Failed with the reason where not."""
    import requests

    name = file_name(source)
    with requests.Session() as session:
        with _answer(session, "HEAD", url, {}, patience) as response:
            kind = response.headers.get("Content-Type", "")
            if response.status_code == HTTPStatus.OK and not kind.startswith("text/html"):
                _same_size(_length(response), source)
                return
        # HEAD is refused by some, and a page has to be looked at.
        with _answer(session, "GET", url, {"Range": "bytes=0-0"}, patience) as response:
            if response.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise _refusal(response)
            chunks = _chunks(response, patience, threading.Event())
            first = next(chunks, b"")
            if _ARCHIVE.search(name) and _is_page(response, first):
                raise _Failed(_page_reason(first, chunks))
            partly = response.status_code == HTTPStatus.PARTIAL_CONTENT
            _same_size(_content_range(response)[1] if partly else _length(response), source)


def _same_size(announced: int | None, source: UrlSource) -> None:
    if None not in (announced, source.size) and announced != source.size:
        raise _Failed(f"the file there has {announced} bytes, the recipe says {source.size}")


# -- git --------------------------------------------------------------------

# What another try does not change.
_GIT_FINAL = re.compile(
    r"not found|does not exist|not appear to be a git repository|authentication failed|"
    r"could not read (username|password)|permission denied|dubious ownership|"
    r"returned error: 4(?!08|29)|not our ref|transport '.*' not allowed|"
    r"unable to find remote helper|certificate|unadvertised object|shallow",
    re.IGNORECASE,
)
# A server that does not serve single commits; its branches and tags may hold it.
_GIT_REFUSED = re.compile(r"unadvertised object|shallow", re.IGNORECASE)


class _Git:
    """git in a folder of its own, with an environment that no user's setting changes."""

    def __init__(
        self,
        folder: Path,
        patience: Patience,
        stop: threading.Event,
        name: str,
        task: Task | None = None,
    ) -> None:
        self.folder = folder
        self.patience = patience
        self.stop = stop
        self._name = name
        self._task = task
        kept = ("GIT_SSL_", "GIT_SSH")
        self._environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("GIT_") or key.startswith(kept)
        } | {
            "GIT_DIR": str(folder / "git"),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
            "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
            "GIT_HTTP_LOW_SPEED_TIME": str(max(1, round(patience.stall))),
            "LC_ALL": "C",
        }
        self._environment.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")

    def run(self, *arguments: str) -> str:
        """Run git; returns its output. Raises _Failed or _Passing with what it said."""
        output, errors = self.folder / "stdout", self.folder / "stderr"
        with output.open("wb") as out, errors.open("wb") as err:
            try:
                process = subprocess.Popen(
                    ["git", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env=self._environment,
                    start_new_session=True,  # so that its helpers end with it
                )
            except FileNotFoundError:
                raise BuildError(
                    f"git is not installed, and source {self._name} is a git repository",
                    hint="sudo apt-get install git",
                    exit=Exit.ENGINE,
                ) from None
            try:
                self._wait(process, arguments[0], (output, errors))
            finally:
                if process.poll() is None:
                    _end(process)
        said = errors.read_text(encoding="utf-8", errors="replace")
        if process.returncode:
            if "No space left on device" in said or "Disk quota exceeded" in said:
                full = OSError(errno.ENOSPC, "No space left on device")
                raise storage_error(full, self.folder)
            reason = _complaint(said) or f"git {arguments[0]} ended with {process.returncode}"
            raise (_Failed if _GIT_FINAL.search(said) else _Passing)(reason)
        return output.read_text(encoding="utf-8", errors="replace")

    def _wait(self, process: subprocess.Popen[bytes], verb: str, watched: tuple[Path, ...]) -> None:
        since, seen = time.monotonic(), 0
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.2)
                return
            if self.stop.is_set():
                raise Interrupted
            size = sum(path.stat().st_size for path in watched)
            if size != seen:
                since, seen = time.monotonic(), size
                if self._task is not None:
                    self._task.show(f"git {verb}", _tail(watched[-1]))
            elif time.monotonic() - since > self.patience.silence:
                raise _Passing(f"git {verb} said nothing for {self.patience.silence:g} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    for number, grace in ((signal.SIGTERM, 0.5), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace)
            return


def _tail(path: Path) -> str:
    """The last line of a growing file; git rewrites its progress with carriage returns."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 400))
        text = stream.read().decode("utf-8", "replace")
    return next((line for line in reversed(re.split(r"[\r\n]", text)) if line.strip()), "")


def _complaint(said: str) -> str:
    """The first thing that git complains of, in one line and without credentials."""
    lines = [line.strip() for line in re.split(r"[\r\n]", said) if line.strip()]
    first = next((n for n, line in enumerate(lines) if line.startswith(("fatal:", "error:"))), -1)
    chosen = lines[first:][:2] if lines else []
    if chosen and not chosen[0].endswith(":"):
        del chosen[1:]
    text = re.sub(r"^(fatal|error): ", "", " ".join(chosen))
    if "dubious ownership" in text:  # git's own advice is about a setting that isn't read here
        text = "the repository belongs to another user: name a copy that belongs to you"
    return printable(re.sub(r"//[^/\s@']*@", "//", text))[:300]


def _commit_as_tar(git: _Git, source: GitSource, url: str) -> Path:
    """The pinned commit of the repository at `url` as a tar with the prefix NAME/.

    The tar is the same for a commit wherever it was fetched: the attributes in
    the tree that leave files out or write the state of the repository into them
    are off (gitattributes(5), Creating an archive).
    """
    git.run("init", "--quiet", "--bare", "--template=", str(git.folder / "git"))
    attributes = git.folder / "git" / "info" / "attributes"
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text("* -export-ignore -export-subst\n", encoding="ascii")
    _fetch_commit(git, source, url)
    try:
        found = git.run("rev-parse", "--verify", f"{source.commit}^{{commit}}").strip()
    except _Failed:
        raise _Failed(_not_there(git, source, url)) from None
    if found != source.commit:
        raise _Failed(f"{source.commit} is not a commit but a tag of {found}: pin that one")
    tar = git.folder / "tree.tar"
    git.run("archive", "--format=tar", f"--prefix={source.name}/", f"--output={tar}", source.commit)
    return tar


def _fetch_commit(git: _Git, source: GitSource, url: str) -> None:
    attempt = 1
    whole = False
    while True:
        try:
            if whole:
                heads, tags = "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"
                git.run("fetch", "--progress", "--no-tags", "--", url, heads, tags)
            else:
                git.run("fetch", "--progress", "--depth=1", "--", url, source.commit)
            return
        except _Passing as error:
            if _is_local(url) or attempt >= git.patience.attempts:
                raise _Failed(error.reason) from None
            attempt += 1
            if git.stop.wait(min(git.patience.pause * 2 ** (attempt - 2), git.patience.longest)):
                raise Interrupted from None
        except _Failed as error:
            if not whole and _GIT_REFUSED.search(error.reason):
                whole = True
                continue
            if "not our ref" in error.reason:
                raise _Failed(_not_there(git, source, url)) from None
            raise


def _not_there(git: _Git, source: GitSource, url: str) -> str:
    """The reason for a commit that a repository lacks, with what its own branch has."""
    reason = f"commit {source.commit} is not in that repository"
    with contextlib.suppress(_Failed):
        text = git.run("ls-remote", "--symref", "--", url, "HEAD")
        branch = re.search(r"^ref: refs/heads/(\S+)\s+HEAD$", text, re.MULTILINE)
        commit = re.search(r"^([0-9a-f]{40})\s+HEAD$", text, re.MULTILINE)
        if commit:
            named = f"branch {printable(branch.group(1))}" if branch else "HEAD"
            reason += f"; its {named} is at {commit.group(1)}"
    return reason
