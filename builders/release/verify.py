# SPDX-License-Identifier: GPL-2.0-or-later
"""Check a release: every signature, every digest, and that nothing is missing or extra.

The signature on SHA256SUMS comes first, and decides: without a good one nothing in the folder is
read. Then only files are read that the signed sums list and that have the digest there. With a key
from elsewhere that proves who made the release; with the one in the folder only that it is whole.
Beyond the sums, what apt and others follow is followed too: Release to Packages to .deb,
.changes to its files, provenance and bills of materials to the packages.

Whoever signs may still be a stranger: every file that is parsed has a limit, lists are compared
as they are unpacked, and the work grows with the bytes that are there, not with their product.
"""

from __future__ import annotations

import lzma
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from builders import documents
from builders.errors import BuildError
from builders.files import of_file
from builders.ground.engine import box
from builders.progress import Reporter
from builders.release import seen, signing
from builders.release.layout import KEY, RECORD, SUMS, entries, inside, no_release
from builders.text import printable

_TEXT = 4 << 20  # bytes of sums, an index, a document: no release comes near
_BESIDE = 256 << 20  # bytes of all files together that are no packages
_ENTRIES = 100_000  # files and folders
_SUITES = 8
_TOLD = 1000  # problems: what comes after that is as wrong
_DICTIONARY = 96 << 20  # bytes that unpacking one list may take: xz -9 needs 65 MiB (xz(1))
_UNREAL = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, IndexError),
    *(lzma.LZMAError, zlib.error, RecursionError, MemoryError),
)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file of the release, by its path there."""

    file: str
    why: str


@dataclass
class Verdict:
    """What the check found.

    fingerprint: of the key that signed, "" where no signature was good. given: the key came
    from elsewhere. files: how many were checked. notes: what is worth a look and no fault.
    """

    fingerprint: str = ""
    given: bool = False
    files: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(folder: Path, reporter: Reporter, key: Path | bytes | None = None) -> Verdict:
    """Check the release in `folder`.

    key: public keys that may have signed it, or a file of them; None takes those in the folder.
    Raises BuildError where there is no release, no gpgv, or no key in `key`.
    """
    box.ensure_tools(["gpgv", "gnupg"], reporter)
    if not (folder / SUMS).is_file() and not (folder / RECORD).is_file():
        raise no_release(folder, SUMS)
    check = _Check(folder, reporter)
    check.verdict.given = key is not None
    check.run(signing.public_keys(key) if isinstance(key, Path) else key)
    return check.verdict


class _Check:
    def __init__(self, folder: Path, reporter: Reporter) -> None:
        self._folder = folder
        self._reporter = reporter
        self._listed: dict[str, str] = {}  # by the signed sums
        self._digests: dict[str, str] = {}  # those of them that are here, as they are listed
        self._sizes: dict[str, int] = {}
        self._packages_sizes: Mapping[str, int] | None = None
        self._wrongs: set[str] = set()
        self.verdict = Verdict()

    def _wrong(self, file: str, why: str) -> None:
        name = printable(file)[:400]
        # One reason for a file is enough: what follows from it says the same.
        if name not in self._wrongs and len(self.verdict.problems) < _TOLD:
            self._wrongs.add(name)
            self.verdict.problems.append(Problem(name, printable(why)[:400]))

    def _bounded(self, path: str, limit: int) -> bytes:
        """A file's bytes, verified or not; ValueError where it is no plain file or too large."""
        at = self._folder / path
        about = at.lstat()
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is no plain file")
        if about.st_size > limit:
            raise ValueError(f"it has {about.st_size} bytes, and may have {limit}")
        with at.open("rb") as stream:
            return stream.read(limit)

    def _read(self, path: str) -> bytes:
        """The bytes of a file that is as the signed sums list it."""
        if path not in self._digests:
            raise FileNotFoundError(path)
        return self._bounded(path, _TEXT)

    def run(self, keys: bytes | None) -> None:
        """All checks; without a good signature only that one."""
        with self._reporter.work("verify") as task:
            task.show("signature")
            keys = keys if keys is not None else self._own_keys()
            if not keys or not self._sums(keys):
                return
            task.show("files")
            self._present()
            task.show("repository")
            suites = sorted(
                {
                    p.split("/")[1]
                    for p in self._listed
                    if p.startswith("dists/") and p.count("/") > 1
                }
            )
            for suite in suites[:_SUITES]:
                self._suite(suite, keys)
            if not suites:
                self._wrong("dists", "it is missing")
            if len(suites) > _SUITES:
                self._wrong("dists", f"it has more than {_SUITES} suites")
            task.show("documents")
            packages = {
                Path(path).name: sha for path, sha in self._digests.items() if path[-4:] == ".deb"
            }
            changed = any(file.endswith(".deb") for file in self._wrongs)
            for path in sorted(self._digests):
                # Those about a package that was changed would not agree with it.
                if not (changed and path.startswith(("attestations/", "proofs/"))):
                    self._document(path, packages)
            self._guard(RECORD, self._record)
            self._guard(f"{KEY}.gpg", self._same_key)

    def _guard(self, path: str, step: Callable[[], None]) -> None:
        try:
            step()
        except FileNotFoundError:
            self._wrong(path, "it is missing")
        except _UNREAL as error:
            self._wrong(path, f"it can't be read: {error}")

    def _own_keys(self) -> bytes:
        try:
            return signing.public_keys(self._folder / f"{KEY}.gpg")
        except BuildError as error:
            self._wrong(f"{KEY}.gpg", error.message)
            return b""

    def _signed(self, path: str, keys: bytes, signature: bytes, data: bytes | None) -> bytes | None:
        """What was signed, where it was signed by one of the keys."""
        try:
            fingerprint, signed = signing.check(keys, signature, data)
        except signing.Refused as error:
            self._wrong(path, f"the signature does not count: {error}")
            return None
        if self.verdict.fingerprint not in ("", fingerprint):
            self._wrong(path, f"it is signed by another key, {fingerprint}")
        self.verdict.fingerprint = fingerprint
        return signed

    def _sums(self, keys: bytes) -> bool:
        """Read the signed sums; whether they are to be believed."""
        try:
            content, signature = self._bounded(SUMS, _TEXT), self._bounded(f"{SUMS}.asc", _TEXT)
        except FileNotFoundError as error:
            self._wrong(Path(str(error.filename)).name, "it is missing")
            return False
        except _UNREAL as error:
            self._wrong(SUMS, f"it or its signature can't be read: {error}")
            return False
        if self._signed(SUMS, keys, signature, content) is None:
            return False
        try:
            lines = content.decode("utf-8").split("\n")
        except UnicodeDecodeError:
            self._wrong(SUMS, "it is not UTF-8")
            return False
        for line in lines[:-1] if lines[-1] == "" else lines:
            sha, _, path = line.partition("  ")
            if len(sha) != 64 or not inside(path) or not path.isprintable():
                self._wrong(SUMS, "a line of it is no digest and path")
            elif path in self._listed:
                self._wrong(SUMS, f"it lists {path} twice")
            else:
                self._listed[path] = sha
        return True

    def _present(self) -> None:
        """Hold what is in the folder against the sums: nothing missing, extra or changed."""
        folders = {str(above) for path in self._listed for above in Path(path).parents}
        here: dict[str, int] = {}
        for number, (path, entry) in enumerate(entries(self._folder)):
            if number >= _ENTRIES:
                self._wrong(".", f"it has more than {_ENTRIES} files and folders")
                break
            if entry.is_dir(follow_symlinks=False):
                if path not in folders:
                    self._wrong(path, f"a folder in which {SUMS} lists nothing")
            elif not entry.is_file(follow_symlinks=False):
                self._wrong(path, "it is no plain file")
            elif path in self._listed:
                here[path] = entry.stat(follow_symlinks=False).st_size
            elif path not in (SUMS, f"{SUMS}.asc"):
                self._wrong(path, f"{SUMS} does not list it")
        self.verdict.files = len(here) + 2
        for path in self._listed:
            if path not in here and printable(path)[:400] not in self._wrongs:
                self._wrong(path, "it is missing")
        beside = sum(size for path, size in here.items() if not _is_package(path))
        if beside > _BESIDE:
            self._wrong(SUMS, f"its files beside the packages have {beside} bytes: no release has")
            return
        for path in sorted(here, key=_is_package):
            self._compare(path, here[path])

    def _compare(self, path: str, size: int) -> None:
        if _is_package(path) and not self._sized(path, size):
            return
        try:
            actual = of_file(self._folder / path)
        except OSError as error:
            self._wrong(path, f"it can't be read: {error.strerror}")
            return
        if actual != self._listed[path]:
            self._wrong(path, f"it is not the file that {SUMS} lists: its sha256 differs")
        else:
            self._digests[path], self._sizes[path] = actual, size

    def _sized(self, path: str, size: int) -> bool:
        """Whether a package is of the size that the record states: it is not read otherwise."""
        sizes = self._stated_sizes()
        if path in sizes and sizes[path] != size:
            self._wrong(path, f"it has {size} bytes, and {sizes[path]} are listed")
            return False
        return True

    def _stated_sizes(self) -> Mapping[str, int]:
        """Sizes of packages, by the lists that were compared with the sums already."""
        if self._packages_sizes is None:
            sizes: dict[str, int] = {}
            for path in self._digests:
                if path.startswith("dists/") and path.endswith("/Packages"):
                    try:
                        for name, _, size in _packages(self._read(path)):
                            sizes[name] = size
                    except _UNREAL:
                        continue  # told where the list is checked
            self._packages_sizes = sizes
        return self._packages_sizes

    # The repository

    def _suite(self, suite: str, keys: bytes) -> None:
        base = f"dists/{suite}"

        def signatures() -> None:
            release = self._read(f"{base}/Release")
            self._signed(f"{base}/Release", keys, self._read(f"{base}/Release.gpg"), release)
            within = self._signed(f"{base}/InRelease", keys, self._read(f"{base}/InRelease"), None)
            if within is not None and within != release:
                self._wrong(f"{base}/InRelease", "it is not the Release file")

        self._guard(f"{base}/Release", signatures)
        self._guard(f"{base}/Release", lambda: self._lists(base))

    def _lists(self, base: str) -> None:
        from debian.deb822 import Release

        release = Release(self._read(f"{base}/Release"))
        lists = {e["name"]: (int(e["size"]), e["sha256"]) for e in release["SHA256"]}
        for name, (size, sha) in lists.items():
            path = f"{base}/{name}"
            hashed = f"{base}/{Path(name).parent}/by-hash/SHA256/{sha}"
            for place in (path, hashed):
                if not inside(name) or place not in self._digests:
                    self._wrong(place, "it is missing")
                elif self._digests[place] != sha or self._sizes[place] != size:
                    self._wrong(place, "it is not what Release lists")
        for path in self._digests:
            by_hash = path.startswith(f"{base}/") and "/by-hash/" in path
            if by_hash and Path(path).name != self._digests[path]:
                self._wrong(path, "its name is not its sha256")
        pooled: set[str] = set()
        for name in lists:
            if name.endswith("/Packages"):
                self._guard(f"{base}/{name}", partial(self._packages, base, name, pooled))
        for path in self._digests:
            if path.startswith("pool/") and path.endswith(".deb") and path not in pooled:
                self._wrong(path, "no Packages file lists it")

    def _packages(self, base: str, name: str, pooled: set[str]) -> None:
        plain = self._read(f"{base}/{name}")
        for suffix, unpacked in ((".gz", _gunzipped), (".xz", _unxzed)):
            packed = f"{base}/{name}{suffix}"
            if packed in self._digests:
                try:
                    same = _same(unpacked(self._read(packed), len(plain)), plain)
                except _UNREAL:
                    same = False
                if not same:
                    self._wrong(packed, "it does not unpack to Packages")
        for path, sha, size in _packages(plain):
            pooled.add(path)
            if path not in self._digests:
                self._wrong(path, "it is missing")
            elif self._digests[path] != sha or self._sizes[path] != size:
                self._wrong(path, "it is not what Packages lists")

    # What is said of the packages

    def _document(self, path: str, packages: Mapping[str, str]) -> None:
        if path.endswith((".changes", ".buildinfo")):
            self._guard(path, lambda: self._checksums(path))
        elif path.startswith("attestations/") and path.endswith(".provenance.json"):
            self._guard(path, lambda: self._provenance(path, packages))
        elif path.startswith("proofs/"):
            if path.endswith(".json"):
                self._guard(path, lambda: self._proof(path, packages))
        elif path.startswith("attestations/"):
            self._guard(path, lambda: self._bill(path, packages))

    def _checksums(self, path: str) -> None:
        """What a .changes or .buildinfo lists lies beside it, and is of that size and digest."""
        from debian.deb822 import Deb822

        paragraph = Deb822(self._read(path))
        lines = paragraph["Checksums-Sha256"].split("\n")
        for line in filter(None, map(str.strip, lines)):
            sha, size, name = line.split()
            beside = str(Path(path).parent / name)
            if beside not in self._digests:
                self._wrong(beside, f"it is missing; {Path(path).name} lists it")
            elif self._digests[beside] != sha or self._sizes[beside] != int(size):
                self._wrong(beside, f"it is not what {Path(path).name} lists")

    def _provenance(self, path: str, packages: Mapping[str, str]) -> None:
        document: dict[str, Any] = documents.parse(self._read(path))
        subjects = {s["name"]: s["digest"]["sha256"] for s in document["subject"]}
        self._about(path, subjects, packages, "the provenance is of another package")

    def _proof(self, path: str, packages: Mapping[str, str]) -> None:
        """The packages that were booted are those that are here, and so is the console."""
        document: dict[str, Any] = documents.parse(self._read(path))
        self._about(path, document["packages"], packages, "another package was booted")
        console = f"{path.removesuffix('.json')}.log"
        if self._digests.get(console) != document["console"]:
            self._wrong(path, "it is the record of another console")

    def _bill(self, path: str, packages: Mapping[str, str]) -> None:
        """The packages that a bill of materials is about are those that are here."""
        document: dict[str, Any] = documents.parse(self._read(path))
        if path.endswith(".cdx.json"):
            ours = [
                c["hashes"][0]["content"]
                for c in document["components"]
                if any(p["value"] == "package" for p in c.get("properties", []))
            ]
        else:
            described = set(document.get("documentDescribes", ()))
            described |= {
                r["relatedSpdxElement"]
                for r in document["relationships"]
                if r["relationshipType"] == "DESCRIBES"
            }
            ours = [
                p["checksums"][0]["checksumValue"]
                for p in document["packages"]
                if p["SPDXID"] in described
            ]
        if not ours or not set(ours) <= set(packages.values()):
            self._wrong(path, "the bill of materials is of another package")

    def _about(
        self, path: str, digests: Mapping[str, str], packages: Mapping[str, str], why: str
    ) -> None:
        if not digests or any(packages.get(name) != sha for name, sha in digests.items()):
            self._wrong(path, why)

    def _record(self) -> None:
        document: dict[str, Any] = documents.parse(self._read(RECORD))
        attested: set[str] = set()
        for build in document["builds"]:
            for path, sha in build["files"].items():
                attested.add(path)
                if self._digests.get(path) != sha:
                    self._wrong(path, f"it is not what {RECORD} lists")
        for path in self._digests:
            if path.startswith("pool/") and path not in attested:
                self._wrong(path, f"{RECORD} does not name it")
        if not self.verdict.problems:
            serial = int(document.get("serial", 0))
            identity = (self.verdict.fingerprint, str(document["recipe"]), str(document["suite"]))
            newer = seen.newer(identity, serial)
            if newer:
                self.verdict.notes.append(
                    f"this is release {serial} of {document['recipe']}, and release {newer} by the "
                    "same key was verified here before: who serves the older one may hold back "
                    "corrections"
                )

    def _same_key(self) -> None:
        """The key that the folder offers to apt is one that signed it."""
        offered = self._read(f"{KEY}.gpg")
        try:
            signing.check(offered, self._bounded(f"{SUMS}.asc", _TEXT), self._bounded(SUMS, _TEXT))
        except signing.Refused:
            self._wrong(f"{KEY}.gpg", f"it is not the key that signed {SUMS}")


def _is_package(path: str) -> bool:
    return path.startswith("pool/") and path.endswith(".deb")


def _packages(text: bytes) -> Iterator[tuple[str, str, int]]:
    """Path, sha256 and size of each package that a Packages file lists."""
    from debian.deb822 import Packages

    for package in Packages.iter_paragraphs(text, use_apt_pkg=False):
        yield package["Filename"], package["SHA256"], int(package["Size"])


_BLOCK = 1 << 16


def _gunzipped(data: bytes, size: int) -> Iterator[bytes]:
    """What one gzip member unpacks to, no more than a block beyond `size` bytes."""
    unpacker, given = zlib.decompressobj(31), 0
    while not unpacker.eof and given <= size:
        chunk = unpacker.decompress(data, _BLOCK)
        data = unpacker.unconsumed_tail
        if not chunk:
            raise EOFError("it is cut off")
        given += len(chunk)
        yield chunk
    if unpacker.unused_data:
        raise ValueError("something follows")


def _unxzed(data: bytes, size: int) -> Iterator[bytes]:
    """What one xz stream unpacks to, no more than a block beyond `size` bytes."""
    unpacker, given = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_DICTIONARY), 0
    while not unpacker.eof and given <= size:
        chunk = unpacker.decompress(data, _BLOCK)
        data = b""
        if not chunk and unpacker.needs_input:
            raise EOFError("it is cut off")
        given += len(chunk)
        yield chunk
    if unpacker.unused_data:
        raise ValueError("something follows")


def _same(chunks: Iterator[bytes], plain: bytes) -> bool:
    place = 0
    for chunk in chunks:
        if plain[place : place + len(chunk)] != chunk:
            return False
        place += len(chunk)
    return place == len(plain)
