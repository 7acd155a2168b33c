# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses of sources: how long and how often one is tried, and why one failed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from builders.ground.sources.pins import UrlSource
from builders.text import printable


@dataclass(frozen=True)
class Patience:
    """How long to wait and how often to try, for one address.

    connect, stall: seconds until a connection stands, and without (or hardly) a byte.
    attempts: tries before the next address; one that brought `progress` new bytes
    is not counted. pause: seconds before the second try, doubled (with jitter) for
    each further one up to `longest`, which also caps what Retry-After asks for.
    silence: seconds that git may say nothing.

    answer: seconds for one request until its headers are complete, the connection included.
    rate: bytes a second that a body has to bring on the average, after `grace` seconds.
    whole: seconds for all tries at one address, beside those that its bytes take at that rate.
    repository: seconds, and bytes on disk, that one git repository may take.
    """

    connect: float = 15.0
    stall: float = 30.0
    attempts: int = 4
    progress: int = 1 << 20
    pause: float = 1.0
    longest: float = 60.0
    silence: float = 300.0
    answer: float = 60.0
    rate: int = 16 << 10
    grace: float = 60.0
    whole: float = 900.0
    repository: tuple[float, int] = (4 * 3600.0, 8 << 30)


class Failed(Exception):  # noqa: N818 - it is collected, not shown
    """An address is of no use, for `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Wrong(Failed):
    """What the address gives is not the file of that size and digest."""


class Missing(Failed):
    """The server answers, and has no such file."""


class Passing(Failed):
    """The same address may do next time; `pause` is what the server asked for, in seconds.

    wrong: where no other try helps, it was not the file of that digest.
    """

    def __init__(self, reason: str, pause: float | None = None, *, wrong: bool = False) -> None:
        super().__init__(reason)
        self.pause = pause
        self.wrong = wrong


def shown(url: str) -> str:
    """`url` as it may be shown: no user name, no password, nothing that moves a cursor."""
    try:
        parts = urlsplit(url)
        if "@" in parts.netloc:
            url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    except ValueError:  # such as a bracket that isn't closed
        url = re.sub(r"//[^/]*@", "//", url)
    return printable(url)


def brief(url: str) -> str:
    """An address that a server named: without its query, which may hold a signature."""
    return shown(url).partition("?")[0][:200]


def is_file(url: str) -> bool:
    return url[:5].lower() == "file:"


def is_local(url: str) -> bool:
    return is_file(url) or (not re.match(r"[\w+.-]+://|[^/]*:", url))


def local_file(url: str, source: UrlSource) -> Path:
    """The file that a file: address names, seen to be there and of the right size."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Failed("not a valid address") from None
    if parts.netloc not in ("", "localhost"):
        raise Failed(f"names the host {printable(parts.netloc)}; write file:///path")
    path = Path(unquote(parts.path))
    try:
        file = path.resolve(strict=True)
        size = file.stat().st_size
    except (OSError, RuntimeError, ValueError) as error:  # missing, a loop of links, a NUL
        raise Failed(getattr(error, "strerror", None) or "not a file name") from None
    if not file.is_file():
        raise Failed("not a regular file")
    if source.size is not None and size != source.size:
        raise Wrong(f"has {size} bytes, not {source.size}")
    if not os.access(file, os.R_OK):
        raise Failed("Permission denied")
    return file
