# SPDX-License-Identifier: GPL-2.0-or-later
"""What a suite offers, read from its verified package lists (deb-control(5), Debian repository
format): of each version the files in the archive's pool, with their sizes and digests."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

_CHUNK = 1 << 20
_PARAGRAPH = 1 << 20  # bytes that no paragraph of a list reaches
_PACKAGE = re.compile(rb"^Package:[ \t]*(\S+)", re.MULTILINE)
_NAME = re.compile(r"\w[\w.+~:%-]*", re.ASCII)  # what a file of a pool may be called
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SIZE = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True)
class PoolFile:
    """A file of an archive's pool: name, address, size in bytes and sha256."""

    name: str
    url: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Offer:
    """One version of a package, or of a source package, that a suite lists.

    architecture: "source" for a source package.
    """

    package: str
    version: str
    architecture: str
    files: tuple[PoolFile, ...]


def packages(path: Path, archive: str, names: Collection[str] | None = None) -> Iterator[Offer]:
    """The binary packages of a Packages list; only those of `names` where these are given.

    archive: the address that Filename counts from. One without a file by SHA-256 is passed over.
    """
    for fields in _paragraphs(path, names):
        name = fields.get("Filename", "")
        files = _files(archive, [(fields.get("SHA256", ""), fields.get("Size", ""), name)])
        if files:
            yield Offer(
                fields["Package"], fields.get("Version", ""), fields.get("Architecture", ""), files
            )


def sources(path: Path, archive: str, names: Collection[str] | None = None) -> Iterator[Offer]:
    """The source packages of a Sources list; as `packages`."""
    for fields in _paragraphs(path, names):
        folder = fields.get("Directory", "")
        lines = (line.split() for line in fields.get("Checksums-Sha256", "").splitlines())
        listed = [(line[0], line[1], f"{folder}/{line[2]}") for line in lines if len(line) == 3]
        files = _files(archive, listed)
        if files:
            yield Offer(fields["Package"], fields.get("Version", ""), "source", files)


def _files(archive: str, listed: list[tuple[str, str, str]]) -> tuple[PoolFile, ...]:
    """Files by digest, size and path; empty where an entry has the wrong form."""
    files = []
    for digest, size, path in listed:
        name = path.rpartition("/")[2]
        if not (_SHA256.fullmatch(digest) and _SIZE.fullmatch(size) and _NAME.fullmatch(name)):
            return ()
        if ".." in path.split("/"):
            return ()
        url = f"{archive.rstrip('/')}/{quote(path.lstrip('/'), safe='/+~:=,@')}"
        files.append(PoolFile(name, url, int(size), digest))
    return tuple(files)


def _paragraphs(path: Path, names: Collection[str] | None) -> Iterator[dict[str, str]]:
    sought = None if names is None else {name.encode() for name in names}
    for text in _blocks(path):
        package = _PACKAGE.search(text)
        if package and (sought is None or package[1] in sought):
            yield _fields(text.decode("utf-8", "replace"))


def _blocks(path: Path) -> Iterator[bytes]:
    """The paragraphs of a list, in pieces: a whole list may not fit into the memory."""
    rest = b""
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            *whole, rest = (rest + chunk).split(b"\n\n")
            yield from whole
            rest = rest if len(rest) <= _PARAGRAPH else b""
    yield rest


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        if line[:1] in (" ", "\t"):
            fields[name] = fields.get(name, "") + "\n" + line
            continue
        name, _, value = line.partition(":")
        fields[name] = value.strip()
    return fields
