# SPDX-License-Identifier: GPL-2.0-or-later
"""One file from one address: resumed, tried again while that helps, verified before it is kept."""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import html
import http.client
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urljoin, urlsplit

from builders.errors import Interrupted
from builders.ground.sources.address import (
    Failed,
    Missing,
    Passing,
    Patience,
    Wrong,
    brief,
    local_file,
    shown,
)
from builders.ground.sources.cache import Cache, CachedFile, WrongDigest, file_name
from builders.ground.sources.deadline import Deadline
from builders.ground.sources.deadline import session as session_of
from builders.ground.sources.partial import Partial
from builders.ground.sources.pins import UrlSource
from builders.ground.sources.storage import storage_error
from builders.progress import Task
from builders.text import printable

if TYPE_CHECKING:
    # At run time it is imported where it is used: it is slow, and it opens a
    # socket when it is loaded, which a run that finds everything cached must not.
    import requests

_CHUNK = 256 << 10
_HEAD = 16 << 10  # bytes that a page's title is looked for in
_REDIRECTS = 5
_ENDLESS = 4 << 30  # bytes of a file whose size the recipe does not state
_LOCATION = 4096  # characters of an address that a server names
_TRICKLE = 1024  # bytes; fewer than these in Patience.stall seconds is a stall
_ARCHIVE = re.compile(r"\.(tar|tgz|tbz2?|txz|gz|bz2|xz|lzma|zst|zip|deb|cpio)$", re.IGNORECASE)
_PAGE = re.compile(rb"\s*<(!doctype\s+html|!--|html|head|body|title|script|meta)\b", re.IGNORECASE)


class Download:
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
        path = local_file(url, self._source)
        try:
            file = self._cache.adopt(path, self._source.sha256, name=self._name, keep=True)
        except WrongDigest as error:
            raise Wrong(_mismatch(error)) from None
        except OSError as error:
            raise Failed(error.strerror or "cannot be read") from None
        self._task.total(file.size)
        self._at(file.size)
        return file

    def from_server(self, url: str) -> CachedFile:
        """The file from a server: tried again while that may help, resumed where it can be."""
        attempt, best = 1, self._partial.size()
        begun = time.monotonic()
        with Deadline() as deadline, session_of(deadline) as session:
            while True:
                try:
                    if not self._source.size or self._partial.size() != self._source.size:
                        self._transfer(session, deadline, url)
                    return self._settle()
                except Passing as error:
                    size = self._partial.size()
                    if size - best >= self._patience.progress:
                        attempt = 0
                    best = max(best, size)
                    if attempt >= self._patience.attempts:
                        tries = f" ({attempt} attempts)" if attempt > 1 else ""
                        raise (Wrong if error.wrong else Failed)(error.reason + tries) from None
                    took = time.monotonic() - begun
                    if took > self._patience.whole + size / self._patience.rate:
                        raise Failed(f"{error.reason}; given up after {took:.0f} s") from None
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
            title = page_title(stream.read(_HEAD))
        try:
            return self._cache.adopt(self._partial.path, self._source.sha256, name=self._name)
        except WrongDigest as error:
            reason = _mismatch(error)
            if title is not None:
                reason += f"; it is an HTML page{title}"
            # Pieces of two files, or an end that nobody announced: the whole may do.
            again = not (self._single and self._end_known)
            self._restart()
            if again:
                raise Passing(reason, wrong=True) from None
            raise Wrong(reason) from None

    def _restart(self) -> None:
        self._partial.discard()
        self._single = False
        self._at(0)

    def _at(self, position: int) -> None:
        self._task.advance(position - self._shown)
        self._shown = position

    def _transfer(self, session: requests.Session, deadline: Deadline, url: str) -> None:
        """Bring the partial file to its end with one request; returns when it is there."""
        offset = self._partial.size()
        size = self._source.size
        if size is not None and offset > size:
            self._restart()
            offset = 0
        headers = self._range(url, offset)
        with _answer(session, deadline, "GET", url, headers, self._patience) as response:
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
                    raise Passing(f"the server sent another range than bytes {offset}-")
                total = whole if whole is not None or total is None else offset + total
            else:
                offset = 0  # it ignores ranges, or the file there has changed
            self._body(response, deadline, url, offset, total)

    def _body(
        self,
        response: requests.Response,
        deadline: Deadline,
        url: str,
        offset: int,
        total: int | None,
    ) -> None:
        size = self._source.size
        chunks = _chunks(response, deadline, self._patience, self._stop)
        first = next(chunks, b"")
        if offset == 0 and _ARCHIVE.search(self._name) and _is_page(response, first):
            raise Failed(_page_reason(first, chunks))
        if None not in (total, size) and total != size:
            raise Wrong(f"the file there has {total} bytes, not {size}")
        if size is None and total is not None and total > _ENDLESS:
            raise Failed(f"the file there has {total} bytes: the recipe has to state such a size")
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
            raise Wrong(f"the server sends more than {limit} bytes") from None
        except Passing as error:
            of = f" of {expected}" if expected is not None else ""
            raise Passing(f"{error.reason} after {position}{of} bytes") from None
        except OSError as error:
            needed = None if expected is None else expected - position
            raise storage_error(error, self._cache.root, needed) from None
        if expected is not None and position < expected:
            raise Passing(f"the answer ended after {position} of {expected} bytes")

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
    session: requests.Session,
    deadline: Deadline,
    method: str,
    url: str,
    headers: Mapping[str, str],
    patience: Patience,
) -> Iterator[requests.Response]:
    """The answer at the end of all redirects, its body not read yet.

    Each answer on the way has patience.answer seconds, whatever it consists of; its headers are
    at most 100 of at most 64 KiB each (http.client).

    The adapter is asked, not the session: that reads the body of every redirect
    to its end, and a hostile one has none.
    """
    import requests

    # Anything else would be unpacked on the way, and the digest is of the file as it is.
    sent = {"User-Agent": "dom0-debs", "Accept-Encoding": "identity", **headers}
    seen = [url]
    try:
        if urlsplit(url).scheme not in ("http", "https"):
            raise Failed("not an http, https or file address")
    except ValueError:
        raise Failed("not a valid address") from None
    while True:
        deadline.within(patience.answer)
        try:
            request = session.prepare_request(requests.Request(method, seen[-1], headers=sent))
            here = request.url or ""
            settings = session.merge_environment_settings(here, {}, True, None, None)
        except ValueError:
            raise Failed("not a valid address") from None
        try:
            response = session.get_adapter(here).send(
                request,
                timeout=(patience.connect, patience.stall),
                stream=True,
                verify=True if settings["verify"] is None else settings["verify"],
                cert=settings["cert"],
                proxies=settings["proxies"],
            )
        except requests.RequestException as error:
            if isinstance(error, ValueError):  # InvalidURL, InvalidSchema and their like
                raise Failed("not a valid address") from None
            if deadline.passed:
                raise Passing(f"no whole answer in {patience.answer:g} s") from None
            raise _network(error) from None
        except ValueError as error:  # of the answer's headers
            raise Failed(f"the answer makes no sense ({type(error).__name__})") from None
        try:
            if deadline.passed:  # headers that are cut off look whole
                raise Passing(f"no whole answer in {patience.answer:g} s")
            target = _target(response)
            if target is None:
                yield response
                return
        finally:
            response.close()
            deadline.forget()
        try:
            following = urldefrag(urljoin(seen[-1], target)).url
            scheme = urlsplit(following).scheme
        except ValueError:
            raise Failed("redirects to something that is no address") from None
        if scheme not in ("http", "https"):  # above all not to a file of this box
            raise Failed(f"redirects to {brief(following)}, which is not http or https")
        looped = following in seen
        seen.append(following)
        if len(seen) > _REDIRECTS + 1:
            if looped:
                path = " -> ".join(brief(u) for u in seen[seen.index(following) :])
                raise Failed(f"redirects in a loop: {path}")
            raise Failed(f"redirects more than {_REDIRECTS} times, last to {brief(following)}")


def _target(response: requests.Response) -> str | None:
    """The address that a redirect names (RFC 9110, 15.4); None where the answer is none."""
    location = response.headers.get("Location")
    if location is None or response.status_code not in (301, 302, 303, 307, 308):
        return None
    # Nothing else is part of an address (RFC 3986), above all no control character.
    if len(location) > _LOCATION or not re.fullmatch(r"[!-~]*", location):
        raise Failed("redirects to something that is no address")
    return location


def _chunks(
    response: requests.Response, deadline: Deadline, patience: Patience, stop: threading.Event
) -> Iterator[bytes]:
    """The body as it arrives. Raises Passing where it breaks off, stalls or crawls."""
    import urllib3.exceptions

    begun = since = time.monotonic()
    whole = heard = 0
    deadline.within(patience.stall)
    while True:
        if stop.is_set():
            raise Interrupted
        amount = f" ({heard} bytes in {patience.stall:g} s)" if heard else ""
        stalled = Passing(f"the server stalled{amount}")
        try:
            data = response.raw.read1(_CHUNK, decode_content=False)
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            raise (stalled if deadline.passed else _network(error)) from None
        if not data:
            if deadline.passed:
                raise stalled
            return
        whole += len(data)
        heard += len(data)
        now = time.monotonic()
        if heard >= _TRICKLE:
            since, heard = now, 0
            deadline.within(patience.stall)
        elif now - since > patience.stall:
            raise stalled
        if now - begun > patience.grace + whole / patience.rate:
            raise Passing(f"too slow: {whole} bytes in {now - begun:.0f} s")
        yield data


def _network(error: BaseException) -> Failed:
    """What went wrong below http, in words that hold nothing of the address."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        inner = [getattr(current, "reason", None), *current.args]
        inner += [current.__cause__, current.__context__]
        current = next((e for e in inner if isinstance(e, BaseException)), None)
    if any(type(cause).__name__ == "ConnectTimeoutError" for cause in chain):
        return Passing("no connection in time")
    for cause in reversed(chain):
        name = type(cause).__name__
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failed(f"its certificate is not accepted: {cause.verify_message}")
        if isinstance(cause, socket.gaierror):
            return Passing(f"the host's name has no address ({cause.strerror})")
        if isinstance(cause, TimeoutError) or name == "ReadTimeoutError":
            return Passing("the server stalled")
        if isinstance(cause, http.client.RemoteDisconnected):
            return Passing("the server closed the connection without an answer")
        if isinstance(cause, http.client.IncompleteRead) or name == "IncompleteRead":
            return Passing("the connection ended")
        if isinstance(cause, ssl.SSLError):
            return Passing(f"TLS failed: {cause.reason or name}")
        if isinstance(cause, OSError) and cause.strerror:
            return Passing(cause.strerror.lower())
    return Passing(f"the answer makes no sense ({type(chain[-1]).__name__})")


def _refusal(response: requests.Response) -> Failed:
    code = response.status_code
    phrase = printable(str(response.reason or ""))[:60]
    text = f"HTTP {code} {phrase}".rstrip()
    if code in (408, 425, 429) or code >= 500:
        return Passing(text, _retry_after(response))
    return Missing(text) if code in (404, 410) else Failed(text)


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
    validators: dict[str, str] = {}
    etag = response.headers.get("ETag", "")
    if etag.startswith('"') and etag.isprintable():
        validators["etag"] = etag
    modified = response.headers.get("Last-Modified", "")
    if modified and modified.isprintable():
        validators["modified"] = modified
    return validators


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
    with contextlib.suppress(Failed):
        while len(head) < _HEAD and b"</title" not in head.lower():
            more = next(rest, b"")
            if not more:
                break
            head += more
    return (
        f"the server answered with an HTML page{_title(head)}, "
        "perhaps the address is dead or squatted"
    )


def page_title(head: bytes) -> str | None:
    """The title of a page, as it is shown; None where `head` does not begin a page."""
    return _title(head) if _PAGE.match(head.removeprefix(b"\xef\xbb\xbf")) else None


def _title(head: bytes) -> str:
    match = re.search(rb"<title[^>]*>([^<]*)", head[:_HEAD], re.IGNORECASE)
    if not match:
        return ""
    text = html.unescape(match.group(1).decode("utf-8", "replace"))
    text = " ".join(printable(text).split())[:80]
    return f' (title: "{text}")' if text else ""


@dataclass(frozen=True)
class Answer:
    """What an address gave: the status, the address at the end of redirects, the body.

    size: bytes of the whole file, where the server said how many.
    """

    status: int
    url: str
    body: bytes
    size: int | None = None


def get(
    url: str,
    limit: int,
    stop: threading.Event | None = None,
    *,
    method: str = "GET",
    patience: Patience | None = None,
) -> Answer:
    """What a small file's address gives, held in memory; the body only of a good answer.

    limit: bytes that it may have. It is tried again where that may help, and each try has the
    deadlines of a download. Raises Failed with the reason, Interrupted when `stop` is set.
    """
    patience, stop = patience or Patience(), stop or threading.Event()
    for attempt in range(1, patience.attempts + 1):
        try:
            with Deadline() as deadline, session_of(deadline) as session:
                return _got(session, deadline, method, url, limit, patience, stop)
        except Passing as error:
            if attempt == patience.attempts:
                raise Failed(error.reason) from None
            if stop.wait(min(patience.pause * attempt, patience.longest)):
                raise Interrupted from None
    raise AssertionError  # the last attempt returns or raises


def _got(
    session: requests.Session,
    deadline: Deadline,
    method: str,
    url: str,
    limit: int,
    patience: Patience,
    stop: threading.Event,
) -> Answer:
    with _answer(session, deadline, method, url, {}, patience) as response:
        status = response.status_code
        if status >= 500:
            raise _refusal(response)
        body = bytearray()
        if status == HTTPStatus.OK and method != "HEAD":
            for chunk in _chunks(response, deadline, patience, stop):
                body += chunk
                if len(body) > limit:
                    raise Failed(f"has no end: over {limit >> 20} MiB")
            length = _length(response)
            if length is not None and len(body) < length:
                raise Passing(f"the answer ended after {len(body)} of {length} bytes")
        return Answer(status, str(response.url), bytes(body), _length(response))


def piece(
    url: str, span: str, most: int, patience: Patience, stop: threading.Event
) -> Answer | None:
    """A part of a file, at most `most` bytes of it; one try.

    span: as a Range header has it, "0-1023" or "-1024" (RFC 9110, 14.1.2). None where the server
    gives the whole file for it. Raises Failed with the reason.
    """
    with Deadline() as deadline, session_of(deadline) as session:
        headers = {"Range": f"bytes={span}"}
        with _answer(session, deadline, "GET", url, headers, patience) as response:
            status = response.status_code
            if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise _refusal(response)
            partly = status == HTTPStatus.PARTIAL_CONTENT
            if not partly and span.startswith("-"):
                return None
            body = bytearray()
            for chunk in _chunks(response, deadline, patience, stop):
                body += chunk[: most - len(body)]
                if len(body) >= most:
                    break
            size = _content_range(response)[1] if partly else _length(response)
            return Answer(status, str(response.url), bytes(body), size)


def digest(url: str, limit: int, patience: Patience, stop: threading.Event) -> tuple[str, int, str]:
    """The sha256 of what an address serves, its size, and the address at the end of redirects.

    Nothing of it is kept; one try. limit: bytes that it may have. Raises Failed.
    """
    with (
        Deadline() as deadline,
        session_of(deadline) as session,
        _answer(session, deadline, "GET", url, {}, patience) as response,
    ):
        if response.status_code != HTTPStatus.OK:
            raise _refusal(response)
        whole, size = hashlib.sha256(), 0
        for chunk in _chunks(response, deadline, patience, stop):
            whole.update(chunk)
            size += len(chunk)
            if size > limit:
                raise Wrong(f"the server sends more than {limit} bytes")
        length = _length(response)
        if length is not None and size < length:
            raise Failed(f"the answer ended after {size} of {length} bytes")
        return whole.hexdigest(), size, str(response.url)


def probe(url: str, source: UrlSource, patience: Patience) -> None:
    """Ask whether a server has the file; raises Failed with the reason where not."""
    name = file_name(source)
    with Deadline() as deadline, session_of(deadline) as session:
        with _answer(session, deadline, "HEAD", url, {}, patience) as response:
            kind = response.headers.get("Content-Type", "")
            if response.status_code == HTTPStatus.OK and not kind.startswith("text/html"):
                _same_size(_length(response), source)
                return
        # HEAD is refused by some, and a page has to be looked at.
        first_byte = {"Range": "bytes=0-0"}
        with _answer(session, deadline, "GET", url, first_byte, patience) as response:
            if response.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise _refusal(response)
            chunks = _chunks(response, deadline, patience, threading.Event())
            first = next(chunks, b"")
            if _ARCHIVE.search(name) and _is_page(response, first):
                raise Failed(_page_reason(first, chunks))
            partly = response.status_code == HTTPStatus.PARTIAL_CONTENT
            _same_size(_content_range(response)[1] if partly else _length(response), source)


def _same_size(announced: int | None, source: UrlSource) -> None:
    if None not in (announced, source.size) and announced != source.size:
        raise Wrong(f"the file there has {announced} bytes, not {source.size}")
