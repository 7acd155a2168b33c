# SPDX-License-Identifier: GPL-2.0-or-later
"""Check a release: every signature, every digest, and that nothing is missing or extra.

Nothing in the folder is believed before the signature on SHA256SUMS was. With a key from
elsewhere that proves who made the release; with the one in the folder only that it is whole.
Beyond the sums, what apt and others follow is followed too: Release to Packages to .deb,
.changes to its files, provenance and bills of materials to the packages.
"""

from __future__ import annotations

import gzip
import json
import lzma
import stat
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from builders.engine import box
from builders.errors import BuildError
from builders.files import of_file
from builders.progress import Reporter, printable
from builders.release import armor, signing
from builders.release.layout import KEY, RECORD, SUMS, inside, walk

_LIMIT = 64 << 20  # bytes that no index or document here reaches
_UNREAL = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError),
    *(lzma.LZMAError, zlib.error),
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
    from elsewhere. files: how many were checked.
    """

    fingerprint: str = ""
    given: bool = False
    files: int = 0
    problems: list[Problem] = field(default_factory=list)


def verify(folder: Path, reporter: Reporter, key: Path | None = None) -> Verdict:
    """Check the release in `folder`; key: a file of public keys that may have signed it.

    Raises BuildError where there is no release, no gpgv, or no key in `key`.
    """
    box.ensure_tools(["gpgv"], reporter)
    if not (folder / SUMS).is_file() and not (folder / RECORD).is_file():
        raise BuildError(
            f"{folder} is no release: it has no {SUMS}", hint="name the folder of a release"
        )
    check = _Check(folder, reporter)
    check.verdict.given = key is not None
    check.run(signing.public_keys(key) if key else None)
    return check.verdict


class _Check:
    def __init__(self, folder: Path, reporter: Reporter) -> None:
        self._folder = folder
        self._reporter = reporter
        self._digests: dict[str, str] = {}
        self.verdict = Verdict()

    def _wrong(self, file: str, why: str) -> None:
        problem = Problem(printable(file), printable(why))
        # One reason for a file is enough: what follows from it says the same.
        if all(p.file != problem.file for p in self.verdict.problems):
            self.verdict.problems.append(problem)

    def _read(self, path: str) -> bytes:
        """A file's bytes; ValueError where it is no plain file or too large for what it is."""
        if not inside(path):
            raise ValueError("its path leaves the release")
        at = self._folder / path
        about = at.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > _LIMIT:
            raise ValueError("it is no plain file, or too large")
        return at.read_bytes()

    def run(self, keys: bytes | None) -> None:
        """All checks; each finds what it can, whatever the ones before it found."""
        with self._reporter.work("verify") as task:
            task.show("files")
            self._present()
            keys = keys if keys is not None else self._own_keys()
            self._sums(keys)
            task.show("repository")
            for release in sorted(self._folder.glob("dists/*/Release")):
                self._suite(release.parent.name, keys)
            if not any(path.startswith("dists/") for path in self._digests):
                self._wrong("dists", "it is missing")
            task.show("documents")
            packages = {
                Path(path).name: sha for path, sha in self._digests.items() if path[-4:] == ".deb"
            }
            for path in sorted(self._digests):
                self._document(path, packages)
            self._record()
            if all(p.file != SUMS for p in self.verdict.problems):
                self._guard(f"{KEY}.gpg", self._same_key)

    def _guard(self, path: str, step: Callable[[], None]) -> None:
        try:
            step()
        except FileNotFoundError:
            self._wrong(path, "it is missing")
        except _UNREAL as error:
            self._wrong(path, f"it can't be read: {error}")

    def _present(self) -> None:
        for path, entry in walk(self._folder):
            if not entry.is_file(follow_symlinks=False):
                self._wrong(path, "it is no plain file")
                continue
            try:
                self._digests[path] = of_file(self._folder / path)
            except OSError as error:
                self._wrong(path, f"it can't be read: {error.strerror}")
        self.verdict.files = len(self._digests)

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

    def _sums(self, keys: bytes) -> None:
        try:
            listed, signature = self._read(SUMS), self._read(f"{SUMS}.asc")
        except _UNREAL:
            for path in (SUMS, f"{SUMS}.asc"):
                if path not in self._digests:
                    self._wrong(path, "it is missing")
            listed = b""
        else:
            if self._signed(SUMS, keys, signature, listed) is None:
                self._wrong(f"{SUMS}.asc", f"it is not the signature of {SUMS}")
            elif not armor.canonical(signature, listed):
                self._wrong(f"{SUMS}.asc", "it is not as gpg writes a signature")
        stated: dict[str, str] = {}
        for line in listed.decode("utf-8", "replace").splitlines():
            sha, _, path = line.partition("  ")
            if path:
                stated[path] = sha
            else:
                self._wrong(SUMS, "a line of it is no digest and path")
        for path, sha in stated.items():
            if path not in self._digests:
                self._wrong(path, "it is missing")
            elif self._digests[path] != sha:
                self._wrong(path, f"it is not the file that {SUMS} lists: its sha256 differs")
        for path in self._digests:
            if path not in stated and path not in (SUMS, f"{SUMS}.asc"):
                self._wrong(path, f"{SUMS} does not list it")

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
        entries = {e["name"]: (int(e["size"]), e["sha256"]) for e in release["SHA256"]}
        for name, (size, sha) in entries.items():
            path = f"{base}/{name}"
            hashed = f"{base}/{Path(name).parent}/by-hash/SHA256/{sha}"
            for place in (path, hashed):
                if not inside(name) or place not in self._digests:
                    self._wrong(place, "it is missing")
                elif self._digests[place] != sha or (self._folder / place).stat().st_size != size:
                    self._wrong(place, "it is not what Release lists")
        for path in self._digests:
            by_hash = path.startswith(f"{base}/") and "/by-hash/" in path
            if by_hash and Path(path).name != self._digests[path]:
                self._wrong(path, "its name is not its sha256")
        pooled: set[str] = set()
        for name in entries:
            if name.endswith("/Packages"):
                self._guard(f"{base}/{name}", partial(self._packages, base, name, pooled))
        for path in self._digests:
            if path.startswith("pool/") and path.endswith(".deb") and path not in pooled:
                self._wrong(path, "no Packages file lists it")

    def _packages(self, base: str, name: str, pooled: set[str]) -> None:
        from debian.deb822 import Packages

        plain = self._read(f"{base}/{name}")
        for suffix, unpack in ((".gz", gzip.decompress), (".xz", lzma.decompress)):
            packed = f"{base}/{name}{suffix}"
            if packed in self._digests:
                try:
                    same = unpack(self._read(packed)) == plain
                except _UNREAL:
                    same = False
                if not same:
                    self._wrong(packed, "it does not unpack to Packages")
        for package in Packages.iter_paragraphs(plain, use_apt_pkg=False):
            path, sha, size = package["Filename"], package["SHA256"], int(package["Size"])
            pooled.add(path)
            if path not in self._digests:
                self._wrong(path, "it is missing")
            elif self._digests[path] != sha or (self._folder / path).stat().st_size != size:
                self._wrong(path, "it is not what Packages lists")

    # What is said of the packages

    def _document(self, path: str, packages: Mapping[str, str]) -> None:
        if path.startswith(("attestations/", "proofs/")) and any(
            p.file.endswith(".deb") for p in self.verdict.problems
        ):
            return  # they would not agree with a package that was changed
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
            elif self._digests[beside] != sha or (self._folder / beside).stat().st_size != int(
                size
            ):
                self._wrong(beside, f"it is not what {Path(path).name} lists")

    def _provenance(self, path: str, packages: Mapping[str, str]) -> None:
        document: dict[str, Any] = json.loads(self._read(path))
        subjects = {s["name"]: s["digest"]["sha256"] for s in document["subject"]}
        self._about(path, subjects, packages, "the provenance is of another package")

    def _proof(self, path: str, packages: Mapping[str, str]) -> None:
        """The packages that were booted are those that are here, and so is the console."""
        document: dict[str, Any] = json.loads(self._read(path))
        self._about(path, document["packages"], packages, "another package was booted")
        console = f"{path.removesuffix('.json')}.log"
        if self._digests.get(console) != document["console"]:
            self._wrong(path, "it is the record of another console")

    def _bill(self, path: str, packages: Mapping[str, str]) -> None:
        """The packages that a bill of materials is about are those that are here."""
        document: dict[str, Any] = json.loads(self._read(path))
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
        self, path: str, said: Mapping[str, str], packages: Mapping[str, str], why: str
    ) -> None:
        if not said or any(packages.get(name) != sha for name, sha in said.items()):
            self._wrong(path, why)

    def _record(self) -> None:
        def compare() -> None:
            document: dict[str, Any] = json.loads(self._read(RECORD))
            attested: set[str] = set()
            for build in document["builds"]:
                for path, sha in build["files"].items():
                    attested.add(path)
                    if self._digests.get(path) != sha:
                        self._wrong(path, f"it is not what {RECORD} lists")
            for path in self._digests:
                if path.startswith("pool/") and path not in attested:
                    self._wrong(path, f"{RECORD} does not name it")

        self._guard(RECORD, compare)

    def _same_key(self) -> None:
        """The key that the folder offers to apt is one that signed it."""
        offered = self._read(f"{KEY}.gpg")
        try:
            signing.check(offered, self._read(f"{SUMS}.asc"), self._read(SUMS))
        except signing.Refused:
            self._wrong(f"{KEY}.gpg", f"it is not the key that signed {SUMS}")
