# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents: compressed manual pages, copyright and changelog (Policy 12)."""

from __future__ import annotations

import contextlib
import gzip
import io
import posixpath
import re
import zlib
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

from builders.debkit.deb import Added
from builders.debkit.finish.work import Work, is_plain, link_target
from builders.errors import BuildError
from builders.text import passages, printable

_MANUAL = re.compile(r"/usr/share/(man/([^/]+/)?man\d[^/]*|info)/[^/]+")
_DOCUMENT = re.compile(r"/usr/share/doc/.+")
_CHANGES = re.compile(r"/usr/share/doc/[^/]+/(changelog|NEWS)[^/]*")  # as dh_compress(1)
_COMPRESSED = re.compile(r".*\.(gz|bz2|xz|zst|lzma|Z)")
# What people open in programs that do not read gzip, or what is compressed in itself.
_AS_IT_IS = re.compile(
    r".*\.(html?|xhtml|css|js|svg|gif|png|jpe?g|ico|pdf|dvi|epub|zip|jar|tgz|deb|od[tspf]|py|c|h)"
    r"|.*/copyright|.*/examples/.*|.*/_sources/.*",
    re.IGNORECASE,
)
_STAMPED = re.compile(r"/(usr/share/(doc|man|info)/.+|boot/[^/]+)\.gz")
# The whole license, with what comes after its terms: it is on every system (Policy 12.5).
_GPL = re.compile(rb"(?<![ \t])[ \t]*GNU GENERAL PUBLIC LICENSE\s+Version 2, June 1991\s")
_GPL_END = b"END OF TERMS AND CONDITIONS"
_GPL_ADVICE = re.compile(rb"\s+How to Apply These Terms")
_GPL_IS = b"The GNU General Public License, version 2: /usr/share/common-licenses/GPL-2"
_TRAILER = re.compile(rb"(?m)^ -- [^\n]{0,500}")  # deb-changelog(5): who made an entry, and when
_CHANGELOG = 16 << 20  # bytes of text that no changelog reaches
_YEAR_9999 = 253_370_764_800  # seconds since 1970; no date of Python's is after it
_LARGE = 4096  # bytes; dh_compress(1) leaves smaller ones


def correct(work: Work) -> None:
    """Documents as Policy wants them.

    - Manual pages, and documents of more than 4 KiB, go through gzip -9n: Policy 12.1 and 12.3.
      What is compressed already, the hypervisor in /boot too, loses its time (RFC 1952, MTIME),
      which tells when it was built: Policy 4.15.
    - /usr/share/doc/PACKAGE/copyright: Policy 12.5; what the recipe states in place of the raw
      package's, or above what the source says.
    - The changelog with one entry for this version, dated by SOURCE_DATE_EPOCH, with what the
      raw package had below it: Policy 12.7. Upstream's is beside it.

    Where the folder is a link to that of another package of the same source, that one has both
    (Policy 12.5).
    """
    _follow(work)
    _compress(work)
    if not _elsewhere(work):
        _copyright(work)
        _changelog(work)


def packed(text: bytes) -> bytes:
    """As gzip -9n: no name and no time, so that the same text gives the same bytes."""
    return gzip.compress(text, 9, mtime=0)


def _compress(work: Work) -> None:
    wanted = {}
    for entry in work.kept:
        path = work.path(entry)
        manual = bool(_MANUAL.fullmatch(path)) and not path.endswith("/dir")
        large = _DOCUMENT.fullmatch(path) and not _AS_IT_IS.fullmatch(path)
        small = entry.info.size <= _LARGE and not _CHANGES.fullmatch(path)
        if not is_plain(entry) or _COMPRESSED.fullmatch(path) or not entry.info.size:
            continue
        if manual or (large and not small):
            wanted[entry.path] = path
    stamped = [e.path for e in work.kept if is_plain(e) and _STAMPED.fullmatch(work.path(e))]
    texts = work.read([*wanted, *stamped], total=64 << 20)
    for old in stamped:
        content = texts.get(old, b"")
        if content.startswith(b"\x1f\x8b\x08") and any(content[4:8]):
            work.replaced[old] = content[:4] + bytes(4) + content[8:]
    wanted = {old: wanted[old] for old in wanted if old in texts}  # what is too large stays
    for old in wanted:
        work.replaced[old] = packed(texts[old])
        work.moved[old] = wanted[old] + ".gz"
        work.modes[old] = 0o644
    for entry in work.kept:  # other names of them go along
        path = work.path(entry)
        if entry.info.issym() and link_target(entry) in wanted and not path.endswith(".gz"):
            work.moved[entry.path] = path = path + ".gz"
            target = work.moved[link_target(entry)]
            work.links[entry.path] = posixpath.relpath(target, posixpath.dirname(path))
        elif entry.info.islnk() and entry.target in wanted and _is_document(path):
            work.moved[entry.path] = path + ".gz"


def _follow(work: Work) -> None:
    """The documents of a package that is renamed go to the folder of its new name."""
    old = f"/usr/share/doc/{work.package.control.get('Package', '')}"
    new = _folder(work)
    if old == new or any((work.path(e) + "/").startswith(f"{new}/") for e in work.kept):
        return
    for entry in work.kept:
        path = work.path(entry)
        if path == old or path.startswith(f"{old}/"):
            work.moved[entry.path] = new + path[len(old) :]


def _elsewhere(work: Work) -> bool:
    """Whether its folder is a link; BuildError where a copyright is stated for it all the same."""
    folder = _folder(work)
    link = next((e for e in work.kept if work.path(e) == folder and e.info.issym()), None)
    if link is not None and work.corrections.copyright.strip():
        raise BuildError(
            f"copyright: {folder} is a link to {printable(link.info.linkname)}, of another package",
            hint=f'leave copyright out, or remove = ["{link.path}"]',
        )
    return link is not None


def _is_document(path: str) -> bool:
    return bool(_MANUAL.fullmatch(path) or _DOCUMENT.fullmatch(path))


def _folder(work: Work) -> str:
    return f"/usr/share/doc/{work.name}"


def _copyright(work: Work) -> None:
    path = f"{_folder(work)}/copyright"
    there = next((e for e in work.kept if work.path(e) == path), None)
    stated = work.corrections.copyright.strip()
    if there is not None and not stated:
        return
    content = f"{stated}\n".encode() if stated else b""
    if there is None and work.beside.copyright is not None:
        said = _without_gpl(_text(work.beside.copyright))
        content += (b"\n" if stated else b"") + said
    if not content:
        work.notes.append("the package has no copyright file (Policy 12.5): state copyright")
    elif there is not None and is_plain(there):
        work.replaced[there.path] = content
    else:
        work.removed |= {there.path} if there is not None else set()
        work.add.append(Added(path, content))


def _changelog(work: Work) -> None:
    native = "-" not in work.version
    name = "changelog.gz" if native else "changelog.Debian.gz"
    path = f"{_folder(work)}/{name}"
    there = next((e for e in work.kept if work.path(e) == path), None)
    before = b""
    if there is not None and not is_plain(there):
        return  # a link to the changelog of another package
    if there is not None:
        before = _unpacked(work.read([there.path]).get(there.path, b""))
        if native and not before.startswith(work.package.control["Package"].encode()):
            # Upstream's own list has the name that Debian's has in a native package.
            work.moved[there.path] = f"{_folder(work)}/changelog.upstream.gz"
            there, before = None, b""
    if before.startswith(f"{work.name} ({work.version}) ".encode()):
        return  # it has this very version already
    trailer = _TRAILER.search(before)
    if trailer is None or re.search(rb"@[^@.>]*>", trailer[0]):
        before = b""  # written by a user of the build container, whom no mail reaches
    entry = _entry(work, _date(trailer[0]) if trailer and before else 0)
    text = packed(entry + (b"\n" + before if before else b""))
    if there is not None:
        work.replaced[there.path] = text
    else:
        work.add.append(Added(path, text))
    upstream = f"{_folder(work)}/{'changelog.upstream.gz' if native else 'changelog.gz'}"
    if work.beside.changelog is not None and upstream not in work.paths():
        work.add.append(Added(upstream, packed(_text(work.beside.changelog))))


def _date(trailer: bytes) -> int:
    """When an entry was made, in seconds since 1970; 0 where it does not say."""
    with contextlib.suppress(ValueError, OverflowError):
        written = trailer.rpartition(b">")[2].decode("ascii", "replace").strip()
        seconds = int(parsedate_to_datetime(written).timestamp())
        return seconds if seconds < _YEAR_9999 else 0
    return 0


def _entry(work: Work, before: int) -> bytes:
    """One entry as deb-changelog(5) wants it, dated after the one of `before`."""
    # What a header or SOURCE_DATE_EPOCH says may be no date at all.
    seconds = min(max(work.epoch, before + 1, 0), _YEAR_9999 - 1)
    date = format_datetime(datetime.fromtimestamp(seconds, UTC))
    maintainer = work.corrections.maintainer or work.package.control.get("Maintainer", "")
    return (
        f"{work.name} ({work.version}) {work.beside.suite}; urgency=medium\n\n"
        f"  * The package {work.package.control.get('Version', '')}, corrected.\n\n"
        f" -- {maintainer}  {date}\n"
    ).encode()


def _unpacked(data: bytes) -> bytes:
    """The text of a changelog, or nothing where it is damaged or unpacks to what none has."""
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        with gzip.open(io.BytesIO(data)) as file:
            text = file.read(_CHANGELOG + 1)
    except (OSError, EOFError, zlib.error):
        return b""
    return text if len(text) <= _CHANGELOG else b""


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BuildError(f"{path}: {error.strerror}", hint="make it readable") from None


def _without_gpl(text: bytes) -> bytes:
    """A text with a reference to the license in place of its whole text."""
    parts, at = [], 0
    for start, end in passages(text, _GPL, _GPL_END):
        parts += [text[at:start], _GPL_IS]
        at = len(text) if _GPL_ADVICE.match(text, end) else end
        if at > end:
            break
    return b"".join([*parts, text[at:]])
