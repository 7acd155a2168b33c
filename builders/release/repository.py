# SPDX-License-Identifier: GPL-2.0-or-later
"""The indexes of an apt repository, made from the packages in its pool.

They are not written by apt-ftparchive(1) or dpkg-scanpackages(1): a box needs neither of them, and
the same packages give the same bytes whatever version of such a tool a box has. The form is that of
the Debian repository format.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from builders.debkit.deb import dump_control, ordered

COMPONENT = "main"
ORIGIN = "dom0-debs"


@dataclass(frozen=True)
class Pooled:
    """A package in the pool: its path below the repository, bytes, digest and control fields."""

    path: str
    size: int
    sha256: str
    control: Mapping[str, str]


def place(source: str) -> str:
    """The folder of a source package's files in the pool."""
    prefix = source[:4] if source.startswith("lib") else source[:1]
    return f"pool/{COMPONENT}/{prefix}/{source}"


def architectures(pool: Iterable[Pooled]) -> list[str]:
    """The architectures that have an index: those of the packages; amd64 where all are "all"."""
    return sorted({p.control["Architecture"] for p in pool} - {"all"}) or ["amd64"]


def packages(pool: Iterable[Pooled], architecture: str) -> bytes:
    """The Packages file of an architecture: what apt is told of each package."""
    paragraphs = []
    for pooled in sorted(pool, key=lambda p: (p.control["Package"], p.path)):
        if pooled.control["Architecture"] not in (architecture, "all"):
            continue
        fields = dict(pooled.control)
        description = fields.pop("Description", "")
        fields = ordered(fields)
        fields |= {"Filename": pooled.path, "Size": str(pooled.size), "SHA256": pooled.sha256}
        paragraphs.append(dump_control(fields | {"Description": description}))
    return b"\n".join(paragraphs)


def indexes(pool: Iterable[Pooled]) -> dict[str, bytes]:
    """Every index with its packed forms, by path below dists/SUITE."""
    files: dict[str, bytes] = {}
    pooled = list(pool)
    for architecture in architectures(pooled):
        folder = f"{COMPONENT}/binary-{architecture}"
        plain = packages(pooled, architecture)
        files[f"{folder}/Packages"] = plain
        files[f"{folder}/Packages.gz"] = gzip.compress(plain, 9, mtime=0)
        files[f"{folder}/Packages.xz"] = lzma.compress(plain, check=lzma.CHECK_CRC64)
    return files


def by_hash(path: str, content: bytes) -> str:
    """The path below dists/SUITE under which apt may ask for `content` by its digest."""
    return f"{Path(path).parent}/by-hash/SHA256/{hashlib.sha256(content).hexdigest()}"


def release(
    suite: str, label: str, indexes: Mapping[str, bytes], architectures: list[str], epoch: int
) -> bytes:
    """The Release file. It has no Valid-Until: see docs/release.md.

    indexes: their contents, by path below dists/SUITE. epoch: of its date, in seconds since 1970.
    """
    lines = [
        f"Origin: {ORIGIN}",
        f"Label: {label}",
        f"Suite: {suite}",
        f"Codename: {suite}",
        f"Date: {formatdate(epoch, usegmt=True).replace('GMT', 'UTC')}",
        f"Architectures: {' '.join(architectures)}",
        f"Components: {COMPONENT}",
        f"Description: Xen and a dom0 kernel, built by dom0-debs from recipe {label}",
        "Acquire-By-Hash: yes",
        "SHA256:",
    ]
    for path, content in sorted(indexes.items()):
        lines.append(f" {hashlib.sha256(content).hexdigest()} {len(content):>9} {path}")
    return ("\n".join(lines) + "\n").encode()


# apt reads a key inside of a .sources file since 2.3.10, which is in none of these.
KEY_APART = {"wheezy", "jessie", "stretch", "buster", "bullseye"}
KEYRING = "/usr/share/keyrings/dom0-debs.gpg"  # where they look for it


def sources(suite: str, url: str, key: bytes) -> bytes:
    """A .sources file (sources.list(5)) that trusts the repository's key and no other.

    key: armored. For a suite whose apt reads no key inside of it, it names a file for it.
    """
    if suite in KEY_APART:
        signed_by = f" {KEYRING}"
    else:
        lines = key.decode("ascii").rstrip("\n").split("\n")
        signed_by = "".join(f"\n {line or '.'}" for line in lines)
    return (
        f"Types: deb\nURIs: {url}\nSuites: {suite}\nComponents: {COMPONENT}\n"
        f"Signed-By:{signed_by}\n"
    ).encode()
