# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys with a past, and the Release files that they sign."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

PACKING: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
}


class Keys:
    """A GnuPG home in which keys are made, used and ended at any time; times are YYYYMMDD."""

    def __init__(self) -> None:
        # Not pytest's folder: its name is too long for the agent's socket.
        self.home = Path(tempfile.mkdtemp(prefix="dom0-debs-keys-"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False)
        shutil.rmtree(self.home, ignore_errors=True)

    def gpg(self, *arguments: str, at: str = "", given: bytes = b"") -> bytes:
        """What gpg(1) writes when it believes that it is `at`."""
        clock = [f"--faked-system-time={at}T000000!"] if at else []
        pinentry = ["--batch", "--yes", "--pinentry-mode=loopback", "--passphrase="]
        return subprocess.run(
            ["gpg", "--quiet", "--homedir", str(self.home), *pinentry, *clock, *arguments],
            input=given,
            check=True,
            capture_output=True,
        ).stdout

    def make(self, name: str, made: str, expires: str = "never") -> str:
        """A key that signs; its fingerprint."""
        self.gpg("--quick-generate-key", name, "ed25519", "sign", expires, at=made)
        return self._fingerprints(name)[0]

    def subkey(self, fingerprint: str, made: str, expires: str) -> str:
        """A further key below another one, which then makes the signatures; its fingerprint."""
        self.gpg("--quick-add-key", fingerprint, "ed25519", "sign", expires, at=made)
        return self._fingerprints(fingerprint)[-1]

    def _fingerprints(self, name: str) -> list[str]:
        listing = self.gpg("--with-colons", "--list-keys", name).decode()
        return [line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:")]

    def expire(self, fingerprint: str, when: str, at: str) -> None:
        """State, at a time, when a key expires."""
        self.gpg("--quick-set-expire", fingerprint, when, at=at)

    def revoke(self, fingerprint: str) -> None:
        """Revoke a key with the certificate that was made along with it."""
        stored = self.home / "openpgp-revocs.d" / f"{fingerprint}.rev"
        self.gpg("--import", given=stored.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))

    def sign(self, key: str, data: bytes, at: str, *more: str) -> bytes:
        """A detached signature of `data`, as Release.gpg is one."""
        return self.gpg(*more, "--armor", "--detach-sign", "--local-user", key, at=at, given=data)

    def keyring(self, path: Path, *fingerprints: str) -> Path:
        """Write a keyring of these keys, as gpgv(1) reads it."""
        path.write_bytes(self.gpg("--export", *fingerprints))
        return path


def release(files: Mapping[str, bytes], suite: str = "wheezy", **fields: str) -> bytes:
    """A Release file of `files`, by their paths below it."""
    head = {"Origin": "Test", "Suite": "oldoldstable", "Codename": suite, **fields}
    lines = [f"{name}: {value}\n" for name, value in head.items()]
    lines += ["SHA256:\n"]
    for path, content in files.items():
        lines.append(f" {hashlib.sha256(content).hexdigest()} {len(content):8} {path}\n")
    return "".join(lines).encode()


def packed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """`files`, and each of them compressed beside it."""
    return {
        path + suffix: pack(content)
        for path, content in files.items()
        for suffix, pack in PACKING.items()
    }
