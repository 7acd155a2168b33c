# SPDX-License-Identifier: GPL-2.0-or-later
"""Make the release folder beside its final place, and exchange the two when it is complete.

pool/ dists/                 the apt repository
attestations/                provenance and bills of materials of each build
audit/ proofs/               what the audit found; boots of these packages, with their consoles
dom0-debs.{asc,gpg,sources}  the public key, and a file for /etc/apt/sources.list.d
index.html                   what is here, for people
release.json                 the same for programs
SHA256SUMS SHA256SUMS.asc    every other file, and the signature of that
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders import VERSION, files
from builders.errors import BuildError
from builders.files import of_file
from builders.pipeline.record import behind
from builders.progress import Silent
from builders.proofs.boot.proof import Proof
from builders.release import (
    armor,
    documents,
    facts,
    proofs,
    provenance,
    repository,
    signing,
    verify,
    web,
)
from builders.release.facts import Build
from builders.release.layout import (
    KEY,
    RECORD,
    SUMS,
    Kept,
    disk_error,
    is_release,
    kept_builds,
    record,
    serial,
    sums,
)
from builders.release.repository import Pooled

if TYPE_CHECKING:
    from builders.pipeline.run import Run

FOLDER = "release"
SCHEMA = 1  # of release.json
_MAKING = ".release-"  # beside the release: one that is being made
_ASIDE = "-old"  # at the end of that: the one before, while it has no place


@dataclass(frozen=True)
class Made:
    """A release that was made.

    builds: as release.json has them. missing: what a release may have and this one lacks.
    """

    folder: Path
    fingerprint: str
    uid: str
    ephemeral: bool
    builds: tuple[Mapping[str, Any], ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def publish(
    run: Run,
    name: str,
    *,
    flavour: str = "",
    key: str = "",
    out: str = "",
    url: str = "",
    keep: int = -1,
    old_key: str = "",
    spdx: bool = False,
) -> Made:
    """Release what was built of a recipe, as `signing.signer` and `facts.collect` find it.

    name: of the recipe, or its file. out: the folder; "" is release/ in the artifacts. url: where
    it will be served, for the .sources file. keep: how many older versions of each build stay in
    the repository; -1 is all. old_key: a file with the public keys that may have signed the release
    that is there, where it was another one than signs now; nothing of it is kept that was not
    verified. spdx: write the bill of materials as SPDX too.
    Raises BuildError; the folder is then as it was.
    """
    if spdx:
        from builders.release import bill

        bill.known_spdx()
    folder = Path(out).absolute() if out else run.folder / FOLDER
    with run.alone():
        builds = facts.collect(name, run.folder, run.cache, flavour)
        with (
            _making(folder) as fresh,
            signing.signer(key, run.reporter) as signer,
            run.reporter.work("release") as task,
        ):
            before = _believed(folder, run, signer, old_key)
            old = kept_builds(folder) if before else []
            making = _Making(fresh, folder, run, url.rstrip("/"), task.show, spdx=spdx)
            made = making.fill(builds, old, before, keep, signer)
            _replace(fresh, folder)
    return dataclasses.replace(made, folder=folder)


def _believed(folder: Path, run: Run, signer: signing.Signer, old_key: str) -> Path | None:
    """`folder`, where its release is verified and so may be kept; None where there is none to keep.

    Raises BuildError where it is not signed by the key that signs now, or one of `old_key`, or
    anything in it is not as it was signed: whoever changed it would have it signed anew.
    """
    if not is_release(folder, run.recipe.name):
        return None
    keys = signing.public_keys(Path(old_key)) if old_key else signer.public()
    verdict = verify.verify(folder, Silent(), keys)
    if not verdict.problems:
        return folder
    if signer.ephemeral and not old_key and signing.of_a_trial(folder / f"{KEY}.gpg"):
        run.reporter.line(
            f"{folder}: the release there was signed with a key for trying, too, and nothing of "
            "it is kept: nobody can tell whether it is as it was made"
        )
        return None
    first, more = verdict.problems[0], len(verdict.problems) - 1
    raise BuildError(
        f"{folder}: the release before can't be carried on: {first.file}: {first.why}"
        + (f" (and {more} more)" if more else ""),
        hint=f"./inv verify {folder} says what else is; restore it, or move it away; where another "
        "key signed it, name the public half of that: --key FILE",
    )


class _Making:
    def __init__(
        self,
        folder: Path,
        final: Path,
        run: Run,
        url: str,
        show: Callable[..., None],
        *,
        spdx: bool,
    ) -> None:
        self._folder = folder
        self._spdx = spdx
        self._run = run
        self._served = url
        self._url = url or f"file:{final}"
        self._show = show

    def fill(
        self,
        builds: Sequence[Build],
        old: Sequence[Kept],
        before: Path | None,
        keep: int,
        signer: signing.Signer,
    ) -> Made:
        """Lay down everything. before: the verified release that this one replaces, or None."""
        commit = facts.commit()
        records: list[dict[str, Any]] = []
        pool: list[Pooled] = []
        notes = [
            f"{build.target} was compiled with ccache, which earlier builds of this recipe here "
            "could write; without it: ./inv build-all --clean"
            for build in builds
            if build.cached
        ]
        for build in builds:
            self._show("describe", build.base)
            record, pooled = self._build(build, commit)
            records.append(record)
            pool += pooled
            same = next((k for k in old if k.key == (build.target, build.version)), None)
            if same and same.packages != {p.path: p.sha256 for p in pooled}:
                notes.append(
                    f"{build.source} {build.version} was released before with other content: a "
                    "machine that has it is not upgraded; raise the version (finish revision)"
                )
        current = {build.target: build.version for build in builds}
        notes += [
            f"{target} {version} is no longer in the release, as {current[target]} is what was "
            "built last: a machine that has it keeps it; raise the version (finish revision)"
            for target, version in (one.key for one in old)
            if _is_newer(version, current.get(target, version))
        ]
        for one in _kept(old, current, keep):
            records.append(one.record)
            for path, about in one.files.items():
                self._keep(one, path, before)
                if path.endswith(".deb"):
                    pool.append(_pooled(self._folder / path, path, about))
        audited = sorted(records, key=lambda r: (r["target"], r["epoch"], r["version"]))
        booted, missing = self._proofs(builds, pool, before)
        missing += [
            f"the newest source {name} of {build.target}: {text}"
            for build in builds
            for name, text in behind(build.stages[1]).items()
        ]
        epoch_text = os.environ.get("SOURCE_DATE_EPOCH", "")
        epoch = int(epoch_text) if epoch_text.isdecimal() else max(int(r["epoch"]) for r in records)
        self._show("sign")
        self._indexes(pool, before, epoch, signer)
        public = signer.public()
        armored_key = armor.armored("PUBLIC KEY BLOCK", public)
        suite = self._run.recipe.suite.name
        self._write(f"{KEY}.gpg", public)
        self._write(f"{KEY}.asc", armored_key)
        self._write(f"{KEY}.sources", repository.sources(suite, self._url, armored_key))
        document = {
            "schema": SCHEMA,
            "recipe": self._run.recipe.name,
            "suite": suite,
            "tool": {"version": VERSION, "commit": commit},
            "epoch": epoch,
            "builds": audited,
            "proofs": [str(one.record.relative_to(self._folder)) for one in booted],
            "missing": missing,
        }
        document["serial"] = _serial(document, before)
        self._write(RECORD, _json(document))
        self._write(
            web.PAGE, web.html(self._folder, builds, document, booted, self._served, signer)
        )
        digests = sums(self._folder)
        self._write(SUMS, digests)
        self._write(f"{SUMS}.asc", signer.detached(digests))
        return Made(
            self._folder,
            signer.fingerprint,
            signer.uid,
            signer.ephemeral,
            tuple(audited),
            tuple(missing),
            tuple(notes),
        )

    def _keep(self, one: Kept, path: str, before: Path | None) -> None:
        """Take a file of an older build along, if it is still what was verified."""
        if before is None:
            return
        _place(before / path, self._folder / path)
        if of_file(self._folder / path) != one.files[path]:
            raise BuildError(
                f"{before}/{path} changed while the release was made", hint="run it again"
            )

    def _build(self, build: Build, commit: str) -> tuple[dict[str, Any], list[Pooled]]:
        """Lay down all files of a build; its record, and its packages."""
        from builders.release import bill

        home = repository.place(build.source)
        beside: dict[str, Path] = {}
        for package in build.packages:
            beside[package.path.name] = _place(
                package.path, self._folder / home / package.path.name
            )
        info = f"{build.base}.buildinfo"
        beside[info] = self._write(f"{home}/{info}", documents.buildinfo(build))
        changes = f"{build.base}.changes"
        written = [
            *beside.values(),
            self._write(f"{home}/{changes}", documents.changes(build, beside)),
        ]
        stem = f"attestations/{build.base}"
        for suffix, content in (
            ("provenance.json", provenance.statement(build, commit)),
            ("cdx.json", bill.cyclonedx(build)),
            *([("spdx.json", bill.spdx(build))] if self._spdx else []),
        ):
            written.append(self._write(f"{stem}.{suffix}", content))
        audit, counts = _audit(build, home)
        written.append(self._write(f"audit/{build.base}.json", audit))
        pooled = [
            Pooled(f"{home}/{p.path.name}", p.size, p.sha256, p.control) for p in build.packages
        ]
        paths = sorted(str(path.relative_to(self._folder)) for path in written)
        record = {
            "target": build.target,
            "source": build.source,
            "version": build.version,
            "architecture": build.architecture,
            "epoch": build.epoch,
            "overrides": list(build.overrides),
            "audit": counts,
            "files": {path: of_file(self._folder / path) for path in paths},
        }
        return record, pooled

    def _proofs(
        self, builds: Sequence[Build], pool: Sequence[Pooled], before: Path | None
    ) -> tuple[list[Proof], list[str]]:
        """Lay down the boots of these packages, and of older ones that stay.

        The former are given back, and what is missing, in words.
        """
        own_proofs, missing = proofs.of(builds, self._run.logs)
        packages = {Path(pooled.path).name: pooled.sha256 for pooled in pool}
        placed: list[Proof] = []
        for one in [*own_proofs, *(proofs.kept(before, packages) if before else ())]:
            place = proofs.place(one)
            record = self._folder / place / one.record.name
            if record.exists():
                continue
            console = self._write(f"{place}/{one.console.name}", one.console.read_bytes())
            self._write(f"{place}/{one.record.name}", one.record.read_bytes())
            placed.append(dataclasses.replace(one, record=record, console=console))
        return placed[: len(own_proofs)], missing

    def _indexes(
        self, pool: Sequence[Pooled], before: Path | None, epoch: int, signer: signing.Signer
    ) -> None:
        suite = self._run.recipe.suite.name
        base = f"dists/{suite}"
        indexes = repository.indexes(pool)
        for path, content in indexes.items():
            self._write(f"{base}/{path}", content)
            self._write(f"{base}/{repository.by_hash(path, content)}", content)
        # A client that holds the Release of before finds the lists that it names.
        if before is not None:
            self._keep_lists(before, base, indexes)
        release = repository.release(
            suite, self._run.recipe.name, indexes, repository.architectures(pool), epoch
        )
        self._write(f"{base}/Release", release)
        self._write(f"{base}/Release.gpg", signer.detached(release))
        self._write(f"{base}/InRelease", signer.clear(release))

    def _keep_lists(self, before: Path, base: str, indexes: Mapping[str, bytes]) -> None:
        for old in before.glob(f"{base}/*/*/by-hash/SHA256/*"):
            target = self._folder / old.relative_to(before)
            if not target.exists() and self._named(before, base, indexes, old):
                _place(old, target)

    def _named(self, before: Path, base: str, indexes: Mapping[str, bytes], old: Path) -> bool:
        """Whether an old list is kept: that of the Release before, or all where none changed."""
        release = (before / base / "Release").read_text(encoding="utf-8")
        same = all(hashlib.sha256(content).hexdigest() in release for content in indexes.values())
        return same or old.name in release

    def _write(self, path: str, content: bytes) -> Path:
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(0o644)
        return target


def _serial(document: Mapping[str, Any], before: Path | None) -> int:
    """The serial of this release: that of `before`, or one more where the content is another."""
    if before is None:
        return 1
    last = {key: value for key, value in record(before).items() if key != "serial"}
    same = bool(last == json.loads(_json(document)))
    return serial(before) + (0 if same else 1)


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _audit(build: Build, home: str) -> tuple[bytes, dict[str, int]]:
    """The audit of a build's packages, named by their places in the release; its counts."""
    from builders.debkit import audit
    from builders.debkit.audit.document import to_json

    expectations = audit.Expectations(kernel_options=build.recipe.audit.kernel_options)
    reports = [
        dataclasses.replace(audit.audit(p.path, expectations), path=Path(home) / p.path.name)
        for p in build.packages
    ]
    counts = {str(s): sum(report.count(s) for report in reports) for s in audit.Severity}
    return (to_json(reports) + "\n").encode(), counts


def _pooled(path: Path, name: str, sha256: str) -> Pooled:
    from builders.debkit.deb import Deb

    return Pooled(name, path.stat().st_size, sha256, dict(Deb.open(path).control))


def _kept(old: Sequence[Kept], current: Mapping[str, str], keep: int) -> Iterator[Kept]:
    """The older builds to keep: the newest `keep` of each target; all where `keep` is negative.

    current: target -> the version that is released now. One that is as new or newer goes: apt
    would install it in place of what is released.
    """
    from debian.debian_support import Version

    targets: dict[str, list[Kept]] = {}
    for one in old:
        target, version = one.key
        if target not in current or _is_newer(current[target], version):
            targets.setdefault(target, []).append(one)
    for versions in targets.values():
        versions.sort(key=lambda k: Version(k.key[1]), reverse=True)
        yield from versions if keep < 0 else versions[:keep]


def _is_newer(version: str, other: str) -> bool:
    from debian.debian_support import Version

    return bool(Version(version) > Version(other))


def _place(source: Path, target: Path) -> Path:
    """Make `target` the same file as `source`; a copy where that is another disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    files.link(source, target)
    return target


@contextmanager
def _making(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, gone after the block.

    Also removes what a killed run left. An old release that it moved aside is moved
    back, where its place is empty.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for leftover in folder.parent.glob(f"{_MAKING}{folder.name}-*"):
            if leftover.name.endswith(_ASIDE) and not folder.exists():
                leftover.rename(folder)
            else:
                shutil.rmtree(leftover, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=f"{_MAKING}{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise disk_error(error, folder.parent) from None
    try:
        fresh.chmod(0o755)
        yield fresh
    except OSError as error:
        # The folder's own name ends with the run, and tells a person nothing.
        if str(error.filename2 or error.filename or "").startswith(str(fresh)):
            error.filename = error.filename2 = None
        raise disk_error(error, folder.parent) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _replace(fresh: Path, folder: Path) -> None:
    """Put `fresh` in the place of `folder`, by one exchange where the file system has that."""
    for path in [fresh, *fresh.rglob("*")]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if not folder.exists():
        fresh.rename(folder)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE: renameat2(2)
    if libc.renameat2(here, os.fsencode(fresh), here, os.fsencode(folder), exchange) == 0:
        return
    # A file system without it: there is a moment without a release, and never half of one.
    aside = fresh.with_name(f"{fresh.name}{_ASIDE}")
    try:
        folder.rename(aside)
        fresh.rename(folder)
    finally:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
