# SPDX-License-Identifier: GPL-2.0-or-later
"""Sign with gpg(1), check signatures with gpgv(1)."""

from __future__ import annotations

import base64
import functools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from builders.errors import BuildError, Exit
from builders.files import scratch
from builders.ground.engine import box
from builders.progress import Reporter
from builders.release import armor
from builders.text import printable

PASSPHRASE = "DOM0_DEBS_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable
_PREFIX = "dom0-debs-gpg-"
_AS_LONG_AS_WE = ("--", "sh", "-c", "echo; exec cat >/dev/null")  # have its standard input open
_LONGEST = 200  # characters of a fingerprint, a user id or a path that is shown
_TRIAL = "dom0-debs trial key (thrown away after one release)"
TRIAL_DAYS = 30
_BAD = {
    "BADSIG": "it is not what was signed",
    "EXPKEYSIG": "the key has expired",
    "REVKEYSIG": "the key was revoked",
    "EXPSIG": "the signature has expired",
    "ERRSIG": "it is by a key that was not given, or of a kind that gpgv does not know",
}


@dataclass(frozen=True)
class Signer:
    """A secret key, ready to sign.

    fingerprint: of the primary key. home: a GNUPGHOME of our own; None is the user's.
    """

    fingerprint: str
    uid: str
    home: Path | None
    ephemeral: bool = False

    def detached(self, data: bytes) -> bytes:
        """An armored signature of `data`, apart from it."""
        return self._sign(data, ["--armor", "--detach-sign"])

    def clear(self, data: bytes) -> bytes:
        """`data`, a text, with its signature around it (RFC 4880, 7)."""
        return self._sign(data, ["--clear-sign"])

    def public(self) -> bytes:
        """The public key, not armored and without the signatures of others."""
        options = ["--export-options", "export-minimal"]
        return _gpg(self.home, [*options, "--export", self.fingerprint]).stdout

    def _sign(self, data: bytes, how: Sequence[str]) -> bytes:
        # gpg 2.2 would add a comment or a version where the user's gpg.conf says so.
        plain = ["--no-emit-version", "--no-comments", "--digest-algo", "SHA512"]
        command = [*_unlock(), *plain, "--local-user", self.fingerprint, *how]
        process = _gpg(self.home, command, data)
        if process.returncode or not process.stdout:
            raise _locked(self, process.stderr.decode("utf-8", "replace"))
        return process.stdout


def _unlock() -> list[str]:
    """The options that say how gpg gets a passphrase: from a file, its agent, or the terminal."""
    file = os.environ.get(PASSPHRASE)
    if file:
        if not Path(file).is_file():
            raise BuildError(f"{PASSPHRASE}={file}: no such file", hint="correct it or unset it")
        return ["--pinentry-mode", "loopback", "--passphrase-file", file]
    return [] if sys.stdin.isatty() else ["--pinentry-mode", "error"]


def _locked(signer: Signer, stderr: str) -> BuildError:
    name = f"key {signer.fingerprint} ({signer.uid})"
    low = stderr.lower()
    if "bad passphrase" in low:
        return BuildError(f"{name}: the passphrase is wrong", hint=f"correct {PASSPHRASE}")
    if "no pinentry" in low or "inappropriate ioctl" in low or "cancel" in low:
        return BuildError(
            f"{name} needs its passphrase, and nobody can be asked for it here",
            hint=f"put it in a file that only you can read, and name that in {PASSPHRASE}; or "
            "sign something with the key in a terminal first, so that gpg-agent remembers it",
        )
    return BuildError(
        f"gpg did not sign with {name}",
        excerpt=box.tail(printable_lines(stderr)),
        hint="does this work: gpg --local-user KEY --clear-sign FILE?",
    )


def printable_lines(text: str) -> str:
    """What a program said, fit for a terminal."""
    return "\n".join(printable(line) for line in text.splitlines())


def _gpg(
    home: Path | None, arguments: Sequence[str], data: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LC_ALL": "C"}
    if home:
        environment["GNUPGHOME"] = str(home)
    if sys.stdin.isatty():
        environment.setdefault("GPG_TTY", os.ttyname(sys.stdin.fileno()))
    return subprocess.run(
        ["gpg", "--batch", "--no-tty", "--yes", *arguments],
        env=environment,
        input=data,
        capture_output=True,
        check=False,
    )


@dataclass(frozen=True)
class _Key:
    """A key as gpg lists it: validity and capabilities are GnuPG's letters (doc/DETAILS)."""

    fingerprint: str
    validity: str
    capabilities: str
    uid: str
    weakness: str = ""


def _listed(home: Path | None, kind: str, name: str) -> list[_Key]:
    arguments = ["--with-colons", "--fixed-list-mode", kind] + (["--", name] if name else [])
    keys: list[_Key] = []
    head: list[str] = []
    fingerprint = ""
    for line in _gpg(home, arguments).stdout.decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if fields[0] in ("sec", "pub"):
            head, fingerprint = fields, ""
        elif fields[0] == "fpr" and head and not fingerprint:
            fingerprint = fields[9]
            weakness = _weakness(head[3], head[2])
            keys.append(_Key(fingerprint, head[1], head[11], "", weakness))
        elif fields[0] == "uid" and keys and not keys[-1].uid:
            last = keys.pop()
            uid = printable(fields[9])
            keys.append(replace(last, uid=uid))
    return keys


@contextmanager
def signer(key: str, reporter: Reporter) -> Iterator[Signer]:
    """The key to sign with, for the block.

    key: a fingerprint, key id or user id in the user's keyring, or a file that holds a secret
    key; "" makes one for this release alone, whose secret half is gone afterwards.
    Raises BuildError where gpg is missing, or no key or several match, or it can't sign.
    """
    box.ensure_tools(["gnupg", "gpgv"], reporter)
    if key and not _is_file(key):
        if len(key) > _LONGEST or not key.isprintable():  # not shown: it may be the secret itself
            raise BuildError(
                f"--sign-key: {len(key)} characters are neither a key's name nor a file",
                hint="name a fingerprint, a user id or a key file; a key itself goes into "
                "DOM0_DEBS_SIGN_KEY, in armor or its base64",
            )
        if "/" in key:
            raise BuildError(f"--sign-key {key}: no such file", hint="name a key or a key file")
        yield _usable(None, key, f"--sign-key {key}")
        return
    with _own_home() as home:
        if key:
            _gpg(home, [*_unlock(), "--import", "--", str(Path(key).absolute())])
            yield _usable(home, "", f"--sign-key {key}")
        else:
            yield _ephemeral(home, reporter)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long for a name, or a NUL in it
        return False


def secret_key(given: str) -> bytes | None:
    """The secret key that `given` is, in armor or in base64; None where it is a name or a path."""
    if given.lstrip().startswith("-----BEGIN"):
        return given.encode()
    try:
        data = base64.b64decode("".join(given.split()), validate=True)
    except ValueError:
        return None
    # Armor again, or a secret key's packet: tag 5 of the old or the new format (RFC 4880, 4.2).
    if data.lstrip().startswith(b"-----BEGIN"):
        return data
    return data if len(data) > _LONGEST and (data[0] & 0xFC == 0x94 or data[0] == 0xC5) else None


@contextmanager
def _own_home() -> Iterator[Path]:
    """A new GNUPGHOME for the block, whose agent ends with this process, however that ends.

    It is not below the artifacts: the path of the agent's socket has to be short (unix(7)).
    """
    with scratch(_PREFIX) as home:
        agent = subprocess.Popen(
            # One that was given a command ends with it; it is there once that runs (gpg-agent(1)).
            [*("gpg-agent", "--quiet", "--homedir", str(home)), "--daemon", *_AS_LONG_AS_WE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with agent:
            try:
                assert agent.stdout is not None  # noqa: S101 - asked for above
                agent.stdout.readline()  # where there is none: gpg says what is wrong
                yield home
            finally:
                subprocess.run(
                    ["gpgconf", "--homedir", str(home), "--kill", "all"],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    check=False,
                )


def _ephemeral(home: Path, reporter: Reporter) -> Signer:
    process = _gpg(
        home,
        [
            *("--pinentry-mode", "loopback", "--passphrase", ""),
            # rsa: gpgv of the oldest suites knows no other kind
            *("--quick-generate-key", _TRIAL, "rsa3072", "sign", f"{TRIAL_DAYS}d"),
        ],
    )
    if process.returncode:
        stderr = printable_lines(process.stderr.decode("utf-8", "replace"))
        raise BuildError(
            "gpg could not make a key for this release",
            excerpt=box.tail(stderr),
            hint=f"make room in {home.parent}, or name another folder in TMPDIR"
            if "No space left" in stderr
            else "name a key of yours: --sign-key KEY",
            exit=Exit.ENGINE,
        )
    key = _usable(home, "", "the key for this release")
    reporter.line(
        "warning: signed with a key that was made for this release and is thrown away: good for "
        f"trying, for {TRIAL_DAYS} days; sign what others install with a key of yours "
        "(--sign-key KEY)"
    )
    return Signer(key.fingerprint, key.uid, home, ephemeral=True)


def _usable(home: Path | None, name: str, what: str) -> Signer:
    keys = _listed(home, "--list-secret-keys", name)
    if not keys:
        public = bool(_listed(home, "--list-keys", name))
        raise BuildError(
            f"{what}: "
            + ("only its public half is there" if public else "there is no such secret key"),
            hint="gpg --list-secret-keys lists yours; leave --sign-key out to try with a key that "
            "is made for it",
        )
    sound = [key for key in keys if "S" in key.capabilities and key.validity not in tuple("erdi")]
    if len(sound) > 1 or (not sound and len(keys) > 1):
        lines = "".join(f"\n  {key.fingerprint}  {key.uid}" for key in sound or keys)
        raise BuildError(f"{what}: several keys match:{lines}", hint="name one by its fingerprint")
    if not sound:
        key = keys[0]
        why = {"e": "has expired", "r": "was revoked", "d": "is disabled", "i": "is invalid"}
        remedy = {"e": f"gpg --quick-set-expire {key.fingerprint} 1y gives it another year"}
        raise BuildError(
            f"{what}: key {key.fingerprint} ({key.uid}) "
            + why.get(key.validity, "is not one that can sign"),
            hint=remedy.get(key.validity, "name another key"),
        )
    if sound[0].weakness:
        raise BuildError(
            f"{what}: key {sound[0].fingerprint} is too weak: {sound[0].weakness}",
            hint="make another: gpg --quick-generate-key NAME rsa4096 sign",
        )
    return Signer(sound[0].fingerprint, sound[0].uid, home)


_RSA, _DSA = ("1", "3"), ("17",)  # public-key algorithms (RFC 4880, 9.1)
_KEYS = 64 << 20  # bytes of a file of public keys
_LEAST = 2048  # bits of an RSA modulus
_BROKEN = {"1": "MD5", "2": "SHA-1", "3": "RIPEMD-160"}  # hash algorithms (9.4)


def _weakness(algorithm: str, bits: str) -> str:
    """Why a key is too weak to be believed; "" where it is not."""
    if algorithm in _DSA:
        return "it is a DSA key"
    if algorithm in _RSA and not (bits.isdecimal() and int(bits) >= _LEAST):
        return f"it is an RSA key of {bits} bits, fewer than {_LEAST}"
    return ""


@functools.lru_cache(maxsize=4)
def _shown(keyring: bytes) -> tuple[tuple[str, ...], ...]:
    """gpg's listing of the keys in `keyring`: lines, split into fields (GnuPG's doc/DETAILS)."""
    with scratch("dom0-debs-keyring-") as home, in_memory(keyring) as keys:
        arguments = ["--with-colons", "--with-subkey-fingerprint", "--show-keys", path_of(keys)]
        output = _gpg(home, ["--no-options", *arguments]).stdout.decode("utf-8", "replace")
    return tuple(tuple(line.split(":")) for line in output.split("\n"))


def _refused(keyring: bytes, fingerprint: str) -> str:
    """Why signatures of the key or subkey do not count; "" where they do."""
    head: tuple[str, ...] = ()
    for fields in _shown(keyring):
        if fields[0] in ("pub", "sub"):
            head = fields
        elif fields[0] == "fpr" and fields[9] == fingerprint:
            return _weakness(head[3], head[2])
    return "gpg does not know the key"


def of_a_trial(path: Path) -> bool:
    """Whether the keys in a file are one that a release made for itself alone."""
    try:
        names = [f[9] for f in _shown(public_keys(path)) if f[0] == "uid"]
    except BuildError:
        return False
    return names == [_TRIAL]


class Refused(Exception):  # noqa: N818 - it is answered, not shown
    """A signature that does not count; the text says why."""


def check(keyring: bytes, signature: bytes, data: bytes | None = None) -> tuple[str, bytes]:
    """Check a signature with the keys in `keyring` and no others.

    keyring: public keys, not armored. data: what a detached signature is of; None where
    `signature` is a text that is signed within itself.
    Returns the primary key's fingerprint and what was signed. Raises Refused where the
    signature is not good, or its key has expired or was revoked.
    """
    with ExitStack() as stack:
        # Files in memory: whatever ends this run, nothing is left on a disk.
        keys = stack.enter_context(in_memory(keyring))
        status = stack.enter_context(in_memory(b""))
        files = [stack.enter_context(in_memory(signature))]
        if data is not None:
            files.append(stack.enter_context(in_memory(data)))
        process = subprocess.run(
            [
                *("gpgv", "--homedir", "/nonexistent", "--status-fd", str(status)),
                *("--keyring", path_of(keys), *(["--output", "-"] if data is None else [])),
                *map(path_of, files),
            ],
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=[status],
            check=False,  # its status lines say more
        )
        output = Path(path_of(status)).read_text(encoding="utf-8", errors="replace")
    statuses: dict[str, list[str]] = {}
    signatures = 0
    for line in output.splitlines():
        words = line.split()
        if words[:1] == ["[GNUPG:]"] and len(words) > 1:
            signatures += words[1] == "NEWSIG"
            statuses[words[1]] = words[2:]
    for word, why in _BAD.items():
        if word in statuses:
            raise Refused(why)
    if process.returncode or signatures != 1 or not {"GOODSIG", "VALIDSIG"} <= set(statuses):
        raise Refused("it is no sound signature")
    about = statuses["VALIDSIG"]  # 0: the (sub)key, 7: the hash algorithm, last: the primary key
    weakness = _refused(keyring, about[0])
    if len(about) < 9 or about[7] in _BROKEN:
        weakness = weakness or f"its digest is {_BROKEN.get(about[7], 'unknown')}"
    if weakness:
        raise Refused(f"the key or digest is too weak: {weakness}")
    return about[-1], process.stdout if data is None else data


@contextmanager
def in_memory(content: bytes) -> Iterator[int]:
    """A file of that content in memory, for the block: its descriptor."""
    descriptor = os.memfd_create("dom0-debs")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as stream:
            stream.write(content)
        yield descriptor
    finally:
        os.close(descriptor)


def path_of(descriptor: int) -> str:
    """The path by which a child process can open `descriptor` (proc(5))."""
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def public_keys(path: Path) -> bytes:
    """The public keys in a file, armored or not; BuildError where it holds none."""
    try:
        with path.open("rb") as stream:  # it may be a pipe: --key <(gpg --export KEY)
            content = stream.read(_KEYS + 1)
        if len(content) > _KEYS:
            raise BuildError(f"{path}: larger than {_KEYS >> 20} MiB", hint="name the key alone")
        data = armor.binary(content)
    except OSError as error:
        raise BuildError(f"{path}: {error.strerror}", hint="name a file with public keys") from None
    except armor.NotArmor as error:
        raise BuildError(f"{path}: {error}", hint="get the key file again") from None
    # The first packet is a public key: tag 6 of the old or the new format (RFC 4880, 4.2).
    if not data or (data[0] & 0xFC != 0x98 and data[0] != 0xC6):
        raise BuildError(f"{path} holds no public key", hint="gpg --export KEY writes one")
    return data
