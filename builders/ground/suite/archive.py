# SPDX-License-Identifier: GPL-2.0-or-later
"""The package lists of a suite, verified on the box.

The box verifies the Release file by its signature, then every package list by the digest that
this Release states. Only these files are laid where apt-get update leaves what it has verified.
That update never runs in a container, so apt knows no list but these; and what it downloads is
compared with them on the box once more (see `downloads`), as the apt of an old suite does not
always look.

Nobody signs an old suite anew, so apt(8) refuses it, and what is usually done about that
(--force-yes, [trusted=yes]) gives verification up. With suite.signed_by a signature counts that
one of these keys made before it expired, and the digest of Release where the recipe pins that.
Without, the keyring's keys count that have not expired, as for apt-secure(8). A key's holder can
date a signature back, so of an expired key that has leaked only the pin protects.
"""

from __future__ import annotations

import bz2
import email.utils
import gzip
import hashlib
import lzma
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from builders.errors import BuildError, Exit
from builders.files import of_file, scratch
from builders.ground.engine.box import ensure_tools, install_command, missing
from builders.ground.engine.container import Container
from builders.ground.session import Session
from builders.ground.sources.address import Failed, Patience
from builders.ground.sources.pins import UrlSource
from builders.ground.suite import index, mirror
from builders.ground.suite.model import Suite
from builders.text import day, printable

LISTS = "/var/lib/apt/lists"
LISTED = "dom0-debs-lists-"  # of the box's folders for package lists: what their names begin with
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
ARCHITECTURE = "amd64"  # of everything that is built here
_LIMIT = 64 << 20  # bytes that no Release file reaches
_LARGEST = 1 << 30  # and no package list
_CHUNK = 1 << 20
# mmdebstrap(1)'s own answer to a dpkg before 1.17.11; it looks for itself whether it is needed.
_OLD = Path("/usr/share/mmdebstrap/hooks/maybe-jessie-or-older")
_PROBED = Patience(connect=10, stall=10, answer=20, attempts=1)
_DAY = 86400  # seconds that the clock of a signer may be ahead of ours
_OPEN: dict[str, Any] = {".xz": lzma.open, ".bz2": bz2.open, ".gz": gzip.open, "": open}
# One signed text and nothing else (RFC 4880, 7): what stands beside it nobody signed.
_INLINE = re.compile(
    rb"-----BEGIN PGP SIGNED MESSAGE-----\r?\n(?:(?!-----).*\n)*"
    rb"-----BEGIN PGP SIGNATURE-----\r?\n(?:(?!-----).*\n)*-----END PGP SIGNATURE-----\s*"
)
_WEAK = {"1": "MD5", "2": "SHA-1", "3": "RIPE-MD/160"}  # RFC 4880, 9.4


@dataclass(frozen=True)
class Signature:
    """The signature that a Release file was accepted for.

    fingerprint: of the primary key; made, expired: seconds since the epoch (None: never).
    """

    fingerprint: str
    made: int
    expired: int | None


@dataclass(frozen=True)
class Listed:
    """A file as a Release file lists it: its size in bytes and its digest."""

    size: int
    sha256: str


# -- the Release file ----------------------------------------------------------------


@dataclass
class _Found:
    """What gpgv says of one signature (GnuPG's doc/DETAILS, "General status codes")."""

    words: dict[str, list[str]] = field(default_factory=dict)


def verify(
    release: bytes, signature: bytes, keyring: Path, signed_by: Sequence[str], what: str
) -> Signature:
    """The first of the signatures on `release` that makes it trustworthy.

    signature: the detached signatures (Release.gpg); keyring: the keys, for gpgv(1).
    signed_by: fingerprints of the primary keys that may have signed, 40 hexadecimal digits; of
    these a key may have expired since, but not been revoked, and a signature counts where it was
    made before its key expired. Where none is listed, any key of the keyring may have signed
    that has not expired.
    what: the address, for errors.
    Raises BuildError (SOURCE) with the reason of each signature where none does.
    """
    with scratch("dom0-debs-signature-") as folder:
        (folder / "Release").write_bytes(release)
        (folder / "Release.gpg").write_bytes(signature)
        files = [str(folder / "Release.gpg"), str(folder / "Release")]
        return _verdict(folder, keyring.absolute(), signed_by, what, files)


def opened(inline: bytes, keyring: Path, what: str) -> bytes:
    """The text of an InRelease file, signed by a key of the keyring that has not expired.

    Raises BuildError (SOURCE) as `verify`, and where it is more than one signed text.
    """
    if not _INLINE.fullmatch(inline):
        raise _refused(what, ["it is not one signed text and nothing else"])
    with scratch("dom0-debs-signature-") as folder:
        (folder / "InRelease").write_bytes(inline)
        files = ["--output", str(folder / "Release"), str(folder / "InRelease")]
        _verdict(folder, keyring.absolute(), (), what, files)
        return (folder / "Release").read_bytes()


def _verdict(
    home: Path, keyring: Path, signed_by: Sequence[str], what: str, files: Sequence[str]
) -> Signature:
    signatures = _signatures(home, keyring, files)
    expiries = _expiries(home, keyring) if signatures else {}
    if any("BADSIG" in one.words for one in signatures):
        raise _refused(
            what,
            ["it is not what was signed: it was changed afterwards, or broke on its way"],
        )
    reasons: list[str] = []
    for one in signatures:
        verdict = _judge(one.words, expiries, {f.upper() for f in signed_by})
        if isinstance(verdict, Signature):
            return verdict
        reasons.append(verdict)
    raise _refused(what, reasons or ["its signature file holds no signature"])


def _refused(what: str, reasons: Sequence[str]) -> BuildError:
    lines = "".join(f"\n  {printable(reason)}" for reason in dict.fromkeys(reasons))
    return BuildError(
        f"{what} is not to be trusted:{lines}",
        hint="use another mirror (--set suite.mirror=...); where you know a key to be right, add "
        "its fingerprint to suite.signed_by",
        exit=Exit.SOURCE,
    )


def _gnupg(home: Path, command: Sequence[str]) -> str:
    process = subprocess.run(
        command,
        env={**os.environ, "LC_ALL": "C", "GNUPGHOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,  # what it says counts: a key that nobody lists fails it too
    )
    return process.stdout.decode("utf-8", "replace")


def _signatures(home: Path, keyring: Path, files: Sequence[str]) -> list[_Found]:
    """What gpgv(1) says of each signature."""
    output = _gnupg(home, ["gpgv", "--status-fd", "1", "--keyring", str(keyring), *files])
    signatures: list[_Found] = []
    for line in output.splitlines():
        prefix, _, rest = line.partition(" ")
        words = rest.split()
        if prefix != "[GNUPG:]" or not words:
            continue
        if words[0] == "NEWSIG":
            signatures.append(_Found())
        elif signatures:
            signatures[-1].words[words[0]] = words[1:]
    return signatures


def _expiries(folder: Path, keyring: Path) -> dict[str, int | None]:
    """When each key and subkey of the keyring expires; by fingerprint."""
    options = ["--batch", "--no-default-keyring", "--lock-never", "--no-auto-check-trustdb"]
    output = _gnupg(
        folder, ["gpg", *options, "--keyring", str(keyring), "--with-colons", "--list-keys"]
    )
    expiries: dict[str, int | None] = {}
    latest: int | None = None
    is_next = False
    for line in output.splitlines():  # GnuPG's doc/DETAILS, "Description of the fields"
        fields = line.split(":")
        if fields[0] in {"pub", "sub"}:
            latest, is_next = _time(fields[6]) if fields[6] else None, True
        elif fields[0] == "fpr" and is_next:
            expiries[fields[9]], is_next = latest, False
    return expiries


def _time(text: str) -> int:
    """A time of GnuPG's: seconds since the epoch, or ISO 8601 with a T."""
    if "T" in text:
        return int(datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp())
    return int(text)


def _judge(
    words: Mapping[str, list[str]], expiries: Mapping[str, int | None], signed_by: set[str]
) -> Signature | str:
    """The signature where it counts, else why it does not."""
    if "ERRSIG" in words:
        has_key = "NO_PUBKEY" not in words
        why = "can't be checked" if has_key else "is by a key that the keyring lacks"
        return f"the signature of key {words['ERRSIG'][0]} {why}"
    if "REVKEYSIG" in words:
        return f"key {words['REVKEYSIG'][0]} was revoked: its signature proves nothing"
    if "EXPSIG" in words:
        return f"the signature of key {words['EXPSIG'][0]} has itself expired"
    if "VALIDSIG" not in words or not {"GOODSIG", "EXPKEYSIG"} & set(words):
        return "a signature is not valid"
    valid = words["VALIDSIG"]
    signer, made, algorithm, primary = valid[0], _time(valid[2]), valid[7], valid[9]
    if signed_by and primary not in signed_by:
        return f"the signature is by key {primary}, which suite.signed_by does not list"
    if not signed_by and "GOODSIG" not in words:
        return (
            f"key {primary} has expired: for a suite that nobody signs anew, list it in "
            "suite.signed_by"
        )
    if algorithm in _WEAK:
        return f"the signature of key {primary} rests on {_WEAK[algorithm]}, which is broken"
    if made > time.time() + _DAY:
        return f"the signature of key {primary} is dated {day(made)}, which is to come"
    if signer not in expiries or primary not in expiries:
        return f"gpg does not know when key {primary} expires"
    ends = [end for end in (expiries[signer], expiries[primary]) if end is not None]
    if ends and made >= min(ends):
        return (
            f"the signature of key {primary} was made on {day(made)}, "
            f"after the key had expired ({day(min(ends))})"
        )
    return Signature(primary, made, min(ends, default=None))


def listed(release: bytes, suite: str, what: str, *, fresh: bool = False) -> dict[str, Listed]:
    """The files that a verified Release file lists by SHA-256; path below it -> what it says.

    suite: as sources.list(5) names it. The keys that sign one suite sign others too, so a
    Release file of another one is refused: BuildError (SOURCE). fresh: one is refused too that
    states a time until which it is valid, and that is over (Valid-Until of apt-secure(8)).
    """
    from debian.deb822 import Release  # slow to import, and not always needed

    parsed = Release(release)
    until = parsed.get("Valid-Until", "")
    if fresh and until and _moment(until) < time.time():
        raise _refused(what, [f"it was valid until {until}: the mirror serves an old state"])
    names = {parsed.get("Suite", ""), parsed.get("Codename", "")} - {""}
    if not names & {suite, suite.partition("/")[0]}:
        raise _refused(what, [f"it is of {' or '.join(sorted(names)) or 'no suite'}, not {suite}"])
    files: dict[str, Listed] = {}
    for entry in parsed.get("SHA256", []):
        size, digest = entry.get("size", ""), entry.get("sha256", "")
        if size.isdecimal() and re.fullmatch(r"[0-9a-f]{64}", digest):
            files[entry.get("name", "")] = Listed(int(size), digest)
    if not files:
        raise _refused(what, ["it lists no file by SHA-256"])
    return files


def _moment(text: str) -> float:
    """Seconds since the epoch of a date in a Release file; 0 where it is none."""
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0


# -- the package lists ----------------------------------------------------------------


def file_name(url: str) -> str:
    """The name below /var/lib/apt/lists for what `url` serves (apt's URItoFileName)."""
    parts = urlsplit(url)
    # What sources.list(5) writes with %, apt reads without, and quotes again in its own way.
    bare = parts.netloc.rpartition("@")[2] + unquote(parts.path)
    return re.sub(
        r"[\\|{}\[\]<>\"^~_=!@#$%&*\x00-\x20\x7f-\U0010ffff]",
        lambda match: "".join(f"%{byte:02x}" for byte in match[0].encode()),
        bare,
    ).replace("/", "_")


@dataclass(frozen=True)
class Lists:
    """Verified files as apt-get update would leave them.

    packages, sources: the lists of either kind, each with the address of its archive, from which
    the names of files in it count. states: of the suite and its pockets, in their order; `lists`
    says them.
    """

    files: tuple[Path, ...]
    packages: tuple[tuple[Path, str], ...]
    sources: tuple[tuple[Path, str], ...]
    states: tuple[ReleaseState, ...] = ()


@dataclass(frozen=True)
class ReleaseState:
    """A verified Release file: of which suite or pocket, served where, its sha256 and its time.

    made: seconds since 1970 (field Date); 0 where it states none.
    """

    suite: str
    archive: str
    sha256: str
    made: int


def lists(run: Session, folder: Path, *, sources: bool = True) -> Lists:
    """Verify the suite's archive and write its package lists to `folder`.

    Names and contents are those that apt-get update would leave. sources: the lists of
    source packages too. Raises BuildError (SOURCE) where anything can't be had or is not to be
    trusted.
    """
    suite = run.recipe.suite
    keyring = _keyring(run)
    package_lists: list[_List] = []
    written: list[Path] = []
    states: list[ReleaseState] = []
    for address, name in mirror.places(suite, mirror.of(suite)):
        archive = address.rstrip("/")
        base = f"{archive}/dists/{name}"
        release = _release(run, keyring, base, name)
        if suite.signed_by:
            run.reporter.line(f"{name}: {release.verdict}")
        states.append(_state(name, archive, release.text))
        for part, content in release.files.items():
            written.append(folder / file_name(f"{base}/{part}"))
            written[-1].write_bytes(content)
        package_lists += _of_release(suite, archive, name, release.text, sources=sources)
    places = dict(zip(package_lists, _fetch(run, folder, package_lists), strict=True))
    of = {
        kind: tuple(
            (path, package_list.archive)
            for package_list, path in places.items()
            if package_list.url.endswith(kind)
        )
        for kind in ("/Packages", "/Sources")
    }
    for path, archive in of["/Packages"]:
        _plain_http(run, path, archive)
    return Lists((*written, *places.values()), of["/Packages"], of["/Sources"], tuple(states))


def _state(suite: str, archive: str, release: bytes) -> ReleaseState:
    date = re.search(rb"(?m)^Date: ([ -~]{1,100})$", release)
    made = _moment(date[1].decode("ascii")) if date else 0.0
    return ReleaseState(suite, archive, hashlib.sha256(release).hexdigest(), max(0, int(made)))


def _of_release(
    suite: Suite, archive: str, name: str, release: bytes, *, sources: bool
) -> list[_List]:
    """The package lists of the suite's components that a verified Release file states."""
    base = f"{archive}/dists/{name}"
    files = listed(release, name, f"{base}/Release", fresh=not suite.signed_by)
    by_hash = bool(re.search(rb"(?m)^Acquire-By-Hash: *yes", release))
    paths = []
    for component in suite.components:
        paths.append(f"{component}/binary-{ARCHITECTURE}/Packages")
        paths += [f"{component}/source/Sources"] if sources else []
    return [_choose(files, archive, base, path, by_hash=by_hash) for path in paths]


def served(
    run: Session, address: str, name: str, patience: Patience
) -> tuple[str, list[UrlSource]]:
    """How the Release file at an address was verified, in words, and the package lists it states.

    name: of the suite, as sources.list(5) has it. Nothing is kept and nothing is installed.
    Raises BuildError where it can't be had, is not the pinned one or not to be trusted.
    """
    suite, archive = run.recipe.suite, address.rstrip("/")
    if problem := mirror.too_new(suite, archive):
        raise problem
    path = keyring(suite)
    if missing(["gpgv", "gpg"]) or not path.is_file():
        raise BuildError(
            f"its signature can't be verified: this box has no gpgv, no gpg or no {path}",
            hint=f"{install_command(['gpgv', 'gpg'])}; suite.keyring names the keys",
            exit=Exit.ENGINE,
        )
    release = _release(run, path, f"{archive}/dists/{name}", name, patience)
    package_lists = _of_release(suite, archive, name, release.text, sources=True)
    return release.verdict, [each.source(f"list-{n}") for n, each in enumerate(package_lists)]


def _plain_http(run: Session, packages: Path, archive: str) -> None:
    """BuildError where an archive's packages lead to https, which the suite's own apt lacks.

    The first that its list has is asked for. Any other failure is told by the download itself.
    """
    from builders.ground.sources.download import get

    suite = run.recipe.suite
    offer = next(index.packages(packages, archive), None) if mirror.has_no_https(suite) else None
    if offer is None:
        return
    url = offer.files[0].url
    try:
        landed = get(url, 0, run.live.stopping, method="HEAD", patience=_PROBED).url
    except Failed:
        return
    if problem := mirror.too_new(suite, url, landed):
        raise problem


def held(run: Session, container: Container, folder: Path) -> Lists:
    """The package lists that a container's apt has, copied to `folder` and verified again.

    No network is asked. Raises BuildError (SOURCE) where a list is not what its signed Release
    file states, or is missing.
    """
    suite = run.recipe.suite
    keyring = _keyring(run)
    copies = {path.name: path for path in container.fetch(LISTS, folder, plain=False)}
    packages: list[tuple[Path, str]] = []
    for address, name in mirror.places(suite, mirror.of(suite)):
        archive = address.rstrip("/")
        base = f"{archive}/dists/{name}"
        parts = {
            part: _content(copies.get(file_name(f"{base}/{part}")))
            for part in ("InRelease", "Release", "Release.gpg")
        }
        release = parts["Release"]
        if not parts["InRelease"] and not parts["Release.gpg"]:
            why = (
                "the container has no signature of it: an apt-get update that ran there removes it"
            )
            raise _refused(f"{base}/Release", [why])
        if parts["InRelease"] and not suite.signed_by:
            release = opened(parts["InRelease"], keyring, f"{base}/InRelease")
        else:
            verify(release, parts["Release.gpg"], keyring, suite.signed_by, f"{base}/Release")
        files = listed(release, name, f"{base}/Release")
        for component in suite.components:
            path = f"{component}/binary-{ARCHITECTURE}/Packages"
            copy, expected = copies.get(file_name(f"{base}/{path}")), files.get(path)
            if not copy or not expected or of_file(copy) != expected.sha256:
                raise _refused(f"{base}/{path}", ["the container's copy is not what was signed"])
            packages.append((copy, archive))
    return Lists(tuple(copies.values()), tuple(packages), ())


def _content(path: Path | None) -> bytes:
    if path is None or path.stat().st_size > _LIMIT:
        return b""
    return path.read_bytes()


@dataclass(frozen=True)
class _List:
    """A package list: its address, how it is packed, and what it is as served and unpacked.

    archive: the address that its own file names count from. by_hash: where the archive keeps it
    under its digest too, which an update of the archive does not replace.
    """

    archive: str
    url: str
    packing: str
    served: Listed
    plain: Listed | None
    by_hash: bool

    def source(self, name: str) -> UrlSource:
        """It as a source of that name, pinned by what its Release states."""
        filename = file_name(self.url) + self.packing
        return UrlSource(name, self.urls, self.served.sha256, self.served.size, filename)

    @property
    def urls(self) -> tuple[str, ...]:
        whole = self.url + self.packing
        folder = whole.rpartition("/")[0]
        first = (f"{folder}/by-hash/SHA256/{self.served.sha256}",) if self.by_hash else ()
        return (*first, whole)


def _choose(
    files: Mapping[str, Listed], archive: str, base: str, path: str, *, by_hash: bool
) -> _List:
    for packing in _OPEN:  # the smallest first
        if served := files.get(path + packing):
            plain = files.get(path)
            if max(served.size, plain.size if plain else 0) > _LARGEST:
                raise _refused(f"{base}/Release", [f"it lists {path} with more than {_LARGEST} B"])
            return _List(archive, f"{base}/{path}", packing, served, plain, by_hash)
    raise BuildError(
        f"{base}/Release lists no {path}",
        hint="correct suite.components or suite.mirror",
        exit=Exit.SOURCE,
    )


def keyring(suite: Suite) -> Path:
    """The file of the keys that may sign the suite: the recipe's, or the box's Debian keyring."""
    path = Path(suite.keyring or KEYRING)
    if path.suffix == ".gpg" and not path.exists():  # newer Debians may have .pgp alone
        renamed = path.with_suffix(".pgp")
        return renamed if renamed.exists() else path
    return path


def _keyring(run: Session) -> Path:
    """The suite's keyring; it and the tools that read it are installed where they are missing."""
    suite = run.recipe.suite
    of_debian = keyring(suite).parent == Path(KEYRING).parent and not keyring(suite).exists()
    tools = ["gpgv", "gpg", *(["debian-archive-keyring"] if of_debian else [])]
    ensure_tools(tools, run.reporter)
    path = keyring(suite)
    if not path.is_file():
        raise BuildError(
            f"{path}: the keyring of the recipe is not there",
            hint="correct suite.keyring; the package debian-archive-keyring has Debian's",
            exit=Exit.ENGINE,
        )
    return path


@dataclass(frozen=True)
class _Release:
    """A verified Release file: its text, and the files that apt wants for it, by their names.

    verdict: how it was verified, in words.
    """

    text: bytes
    files: Mapping[str, bytes]
    verdict: str


def _release(
    run: Session, keyring: Path, base: str, name: str, patience: Patience | None = None
) -> _Release:
    """A suite's verified Release file."""
    if run.recipe.suite.signed_by:
        return _detached(run, keyring, base, name, patience)
    # Text and signature in one: a mirror that is just being updated has no two that differ.
    inline = _get(run, f"{base}/InRelease", absent=b"", patience=patience)
    if not inline:
        return _detached(run, keyring, base, name, patience)
    text = opened(inline, keyring, f"{base}/InRelease")
    return _Release(text, {"InRelease": inline}, f"InRelease verified by {keyring}")


def _detached(
    run: Session, keyring: Path, base: str, name: str, patience: Patience | None
) -> _Release:
    suite = run.recipe.suite
    release = _get(run, f"{base}/Release", patience=patience)
    digest = hashlib.sha256(release).hexdigest()
    pinned = suite.release_sha256.get(name, "")
    if pinned and digest != pinned:
        raise BuildError(
            f"{base}/Release is not the one that the recipe pins: its sha256 is {digest}, "
            f"not {pinned}",
            hint="the recipe means a suite that does not change any more: use another mirror "
            "(--set suite.mirror=...); for a snapshot see docs/old-suites.md",
            exit=Exit.SOURCE,
        )
    signature = _get(run, f"{base}/Release.gpg", patience=patience)
    accepted = verify(release, signature, keyring, suite.signed_by, f"{base}/Release")
    since = f", which expired on {day(accepted.expired)}" if accepted.expired else ""
    verdict = (
        f"Release of {day(accepted.made)} verified by key {accepted.fingerprint}"
        + (since if accepted.expired and accepted.expired < time.time() else "")
        + (", and pinned" if pinned else "")
    )
    return _Release(release, {"Release": release, "Release.gpg": signature}, verdict)


def _get(
    run: Session, url: str, absent: bytes | None = None, patience: Patience | None = None
) -> bytes:
    """What `url` serves, of at most _LIMIT bytes; `absent`, where given, if there is no such."""
    from builders.ground.sources.download import get

    try:
        answer = get(url, _LIMIT, run.live.stopping, patience=patience)
    except Failed as error:
        raise _unserved(url, f"can't be had: {error.reason}") from None
    if answer.status == 404 and absent is not None:
        return absent
    if answer.status == 404 and url.endswith(".gpg"):
        raise _refused(url.removesuffix(".gpg"), ["it has no signature: Release.gpg"])
    if answer.status != 200:
        raise _unserved(url, f"answers {answer.status}")
    if problem := mirror.too_new(run.recipe.suite, url, answer.url):
        raise problem
    return answer.body


def _unserved(url: str, why: str) -> BuildError:
    return BuildError(
        f"{url} {why}",
        hint="does the mirror carry that suite? --set suite.mirror=... (and suite.security=...) "
        "names another",
        exit=Exit.SOURCE,
    )


def _fetch(run: Session, folder: Path, package_lists: Sequence[_List]) -> list[Path]:
    """The lists, through the cache, each of the digest that its Release states, unpacked."""
    from builders.ground.sources.fetching import fetch_all

    urls = {f"list-{n}": package_list for n, package_list in enumerate(package_lists)}
    try:
        fetched = fetch_all(
            [package_list.source(name) for name, package_list in urls.items()],
            run.cache,
            run.reporter,
            offline=run.offline,
            cancel=run.live.stopping,
        )
    except BuildError as error:
        raise BuildError(
            f"the package lists of {run.recipe.suite.name}: {error.message}",
            hint="the mirror does not serve what its Release file lists: try again, or use "
            "another (--set suite.mirror=...)",
            exit=error.exit,
        ) from None
    written = []
    for name, package_list in urls.items():
        (file,) = fetched[name].files
        written.append(folder / file_name(package_list.url))
        with _OPEN[package_list.packing](file.path, "rb") as packed, written[-1].open("wb") as out:
            _unpack(packed, out, package_list)
    return written


def _unpack(packed: IO[bytes], out: IO[bytes], package_list: _List) -> None:
    digest, size = hashlib.sha256(), 0
    try:
        while chunk := packed.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            if size > (package_list.plain.size if package_list.plain else _LARGEST):
                break
            out.write(chunk)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise _refused(
            package_list.url + package_list.packing, [f"it can't be unpacked: {error}"]
        ) from None
    if size > _LARGEST or (package_list.plain and digest.hexdigest() != package_list.plain.sha256):
        raise _refused(package_list.url, ["unpacked, it is not what its Release file lists"])


# -- where apt finds them -------------------------------------------------------------


def provide(run: Session, container: Container) -> None:
    """Lay the suite's verified package lists where the container's apt has them."""
    with scratch(LISTED) as folder:
        written = lists(run, folder)
        container.put(LISTS, [(path.name, path) for path in written.files])


@contextmanager
def bootstrap(run: Session) -> Iterator[list[str]]:
    """The options that make mmdebstrap(1) use the suite's verified package lists alone.

    They hold for the length of the block.
    """
    ensure_tools(["mmdebstrap"], run.reporter)
    if why := hookless(run.recipe.suite):
        raise BuildError(why, hint=HOOK_REMEDY, exit=Exit.ENGINE)
    with scratch(LISTED) as folder:
        for path in lists(run, folder, sources=False).files:
            path.chmod(0o644)
        folder.chmod(0o755)  # mmdebstrap runs as another user
        yield [
            "--skip=update,check/signed-by",
            f"--setup-hook=sync-in {shlex.quote(str(folder))} {LISTS}",
            *old_hooks(),
        ]


HOOK_REMEDY = "install mmdebstrap 1.3.0 or newer: Debian 12 and later have it"


def hookless(suite: Suite) -> str:
    """Why the box's mmdebstrap(1) makes no root of the suite; "" where it does.

    A folder of hooks that is not there would be passed over, and the bootstrap fail midway.
    """
    if not suite.signed_by or not mirror.has_old_dpkg(suite) or _OLD.is_dir():
        return ""
    return f"mmdebstrap has no {_OLD} here, which a dpkg as old as that of {suite.name} needs"


def old_hooks() -> list[str]:
    """The options with which mmdebstrap(1) copes with an old dpkg."""
    return [f"--hook-dir={_OLD}"] if _OLD.is_dir() else []
