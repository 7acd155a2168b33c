# SPDX-License-Identifier: GPL-2.0-or-later
"""Blobs and manifests of one repository in a registry (OCI Distribution Specification 1.1).

What a registry serves is believed only by its digest, and read only as far as it was announced.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from builders.errors import Interrupted
from builders.ground.registry import credentials
from builders.ground.registry.address import Address, is_loopback
from builders.ground.registry.failures import RegistryError, WrongBytesError
from builders.ground.sources.address import Patience
from builders.ground.sources.deadline import Deadline
from builders.ground.sources.deadline import session as session_of
from builders.text import printable

if TYPE_CHECKING:
    import requests

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG_LIMIT = 64 << 20  # bytes of a manifest's config, as of a stage's record
_MANIFEST_LIMIT = 4 << 20  # bytes; the least that a registry has to take (OCI, "Pushing manifests")
_LAYERS = 4096
_WHOLE = 32 << 30  # bytes of all layers of one manifest
_TAGS = 100_000
_ANSWER = 1 << 20  # bytes of an answer that is no blob
_CHUNK = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_TITLE = "org.opencontainers.image.title"
_CREATED = "org.opencontainers.image.created"
_CHALLENGE = re.compile(r'([a-z]{1,20})="([^"]{0,2000})"', re.IGNORECASE)
_REDIRECTS = 5
_PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds
# Codes of the OCI Distribution Specification, "Error Codes", for an upload that another writer of
# the same blob, or the registry's own cleaning, got in the way of. Those who truly sent wrong bytes
# hear it again at the last try.
_DISTURBED = {"DIGEST_INVALID", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "SIZE_INVALID"}
_T = TypeVar("_T")


@dataclass(frozen=True)
class Blob:
    """Some bytes: their digest ("sha256:..."), how many, and the name of the file in a layer."""

    digest: str
    size: int
    name: str = ""

    def document(self, kind: str) -> dict[str, Any]:
        """As a manifest names it (OCI Image Specification, "Descriptor")."""
        named = {"annotations": {_TITLE: self.name}} if self.name else {}
        return {"mediaType": kind, "digest": self.digest, "size": self.size, **named}


@dataclass(frozen=True)
class Manifest:
    """What a tag names. kind: of artifact. created: seconds since 1970, 0 where it is not said."""

    kind: str
    config: Blob
    layers: tuple[Blob, ...]
    created: float = 0.0

    def encoded(self) -> bytes:
        """The bytes that the registry keeps."""
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.created))
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": self.kind,
            "config": self.config.document(f"{self.kind}+json"),
            "layers": [layer.document("application/octet-stream") for layer in self.layers],
            "annotations": {_CREATED: created},
        }
        return json.dumps(document, indent=1, sort_keys=True).encode()


def decoded(raw: bytes) -> Manifest:
    """The manifest of these bytes. Raises WrongBytesError where they are none of ours."""
    try:
        document = json.loads(raw)
        layers = document["layers"]
        if document["schemaVersion"] != 2 or not isinstance(layers, list) or len(layers) > _LAYERS:
            raise WrongBytesError("the manifest is not one of ours")
        config, files = _blob(document["config"]), tuple(_blob(layer) for layer in layers)
        kind = document["artifactType"]
        annotations = document.get("annotations", {})
        if not isinstance(kind, str) or not isinstance(annotations, dict):
            raise WrongBytesError("the manifest is not one of ours")
        created = _seconds(str(annotations.get(_CREATED, "")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise WrongBytesError("the manifest is not one of ours") from None
    if config.size > CONFIG_LIMIT or sum(layer.size for layer in files) > _WHOLE:
        raise WrongBytesError("the manifest announces too many bytes")
    return Manifest(kind, config, files, created)


def _seconds(text: str) -> float:
    import calendar

    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) if text else 0.0


def _blob(document: Mapping[str, Any]) -> Blob:
    digest, size = document["digest"], document["size"]
    name = document.get("annotations", {}).get(_TITLE, "")
    if type(size) is not int or size < 0 or not isinstance(name, str):
        raise ValueError
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError
    return Blob(digest, size, name)


def of_bytes(data: bytes, name: str = "") -> Blob:
    """The blob that these bytes are."""
    return Blob(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), name)


class Registry:
    """One repository. Every method raises RegistryError where the registry is of no use."""

    def __init__(
        self,
        address: Address,
        patience: Patience | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        """stop: once it is set, bytes under way raise Interrupted."""
        self.address = address
        self._stop = stop or threading.Event()
        self._patience = patience or Patience()
        self._deadline = Deadline()
        self._session = session_of(self._deadline)
        # Credentials are this module's own business; of the environment only proxies are taken.
        self._session.auth = _NoNetrc()
        self._authorization = ""
        self._credentials: tuple[str, str] | None = None
        self._asked = False

    # -- reading ------------------------------------------------------------

    def manifest(self, tag: str) -> tuple[Manifest, str] | None:
        """What the tag names, and the digest of the manifest; None where there is no such tag."""
        with self._ask("GET", f"manifests/{tag}", headers={"Accept": MANIFEST}) as answer:
            if answer.status_code == HTTPStatus.NOT_FOUND:
                return None
            raw = self._read(self._fine(answer), _MANIFEST_LIMIT)
        return decoded(raw), of_bytes(raw).digest

    def has(self, tag: str) -> bool:
        """Whether there is such a tag."""
        with self._ask("HEAD", f"manifests/{tag}", headers={"Accept": MANIFEST}) as answer:
            return answer.status_code != HTTPStatus.NOT_FOUND and bool(self._fine(answer))

    def get(self, blob: Blob) -> bytes:
        """The bytes of a blob of at most CONFIG_LIMIT bytes."""
        parts: list[bytes] = []
        self.read(blob, parts.append, CONFIG_LIMIT)
        return b"".join(parts)

    def read(self, blob: Blob, write: Callable[[bytes], object], limit: int = _WHOLE) -> None:
        """Hand the bytes of a blob to `write`, piece by piece.

        Raises WrongBytesError at their end where they were others: what was written is of no use.
        """
        if blob.size > limit:
            raise WrongBytesError(f"{blob.digest} has {blob.size} bytes, more than {limit}")
        digest, size = hashlib.sha256(), 0
        with self._ask("GET", f"blobs/{blob.digest}") as answer:
            for chunk in self._chunks(self._fine(answer)):
                size += len(chunk)
                if size > blob.size:
                    break
                digest.update(chunk)
                write(chunk)
        if size != blob.size or f"sha256:{digest.hexdigest()}" != blob.digest:
            raise WrongBytesError(f"the bytes served for {blob.digest} are others")

    def tags(self) -> list[str]:
        """All tags, sorted; none where there is no such repository."""
        names: list[str] = []
        path = "tags/list?n=1000"
        for _ in range(_TAGS // 1000):
            with self._ask("GET", path) as answer:
                if answer.status_code == HTTPStatus.NOT_FOUND:
                    return []
                raw = self._read(self._fine(answer), 4 * _ANSWER)
                more = answer.headers.get("Link", "")
            try:
                page = json.loads(raw)["tags"] or []
                names += [tag for tag in page if isinstance(tag, str) and TAG.fullmatch(tag)]
            except (ValueError, KeyError, TypeError, RecursionError):
                raise WrongBytesError("the list of tags is none") from None
            last = re.search(r"[?&]last=([^&>]{1,300})", more)
            if not last or not page:
                break
            path = f"tags/list?n=1000&last={last[1]}"
        return sorted(set(names))

    # -- writing ------------------------------------------------------------

    def put(self, blob: Blob, stream: IO[bytes]) -> bool:
        """Send a blob from `stream`, unless the registry has it; whether it was sent."""
        return self._again(lambda: self._put(blob, stream))

    def _put(self, blob: Blob, stream: IO[bytes]) -> bool:
        stream.seek(0)
        with self._ask("HEAD", f"blobs/{blob.digest}") as answer:
            if answer.status_code != HTTPStatus.NOT_FOUND:
                self._fine(answer)
                return False
        place = self._upload()
        self._send(place, blob, stream)
        return True

    def _upload(self) -> str:
        with self._ask("POST", "blobs/uploads/") as answer:
            self._fine(answer, HTTPStatus.ACCEPTED)
            return self._place(answer)

    def _place(self, answer: requests.Response) -> str:
        """Where the bytes of an upload go next."""
        place = urljoin(answer.url, answer.headers.get("Location", ""))
        if urlsplit(place)[:2] != urlsplit(self.address.base)[:2]:
            # The bytes would go to whoever was named, with what says who we are.
            raise RegistryError("it names another server to send to")
        return place

    def _send(self, place: str, blob: Blob, stream: IO[bytes]) -> None:
        sent = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        target = f"{place}{'&' if '?' in place else '?'}digest={blob.digest}"
        with self._ask("PUT", target, headers=sent, data=self._pieces(stream, blob.size)) as answer:
            self._fine(answer, HTTPStatus.CREATED)

    def _pieces(self, stream: IO[bytes], size: int) -> bytes | _Sized:
        return _Sized(stream, size, self._stop) if size else b""

    def stream(self, chunks: Iterable[bytes]) -> Blob:
        """Send a blob whose digest is known at its end only; what it is."""
        digest, size = hashlib.sha256(), 0

        def passing() -> Iterator[bytes]:
            nonlocal size
            for chunk in chunks:
                _unless(self._stop)
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        sent = {"Content-Type": "application/octet-stream"}
        with self._ask("PATCH", self._upload(), headers=sent, data=passing()) as answer:
            self._fine(answer, HTTPStatus.ACCEPTED)
            place = self._place(answer)
        blob = Blob(f"sha256:{digest.hexdigest()}", size)
        target = f"{place}{'&' if '?' in place else '?'}digest={blob.digest}"
        with self._ask("PUT", target, data=b"") as answer:
            self._fine(answer, HTTPStatus.CREATED)
        return blob

    def name(self, tag: str, manifest: Manifest) -> str:
        """Let a tag name a manifest, whose blobs are there; its digest."""
        raw = manifest.encoded()

        def send() -> None:
            sent = {"Content-Type": MANIFEST}
            with self._ask("PUT", f"manifests/{tag}", headers=sent, data=raw) as answer:
                self._fine(answer, HTTPStatus.CREATED)

        self._again(send)
        return of_bytes(raw).digest

    def _again(self, attempt: Callable[[], _T]) -> _T:
        """What `attempt` does; done anew where the registry was not able to at that moment.

        Debian's docker-registry answers 500, or 400 with DIGEST_INVALID, where two write one blob
        at the same time: each moves its upload to the one place of that blob.
        """
        for pause in _PAUSES:
            try:
                return attempt()
            except RegistryError as error:
                if not error.passing:
                    raise
                time.sleep(pause * (0.5 + random.random()))  # noqa: S311 - apart, not secret
        return attempt()

    def forget(self, digest: str) -> None:
        """Remove a manifest, and with it every tag that names it."""
        with self._ask("DELETE", f"manifests/{digest}") as answer:
            if answer.status_code != HTTPStatus.NOT_FOUND:
                self._fine(answer, HTTPStatus.ACCEPTED)

    # -- one request --------------------------------------------------------

    @contextmanager
    def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | Iterable[bytes] | None = None,
    ) -> Iterator[requests.Response]:
        """The answer to a request below this repository, or to a whole URL of this registry."""
        whole = path.startswith(("http://", "https://"))
        url = path if whole else f"{self.address.base}{self.address.path}/{path}"
        answer = self._once(method, url, headers, data)
        if answer.status_code == HTTPStatus.UNAUTHORIZED and self._authorize(answer):
            answer.close()
            if data is not None and not isinstance(data, bytes):
                raise RegistryError("it asked who this is in the middle of an upload", "try again")
            answer = self._once(method, url, headers, data)
        try:
            yield answer
        finally:
            answer.close()
            self._deadline.forget()

    def _once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        data: bytes | Iterable[bytes] | None,
    ) -> requests.Response:
        import requests

        sent = {"User-Agent": "dom0-debs", "Accept-Encoding": "identity", **(headers or {})}
        patience = self._patience
        for _ in range(_REDIRECTS):
            if self._authorization and urlsplit(url)[:2] == urlsplit(self.address.base)[:2]:
                sent["Authorization"] = self._authorization
            else:
                sent.pop("Authorization", None)  # a blob that is kept elsewhere
            if data is None:
                self._deadline.within(patience.answer)
            try:
                answer = self._session.request(
                    method,
                    url,
                    headers=sent,
                    data=data,
                    stream=True,
                    allow_redirects=False,
                    timeout=(patience.connect, patience.stall),
                )
            except requests.exceptions.SSLError:
                raise RegistryError(
                    "TLS failed", "plain http is for a registry on this machine only"
                ) from None
            except (requests.RequestException, ValueError, OSError) as error:
                raise RegistryError(f"no answer ({type(error).__name__})") from None
            if answer.status_code not in (301, 302, 303, 307, 308) or method not in ("GET", "HEAD"):
                return answer
            url = urljoin(url, answer.headers.get("Location", ""))
            answer.close()
            if urlsplit(url).scheme != "https" and not self.address.loopback:
                raise RegistryError("it redirects to an address without TLS")
        raise RegistryError("it redirects without an end")

    def _fine(
        self, answer: requests.Response, wanted: HTTPStatus = HTTPStatus.OK
    ) -> requests.Response:
        """`answer`, where it is the one that was hoped for."""
        if answer.status_code == wanted:
            return answer
        status = answer.status_code
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise RegistryError(
                f"it refuses: {self._why(answer)}",
                f"docker login {self.address.host}, as somebody who may read and write "
                f"{self.address.path}",
            )
        if status in (HTTPStatus.INSUFFICIENT_STORAGE, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
            raise RegistryError(f"it has no room: {self._why(answer)}", "make room there")
        code, why = self._refusal(answer)
        passing = status >= 500 or status == HTTPStatus.TOO_MANY_REQUESTS or code in _DISTURBED
        raise RegistryError(f"it answers {why}", passing=passing)

    def _why(self, answer: requests.Response) -> str:
        """The status of a refusal, and what the registry says of it."""
        return self._refusal(answer)[1]

    def _refusal(self, answer: requests.Response) -> tuple[str, str]:
        """The code of a refusal ("" where there is none), and its status and words."""
        code = said = ""
        try:
            error = json.loads(self._read(answer, _ANSWER))["errors"][0]
            code = str(error.get("code") or "")
            said = printable(str(error.get("message") or code))[:200]
        except (RegistryError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            pass
        return code, f"{answer.status_code}{f' ({said})' if said else ''}"

    def _authorize(self, answer: requests.Response) -> bool:
        """Take the credentials that `answer` asks for; whether there are any to try."""
        if not self._asked:
            self._asked = True
            self._credentials = credentials.of(self.address.host)
        challenge = answer.headers.get("WWW-Authenticate", "")[:8192]
        basic = _basic(self._credentials)
        if challenge.lower().startswith("basic"):
            fresh = basic
        elif challenge.lower().startswith("bearer"):
            fresh = self._token(dict(_CHALLENGE.findall(challenge)), basic)
        else:
            return False
        changed = bool(fresh) and fresh != self._authorization
        self._authorization = fresh
        return changed

    def _token(self, asked: Mapping[str, str], basic: str) -> str:
        """A token of the server that the registry names (Docker, "Token authentication")."""
        import requests

        realm = asked.get("realm", "")
        parts = urlsplit(realm)
        if parts.scheme != "https" and not (
            parts.scheme == "http" and self.address.loopback and is_loopback(parts.hostname or "")
        ):
            raise RegistryError("it asks for the credentials at an address without TLS")
        scope = f"repository:{self.address.path}:pull,push"
        query = {"scope": asked.get("scope") or scope}
        if "service" in asked:
            query["service"] = asked["service"]
        self._deadline.within(self._patience.answer)
        try:
            with self._session.get(
                realm,
                params=query,
                headers={"Authorization": basic} if basic else {},
                timeout=(self._patience.connect, self._patience.stall),
                stream=True,
                allow_redirects=False,
            ) as answer:
                document = json.loads(self._read(self._fine(answer), _ANSWER))
                token = document.get("token") or document.get("access_token")
        except (requests.RequestException, OSError) as error:
            raise RegistryError(f"its token server: no answer ({type(error).__name__})") from None
        except (ValueError, AttributeError, RecursionError):
            raise RegistryError("its token server gives no token") from None
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]{1,16384}", token):
            raise RegistryError("its token server gives no token")
        return f"Bearer {token}"

    def _read(self, answer: requests.Response, limit: int) -> bytes:
        """The body of an answer; WrongBytesError where it has more than `limit` bytes."""
        body = bytearray()
        for chunk in self._chunks(answer):
            body += chunk
            if len(body) > limit:
                raise WrongBytesError(f"an answer has more than {limit} bytes")
        return bytes(body)

    def _chunks(self, answer: requests.Response) -> Iterator[bytes]:
        """The body, as long as it comes fast enough."""
        import requests
        from urllib3.exceptions import HTTPError

        patience, begun, size = self._patience, time.monotonic(), 0
        self._deadline.within(patience.grace)
        try:
            # read, not iter_content: that would wait until a whole chunk is there
            while chunk := answer.raw.read1(_CHUNK, decode_content=False):
                _unless(self._stop)
                size += len(chunk)
                allowed = patience.grace + size / patience.rate
                if time.monotonic() - begun > allowed:
                    raise RegistryError("it is too slow")
                self._deadline.within(allowed - (time.monotonic() - begun))
                yield chunk
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            slow = "it is too slow" if self._deadline.passed else "the answer was cut"
            raise RegistryError(f"{slow} ({type(error).__name__})") from None
        if self._deadline.passed:
            raise RegistryError("it is too slow")


class _NoNetrc:
    """Adds no credentials: without it requests takes those of ~/.netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _basic(pair: tuple[str, str] | None) -> str:
    import base64

    return f"Basic {base64.b64encode(':'.join(pair).encode()).decode()}" if pair else ""


def _unless(stop: threading.Event) -> None:
    if stop.is_set():
        raise Interrupted


class _Sized:
    """A body of a known length, which requests sends as it is and not in chunks."""

    def __init__(self, stream: IO[bytes], size: int, stop: threading.Event) -> None:
        self._stream = stream
        self._stop = stop
        self._left = size
        self.len = size  # how requests.utils.super_len asks

    def read(self, size: int = -1) -> bytes:
        _unless(self._stop)
        piece = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(piece)
        return piece

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(_CHUNK):
            yield piece
