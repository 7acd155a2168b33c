# SPDX-License-Identifier: GPL-2.0-or-later
"""The key that signs a kernel's modules: a file in PEM with a private key and its certificate.

The certificate is public: it becomes a value of the recipe, is built into the kernel, and stands in
manifests. The private key stays in its file, which openssl(1) reads on this box after the build.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from builders import files, forms
from builders.errors import BuildError
from builders.ground.engine import box
from builders.pipeline.recipe import Recipe
from builders.pipeline.recipe.schema import quoted
from builders.progress import Reporter
from builders.text import printable

VARIABLE = "DOM0_DEBS_MODULE_KEY"
DIGEST = "sha256"  # as configs/kernel/signed.config has it
_SIZE = 1 << 16  # bytes; a key and a certificate of RSA with 4,096 bits have 6,000
_RSA = bytes.fromhex("06092a864886f70d010101")  # the object identifier rsaEncryption, in DER
_BITS = (2048, 4096)  # the kernel's own rsa.c takes no longer key
_SECONDS = 60.0  # of one call; a signature takes some hundredths
_HOW = (
    "make one: openssl req -x509 -newkey rsa:4096 -nodes -days 36500 -subj '/CN=kernel modules' "
    "-keyout modules.pem -out modules.pem"
)


def overrides(recipe: Recipe, path: str, reporter: Reporter) -> list[str]:
    """The `--set` that stands for `--module-key`: the certificate of that file, which is public.

    Raises BuildError where the file is no key with its certificate.
    """
    if recipe.kernel is None:
        raise recipe.lacks("kernel")
    key = Path(path).expanduser().absolute()
    return [f"kernel.certificate={quoted(certificate(key, reporter))}"]


def certificate(path: Path, reporter: Reporter) -> str:
    """The certificate in a file that also has its private key, in PEM. Raises BuildError."""
    shown = f"--module-key {printable(str(path))}"
    try:
        content = files.small(path, _SIZE)
    except OSError as error:
        raise BuildError(f"{shown}: {error.strerror}", hint=_HOW) from None
    text = content.decode("ascii", "replace").replace("\r\n", "\n")
    found = forms.CERTIFICATE.findall(text)
    private = re.findall(r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----", text)
    if len(content) > _SIZE or len(found) != 1 or len(private) != 1:
        raise BuildError(
            f"{shown}: not one private key and its certificate, in PEM",
            hint=f"put both into one file; or {_HOW}",
        )
    if "ENCRYPTED" in private[0] or "\nProc-Type: 4,ENCRYPTED" in text:
        raise BuildError(
            f"{shown}: the key has a passphrase, and each module would ask for it",
            hint="openssl pkey -in FILE takes it off; keep what it prints where only you can read",
        )
    box.ensure_tools(["openssl"], reporter)
    pem = str(found[0])
    public = _openssl(["x509", "-noout", "-pubkey"], pem.encode(), shown)
    if public != _openssl(["pkey", "-in", str(path), "-passin", "pass:", "-pubout"], b"", shown):
        raise BuildError(
            f"{shown}: the certificate is not that of the private key",
            hint="take the certificate that was made with the key",
        )
    der = _openssl(["pkey", "-pubin", "-pubout", "-outform", "DER"], public, shown)
    # A modulus of 2,048 bits makes the whole 294 bytes long, one of 4,096 bits 550.
    bits = (len(der) - 38) * 8
    if _RSA not in der[:32] or not _BITS[0] <= bits <= _BITS[1]:
        raise BuildError(
            f"{shown}: not a key of RSA with 2,048 to 4,096 bits",
            hint="with RSA the same modules have the same signatures, and every kernel that signs "
            f"modules knows it; {_HOW}",
        )
    return pem


@contextmanager
def signing(recipe: Recipe, path: str, reporter: Reporter) -> Iterator[Callable[[Path], bytes]]:
    """What gives the signature of a module, a file: PKCS#7 in DER, as scripts/sign-file makes it.

    path: of the key; "" is the one in the environment. Raises BuildError where there is none, or it
    is another than that of the recipe's certificate.
    """
    wanted = recipe.kernel.certificate if recipe.kernel else ""
    path = path or os.environ.get(VARIABLE, "")
    if not path:
        raise BuildError(
            "the kernel's modules are to be signed, and no key is named",
            hint=f"--module-key FILE, or {VARIABLE}=FILE for a verb without that option",
        )
    key = Path(path).expanduser().absolute()
    if certificate(key, reporter).split() != wanted.split():
        raise BuildError(
            f"{printable(path)}: its certificate is not the one that the kernel has built in",
            hint="name the key that the kernel was built with",
        )
    with files.scratch("dom0-debs-certificate-") as folder:
        signer = folder / "certificate.pem"
        signer.write_text(wanted, encoding="ascii")
        # As the kernel's sign-file: no attributes, so that no time is in it, and no certificate.
        words = ["cms", "-sign", "-binary", "-noattr", "-nocerts", "-nosmimecap", "-md", DIGEST]
        words += ["-signer", str(signer), "-inkey", str(key), "-passin", "pass:"]

        def sign(module: Path) -> bytes:
            return _openssl([*words, "-in", str(module), "-outform", "DER"], b"", printable(path))

        yield sign


def _openssl(words: Sequence[str], given: bytes, shown: str) -> bytes:
    """What openssl(1) writes; no configuration of the user's takes part. Raises BuildError."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    environment["OPENSSL_CONF"] = os.devnull
    try:
        done = subprocess.run(
            ["openssl", *words],
            input=given,
            capture_output=True,
            check=False,
            env=environment,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{shown}: openssl: {error}", hint="does openssl(1) work here?") from None
    if done.returncode or not done.stdout:
        said = box.tail(printable(done.stderr.decode("utf-8", "replace").replace("\n", " | ")))
        raise BuildError(f"{shown}: openssl takes it for no key", hint=_HOW, excerpt=said)
    return done.stdout
