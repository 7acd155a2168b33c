# SPDX-License-Identifier: GPL-2.0-or-later
"""Releases that somebody changed, one way at a time, and what `verify` says of each.

    .venv/bin/python -m tests.fuzz.releases

Two kinds: changes of somebody without the key, in every file; and releases that a stranger signed
with a key of his own, to see what reading them costs. Each runs in a process of its own.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builders.errors import BuildError
from builders.progress import Silent
from builders.release import bill, layout, publish, signing, verify
from tests.unit.releases import RECIPE, Box, Keyring, keyring

MEMORY = 192 << 20  # bytes; with the interpreter and its modules 256 MiB
SECONDS = 20.0
LISTS = "dists/bookworm/main/binary-amd64"
Change = Callable[[Path], object]


@dataclass(frozen=True)
class Outcome:
    """What became of one changed release. said: "" where verify found nothing wrong.

    memory: bytes at most, on top of the interpreter with its modules.
    """

    name: str
    said: str
    seconds: float
    memory: int


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    place = len(data) // 2
    data[place : place + 1] = bytes([data[place] ^ 1]) if data else b"x"
    path.write_bytes(data)


def _link(path: Path) -> None:
    copy = path.with_name("elsewhere")
    path.rename(copy)
    path.symlink_to(copy)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _sparse(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(1 << 40)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


_OF_A_FILE: dict[str, Change] = {
    "flipped": _flip,
    "cut": lambda p: os.truncate(p, p.stat().st_size // 2),
    "longer": lambda p: p.write_bytes(p.read_bytes() + b"\n"),
    "empty": lambda p: os.truncate(p, 0),
    "gone": lambda p: p.unlink(),
    "renamed": lambda p: p.rename(p.with_name(f"{p.name}.old")),
    "a link": _link,
    "a FIFO": _fifo,
    "a folder": _folder,
    "huge": _sparse,
}


def _socket(folder: Path) -> None:
    here = Path.cwd()
    os.chdir(folder)  # the path of a socket has to be short (unix(7))
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("socket")
    finally:
        os.chdir(here)


def _many(folder: Path) -> None:
    for number in range(20_000):
        (folder / f"extra-{number}").touch()


def _deep_folders(folder: Path) -> None:
    (folder / "/".join(["d"] * 200)[1:].lstrip("/")).mkdir(parents=True)


_EXTRA: dict[str, Change] = {
    "an extra file": lambda f: (f / "extra").write_text("x"),
    "an extra file in pool": lambda f: (f / "pool/x.deb").write_text("x"),
    "an empty folder": lambda f: (f / "dists/empty").mkdir(),
    "folders in folders": _deep_folders,
    "a socket": _socket,
    "a name with a line break": lambda f: (f / "a\nb").write_text("x"),
    "a name that is not UTF-8": lambda f: Path(os.fsdecode(bytes(f) + b"/\xff\xfe")).touch(),
    "a list by hash": lambda f: (f / f"{LISTS}/by-hash/SHA256/{'0' * 64}").touch(),
    "20,000 extra files": _many,
}


def _bomb(folder: Path, suffix: str) -> None:
    path = folder / f"{LISTS}/Packages{suffix}"
    size, chunk = 6 << 30, bytes(1 << 20)
    if suffix == ".gz":
        with gzip.open(path, "wb", compresslevel=1) as out:
            for _ in range(size >> 23):
                out.write(chunk)
        return
    packer = lzma.LZMACompressor(preset=0)
    with path.open("wb") as out:
        for _ in range(size >> 22):
            out.write(packer.compress(chunk))
        out.write(packer.flush())


def _document(pattern: str, change: Callable[[str], str]) -> Change:
    def apply(folder: Path) -> None:
        path = sorted(folder.glob(pattern))[0]
        path.write_text(change(path.read_text()))

    return apply


def _put(pattern: str, text: str) -> Change:
    return _document(pattern, lambda _: text)


_DOCUMENTS = {
    "release.json": "release.json",
    "provenance": "attestations/*.provenance.json",
    "bill": "attestations/*.cdx.json",
    "bill as SPDX": "attestations/*.spdx.json",  # with requirements-spdx.lock
}
_TEXTS = {
    "deep": "[" * 200_000,
    "a long number": f'{{"schema": {"9" * 5000}}}',
    "no number": '{"schema": NaN, "builds": [NaN]}',
    "a key twice": '{"schema": 1, "schema": 1, "builds": [], "builds": []}',
    "a list": "[]",
    "null": "null",
    "other types": '{"schema": 1, "builds": 5, "subject": 5, "components": "x", "packages": 1}',
    "tables that are lists": '{"schema": 1, "builds": [[]], "subject": [[]], "packages": [[]]}',
    "large": "[" + "[]," * 4_000_000 + "[]]",
    "not UTF-8": "\udcff",
}


def _signed_by_a_stranger() -> Iterator[tuple[str, Change]]:
    for what, pattern in _DOCUMENTS.items():
        if what == "bill as SPDX" and not bill.has_spdx():
            continue
        for kind, text in _TEXTS.items():
            if kind == "not UTF-8":
                yield f"{what}: {kind}", _bytes(pattern, b"\xff\xfe{")
            else:
                yield f"{what}: {kind}", _put(pattern, text)
    for suffix in (".xz", ".gz"):
        yield f"Packages{suffix} of gigabytes", lambda f, s=suffix: _bomb(f, s)  # type: ignore[misc]
    many = "Package: a\nFilename: pool/a\nSHA256: 0\nSize: 1\n\n" * 60_000
    for name, text in {
        "a million packages": many * 10,
        "60,000 packages": many,
        "a size that is none": "Package: a\nFilename: pool/a\nSHA256: 0\nSize: x\n",
        "a negative size": "Package: a\nFilename: pool/a\nSHA256: 0\nSize: -1\n",
        "a path that leaves": "Package: a\nFilename: ../../etc/passwd\nSHA256: 0\nSize: 1\n",
        "no field": "\n\n\n",
    }.items():
        yield f"Packages: {name}", _put(f"{LISTS}/Packages", text)
    for name, text in {
        "no digests": "Suite: bookworm\n",
        "a digest of no list": "SHA256:\n " + "0" * 64 + " 1 ../../../x\n",
        "100,000 lists": "SHA256:\n" + f" {'0' * 64} 1 main/x\n" * 100_000,
    }.items():
        yield f"Release: {name}", _put("dists/bookworm/Release", text)

    def suites(folder: Path) -> None:
        for number in range(2_000):
            (folder / f"dists/s{number}").mkdir()
            (folder / f"dists/s{number}/Release").write_text("x")

    yield "2,000 suites", suites
    yield "a list of changes that is none", _put("pool/**/*.changes", "Checksums-Sha256:\n a b\n")


def _bytes(pattern: str, data: bytes) -> Change:
    return lambda folder: sorted(folder.glob(pattern))[0].write_bytes(data)


def sign_anew(folder: Path, ring: Keyring, key: str) -> None:
    """Make all sums anew, and sign what is signed in a release with another key."""
    (folder / "dom0-debs.gpg").write_bytes(ring.gpg("--export", key))
    plain = ["--no-emit-version", "--local-user", key, "--armor"]
    release = folder / "dists/bookworm/Release"
    release.with_name("Release.gpg").write_bytes(
        ring.gpg(*plain, "--detach-sign", given=release.read_bytes())
    )
    release.with_name("InRelease").write_bytes(
        ring.gpg(*plain[:-1], "--clear-sign", given=release.read_bytes())
    )
    listed = layout.sums(folder)
    (folder / "SHA256SUMS").write_bytes(listed)
    (folder / "SHA256SUMS.asc").write_bytes(ring.gpg(*plain, "--detach-sign", given=listed))


def manipulations(folder: Path, ring: Keyring, stranger: str) -> Iterator[tuple[str, Change]]:
    """Every change, with its name."""
    for path, _ in sorted(layout.walk(folder), key=lambda pair: pair[0]):
        for how, change in _OF_A_FILE.items():
            yield f"{path}: {how}", lambda f, p=path, c=change: c(f / p)  # type: ignore[misc]
    yield from _EXTRA.items()
    yield "signed by a stranger", lambda f: sign_anew(f, ring, stranger)
    for name, change in _signed_by_a_stranger():

        def apply(f: Path, change: Change = change) -> None:
            change(f)
            sign_anew(f, ring, stranger)

        yield f"a stranger's, {name}", apply


def judged(folder: Path, name: str, key: bytes | None) -> Outcome:
    """What verify says of `folder`, in a process of its own."""
    reading, writing = os.pipe()
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reading)
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak begins anew
        before = _status("VmRSS")
        try:
            found = verify.verify(folder, Silent(), key)
            said = "; ".join(f"{p.file}: {p.why}" for p in found.problems[:2])
        except BuildError as error:
            said = f"refused: {error.message}"
        except BaseException as error:
            said = f"TRACEBACK {type(error).__name__}: {error}"
        grown = max(0, _status("VmHWM") - before)
        os.write(writing, f"{grown}\n{said}".encode("utf-8", "replace")[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        number, _, said = stream.read().decode("utf-8", "replace").partition("\n")
    os.waitpid(child, 0)
    if not number:  # it was killed
        return Outcome(name, "TRACEBACK none: it ended without a word", 0.0, 0)
    return Outcome(name, said, time.monotonic() - begun, int(number))


def _status(key: str) -> int:
    """A number of bytes in /proc/self/status (proc(5))."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    return 0


def faults(outcome: Outcome, folder: Path, original: Path, key: bytes) -> list[str]:
    """What is wrong with an outcome; none where verify did as it should."""
    wrong = []
    if not outcome.said and not _still_signed(folder, original, key):
        wrong.append("it was taken for sound")
    if outcome.said.startswith("TRACEBACK"):
        wrong.append(outcome.said)
    if outcome.seconds > SECONDS:
        wrong.append(f"it took {outcome.seconds:.1f} s")
    if outcome.memory > MEMORY:
        wrong.append(f"it took {outcome.memory >> 20} MiB")
    return wrong


def _still_signed(folder: Path, original: Path, key: bytes) -> bool:
    """Whether only bytes of a signature changed that it does not cover, as gpgv judges."""
    try:
        if any(
            (folder / path).read_bytes() != (original / path).read_bytes()
            for path, _ in layout.walk(original)
            if path != "SHA256SUMS.asc"
        ):
            return False
        signature = (folder / "SHA256SUMS.asc").read_bytes()
        signing.check(key, signature, (folder / "SHA256SUMS").read_bytes())
    except (OSError, signing.Refused):
        return False
    return True


@contextmanager
def world(root: Path) -> Iterator[tuple[Path, bytes, Keyring, str]]:
    """A sound release of two packages, its public key, and a keyring with a stranger's key."""
    with keyring() as ring:
        os.environ["GNUPGHOME"] = str(ring.home)
        os.environ["XDG_STATE_HOME"] = str(root / "state")
        signing_key = ring.make("Alice <alice@example.org>")
        stranger = ring.make("Mallory <mallory@example.org>")
        box = Box(root)
        box.build()
        box.build("kernel-minimal", "6.1.192-1+dom0.1")
        made = publish.publish(box.run(), RECIPE, key=signing_key, spdx=bill.has_spdx())
        yield made.folder, ring.gpg("--export", signing_key), ring, stranger


def run(only: Callable[[int], bool] = lambda _: True) -> tuple[list[Outcome], list[str]]:
    """Every manipulation (`only` those whose number it admits); outcomes, and what is wrong."""
    outcomes: list[Outcome] = []
    wrong: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="dom0-debs-") as root,
        world(Path(root)) as (folder, key, ring, stranger),
    ):
        sound = judged(folder, "untouched", key)
        if sound.said:
            wrong.append(f"the untouched release: {sound.said}")
        for number, (name, change) in enumerate(manipulations(folder, ring, stranger)):
            if not only(number):
                continue
            copy = Path(root) / "copy"
            shutil.copytree(folder, copy)
            change(copy)
            # A stranger's release is read with the key in it, as a newcomer would.
            given = None if name.startswith("a stranger's") else key
            outcome = judged(copy, name, given)
            outcomes.append(outcome)
            wrong += [f"{name}: {why}" for why in faults(outcome, copy, folder, key)]
            shutil.rmtree(copy)
    return outcomes, wrong


def main() -> int:
    """Run all; 1 where verify did not do as it should."""
    outcomes, wrong = run()
    slow = max(outcomes, key=lambda o: o.seconds)
    large = max(outcomes, key=lambda o: o.memory)
    figures = {
        "releases": len(outcomes),
        "wrong": len(wrong),
        "most seconds": [round(slow.seconds, 1), slow.name],
        "most MiB": [large.memory >> 20, large.name],
    }
    print("\n".join([*wrong, json.dumps(figures, indent=1)]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
