# SPDX-License-Identifier: GPL-2.0-or-later
"""UEFI for the boot proof: OVMF of this box, its variables, and a disk that it boots from."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.errors import BuildError, Exit
from builders.ground.engine import box
from builders.progress import Reporter
from builders.proofs.boot.qemu import doubled
from builders.text import printable

OVMF = Path("/usr/share/OVMF")
PLAIN, SECURE = OVMF / "OVMF_CODE_4M.fd", OVMF / "OVMF_CODE_4M.secboot.fd"
VARIABLES = OVMF / "OVMF_VARS_4M.fd"  # without keys: Secure Boot is off
BOOTED = "EFI/BOOT/BOOTX64.EFI"  # what is started of a disk that no variable names
_SIGNING = ("efitools", "openssl", "sbsigntool")
_OWNER = "d0d0deb5-0000-4000-8000-000000000001"  # of our entries in the lists of keys
_SLACK = 8 << 20  # bytes of the disk besides its files: FAT, and 32 KiB clusters
_LEAST = 48 << 20  # bytes: FAT32 needs as many clusters


@dataclass(frozen=True)
class Uefi:
    """Firmware for UEFI, and the disk that it boots from (a plain FAT file system).

    variables: a copy of its own, which it writes to. secure: with System Management Mode, without
    which the variables of Secure Boot are open to the system that runs.
    """

    disk: Path
    variables: Path
    secure: bool = False
    cpus = 1  # two are slower: OVMF has both of them wait

    @property
    def machine(self) -> str:
        return "q35,smm=on" if self.secure else "q35"

    def words(self) -> list[str]:
        """The options of QEMU."""
        secure = [
            *("-global", "driver=cfi.pflash01,property=secure,value=on"),
            # With sleep states OVMF lays out memory in a way that Linux 6.1 stops on.
            *("-global", "ICH9-LPC.disable_s3=1"),
        ]
        return [
            *(secure if self.secure else []),
            *flash(SECURE if self.secure else PLAIN, self.variables),
            *("-drive", f"if=none,id=esp,format=raw,file={doubled(self.disk)}"),
            *("-device", "virtio-blk-pci,drive=esp,bootindex=1,addr=06.0"),
        ]


def flash(code: Path, variables: Path) -> list[str]:
    """The options of QEMU that put in OVMF, and the variables that it writes to."""
    return [
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={doubled(variables)}"),
    ]


def ensure(reporter: Reporter, *, secure: bool = False) -> None:
    """See to it that OVMF and what makes its disk are on this box; BuildError where not."""
    box.ensure_tools(["ovmf", "mtools", *(_SIGNING if secure else [])], reporter)


def boot_disk(path: Path, files: Mapping[str, Path | bytes]) -> Path:
    """Write a disk with these files (path on it -> content) to `path`, without mounting it."""
    sources = {name: _file(path, at, content) for at, (name, content) in enumerate(files.items())}
    size = sum(source.stat().st_size for source in sources.values())
    with path.open("wb") as disk:
        disk.truncate(max(_LEAST, size + _SLACK + size // 16))
    tool("mformat", "-i", str(path), "-F", "-v", "ESP", "::")
    folders = {str(up) for name in files for up in Path(name).parents if up.name}
    for folder in sorted(folders):
        tool("mmd", "-i", str(path), f"::/{folder}")
    for name, source in sources.items():
        tool("mcopy", "-i", str(path), str(source), f"::/{name}")
    return path


def _file(disk: Path, number: int, content: Path | bytes) -> Path:
    if isinstance(content, Path):
        return content
    path = disk.with_name(f"{disk.name}.{number}")
    path.write_bytes(content)
    return path


def variables(path: Path, keys: Sequence[Path] = ()) -> Path:
    """A copy of OVMF's variables as `path`.

    keys: a signature list that becomes platform key, key exchange key and db: with it Secure Boot
    is on, and starts only what is signed with one of these.
    """
    shutil.copyfile(VARIABLES, path)
    for key in keys:
        for name in ("db", "KEK", "PK"):
            tool("flash-var", str(path), name, str(key))
    return path


@dataclass(frozen=True)
class Key:
    """What images for UEFI are signed with. private: a file, or pkcs11:... (RFC 7512)."""

    private: str
    certificate: Path

    def sign(self, image: Path, signed: Path) -> Path:
        """Write the image with a signature to `signed`."""
        engine = ["--engine", "pkcs11"] if self.private.startswith("pkcs11:") else []
        pair = ["--key", self.private, "--cert", str(self.certificate)]
        hint = "is it a private key, and the certificate that of the same key?"
        tool("sbsign", *engine, *pair, "--output", str(signed), str(image), hint=hint)
        return signed

    def listed(self, path: Path) -> Path:
        """Write its certificate to `path` as a signature list, as variables of UEFI have it."""
        hint = "the certificate has to be an X.509 one in PEM"
        tool("cert-to-efi-sig-list", "-g", _OWNER, str(self.certificate), str(path), hint=hint)
        return path


def new_key(folder: Path) -> Key:
    """A key for one run, in files in `folder`."""
    private, certificate = folder / "own.key", folder / "own.pem"
    tool(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=dom0-debs, a proof", "-keyout", str(private), "-out", str(certificate)),
    )
    return Key(str(private), certificate)


def tool(*words: str, hint: str = "is there room in the folder of TMPDIR?") -> None:
    """Run a tool of this box; BuildError (ENGINE) where it fails, with what it said."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise BuildError(
            f"{words[0]} is not installed",
            hint=box.install_command(box.missing([words[0]])),
            exit=Exit.ENGINE,
        ) from None
    if done.returncode:
        raise BuildError(
            f"{words[0]} ended with {done.returncode}",
            hint=hint,
            excerpt="\n".join(map(printable, (done.stdout + done.stderr).splitlines()[-9:])),
            exit=Exit.ENGINE,
        )
