# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether an address serves today what a source pins, as far as that can be had at little cost.

Nothing is kept, and nothing is read without a bound. What proves it is the digest; without reading
all of a file its length, its beginning and its end are compared with a copy in the cache.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path

from builders.errors import BuildError
from builders.files import of_file, scratch
from builders.ground.sources.address import (
    Failed,
    Missing,
    Patience,
    Wrong,
    brief,
    is_file,
    local_file,
)
from builders.ground.sources.cache import Cache, file_name
from builders.ground.sources.download import digest, get, page_title, piece
from builders.ground.sources.git import Git, commit_as_tar
from builders.ground.sources.pins import GitSource, UrlSource

PATIENCE = Patience(connect=10, stall=10, answer=20, attempts=1, silence=30)
_CHEAP = 1 << 20  # bytes that are read whole, so that their digest proves them
_END = 1024  # bytes that are compared at either end of a larger file
_ENDLESS = 4 << 30  # bytes of a file whose size nobody states
# What a file of that name begins with (magic(5)).
_MAGIC = {
    ".gz": b"\x1f\x8b",
    ".tgz": b"\x1f\x8b",
    ".bz2": b"BZh",
    ".xz": b"\xfd7zXZ\x00",
    ".zst": b"\x28\xb5\x2f\xfd",
    ".deb": b"!<arch>\n",
}
_REF = re.compile(r"^([0-9a-f]{40})\s+(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Served:
    """What an address was found to serve; why: the reasons, in words.

    proven: it is what is pinned; otherwise all that was looked at agrees with the pin.
    """

    proven: bool
    why: str


def serves(
    source: UrlSource | GitSource, url: str, cache: Cache, stop: threading.Event, *, full: bool
) -> Served:
    """What `url`, an address of `source`, serves. Raises Failed where it is not what is pinned.

    full: all of it is read, and a commit fetched.
    """
    if isinstance(source, GitSource):
        return _git(source, url, stop, full=full)
    if is_file(url):
        return _compared(of_file(local_file(url, source)), source, "")
    name = file_name(source)
    head = get(url, 0, stop, method="HEAD", patience=PATIENCE)
    begin = piece(url, f"0-{_END - 1}", _END, PATIENCE, stop)
    assert begin is not None  # noqa: S101 - only of an end is it None
    size = begin.size if begin.size is not None else head.size if head.status == 200 else None
    where = f", by way of {brief(begin.url)}" if begin.url != url else ""
    if (title := page_title(begin.body)) is not None:
        raise Failed(f"it is an HTML page{title}: perhaps the address is dead or squatted{where}")
    if None not in (size, source.size) and size != source.size:
        raise Wrong(f"the file there has {size} bytes, not {source.size}{where}")
    if full or (size is not None and size <= _CHEAP):
        limit = source.size or size or _ENDLESS
        return _compared(digest(url, limit, PATIENCE, stop)[0], source, where)
    end = piece(url, f"-{_END}", _END, PATIENCE, stop)
    parts = [f"{size} bytes" + (", as pinned" if source.size else "") if size else "no length said"]
    copy = cache.path(source.sha256)
    if cache.has(source.sha256):
        parts.append(_beside(copy, begin.body, end.body if end else None, size, where))
    else:
        parts.append(_begins(name, begin.body, where))
        parts.append("no copy in the cache to compare its ends with")
    if end is None:
        parts.append("the server gives no part of a file")
    return Served(False, f"{'; '.join(parts)}{where}")


def _compared(actual: str, source: UrlSource, where: str) -> Served:
    if actual != source.sha256:
        raise Wrong(f"its sha256 is {actual}, not {source.sha256}{where}")
    return Served(True, f"the pinned sha256{where}")


def _beside(copy: Path, begin: bytes, end: bytes | None, size: int | None, where: str) -> str:
    """What the ends are beside those of the copy; raises Wrong where they differ."""
    length = copy.stat().st_size
    if size is not None and size != length:
        raise Wrong(
            f"the file there has {size} bytes, the cached one of that sha256 {length}{where}"
        )
    with copy.open("rb") as stream:
        if begin != stream.read(len(begin)) or not begin:
            raise Wrong(f"it begins otherwise than the cached file of the pinned sha256{where}")
        if end is None:
            return "it begins as the cached file"
        stream.seek(max(0, length - len(end)))
        if end != stream.read() or not end:
            raise Wrong(f"it ends otherwise than the cached file of the pinned sha256{where}")
    return f"its first and last {_END} bytes are those of the cached file"


def _begins(name: str, begin: bytes, where: str) -> str:
    magic = next((m for suffix, m in _MAGIC.items() if name.endswith(suffix)), b"")
    if not begin.startswith(magic):
        raise Wrong(f"it does not begin as {name} has to{where}")
    return "it begins as a file of that kind" if magic else "its kind is not known"


def _git(source: GitSource, url: str, stop: threading.Event, *, full: bool) -> Served:
    """Whether a repository has the pinned commit: at the end of a branch or tag, or fetched."""
    try:
        with scratch("dom0-debs-git-") as folder:
            listed = Git(folder, PATIENCE, stop, source.name).run("ls-remote", "--quiet", "--", url)
        refs = [name for commit, name in _REF.findall(listed) if commit == source.commit]
        if refs and not full:
            return Served(True, f"the pinned commit is at {refs[0][:200].removesuffix('^{}')}")
        if not full:
            return Served(
                False,
                f"the repository answers; no ref of its {len(listed.splitlines())} "
                "is at the pinned commit: --full fetches it",
            )
        with scratch("dom0-debs-git-") as folder:
            commit_as_tar(Git(folder, PATIENCE, stop, source.name), source, url)
    except BuildError as error:  # no git on this box
        raise Missing(error.message) from None
    return Served(True, "the pinned commit was fetched")
