# SPDX-License-Identifier: GPL-2.0-or-later
"""The keys of a farm: a certificate authority of its own, and certificates that it signs.

Scheduler, workers and clients show one another a certificate of that authority, and take no other
(mutual TLS 1.3). Whoever has one runs code on all of them. openssl(1) makes them.
"""

from __future__ import annotations

import os
import secrets
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError, Exit
from builders.ground.engine import box

if TYPE_CHECKING:
    from distributed import Security

    from builders.progress import Reporter

AUTHORITY, AUTHORITY_KEY = "ca.pem", "ca-key.pem"
CERTIFICATE, KEY = "farm.pem", "farm-key.pem"
_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_DAYS = "3650"


def folder() -> Path:
    """Where the keys of this user lie: $DOM0_DEBS_FARM_KEYS, or in the state folder (XDG)."""
    return Path(os.environ.get("DOM0_DEBS_FARM_KEYS") or state() / "keys").absolute()


def state() -> Path:
    """Where the farm of this user notes what runs (XDG Base Directory Specification)."""
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    base = base if base.is_absolute() else Path.home() / ".local" / "state"
    return base / "dom0-debs" / "farm"


def make(place: Path, reporter: Reporter) -> bool:
    """Make an authority and a certificate in `place`, unless they are there; whether it did."""
    if (place / KEY).is_file() and (place / AUTHORITY).is_file():
        return False
    _fill(place, None, reporter)
    return True


def certify(place: Path, authority: Path, reporter: Reporter) -> None:
    """Make a certificate for another machine in `place`, by the authority in its folder."""
    if place.exists() and any(place.iterdir()):
        raise BuildError(f"{place} is not empty", hint="name a folder that is not there yet")
    if not (authority / AUTHORITY_KEY).is_file():
        raise BuildError(
            f"{authority} has no {AUTHORITY_KEY}: it can sign for no other machine",
            hint="run it where the farm's first keys were made, or name them: "
            "DOM0_DEBS_FARM_KEYS=FOLDER",
        )
    _fill(place, authority, reporter)


def _fill(place: Path, authority: Path | None, reporter: Reporter) -> None:
    """Make the files in a new folder, and put that in its place."""
    box.ensure_tools(["openssl"], reporter)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".keys-", dir=place.parent) as temporary:
            made = Path(temporary) / "keys"
            made.mkdir(mode=0o700)
            source = authority or made
            if not authority:
                _openssl(
                    *("req", "-x509", *_NEW, "-days", _DAYS, "-subj", "/CN=dom0-debs farm"),
                    *("-addext", "keyUsage=critical,keyCertSign"),
                    *("-keyout", str(made / AUTHORITY_KEY), "-out", str(made / AUTHORITY)),
                )
            else:
                (made / AUTHORITY).write_bytes((authority / AUTHORITY).read_bytes())
            request = Path(temporary) / "request"
            _openssl(
                *("req", "-new", *_NEW, "-subj", "/CN=dom0-debs farm member"),
                *("-keyout", str(made / KEY), "-out", str(request)),
            )
            _openssl(
                *("x509", "-req", "-in", str(request), "-days", _DAYS),
                *("-CA", str(source / AUTHORITY), "-CAkey", str(source / AUTHORITY_KEY)),
                *("-set_serial", f"0x{secrets.token_hex(16)}", "-out", str(made / CERTIFICATE)),
            )
            for path in made.iterdir():
                path.chmod(0o600)
            if place.is_dir():
                place.rmdir()  # refuses one that has anything in it
            made.rename(place)
    except OSError as error:
        raise BuildError(
            f"{error.filename or place}: {error.strerror}",
            hint="name another folder in DOM0_DEBS_FARM_KEYS, or with --out",
            exit=Exit.ENGINE,
        ) from None


def _openssl(*words: str) -> None:
    done = subprocess.run(
        ["openssl", *words], stdin=subprocess.DEVNULL, capture_output=True, umask=0o077, check=False
    )
    if done.returncode:
        raise BuildError(
            f"openssl {words[0]} failed: {done.stderr.decode('utf-8', 'replace').strip()[-300:]}",
            exit=Exit.ENGINE,
        )


def security(protocol: str, place: Path) -> Security | None:
    """What Dask needs to show and to ask for; None where no TLS is spoken.

    Raises BuildError where a key is missing, or others can read it.
    """
    from distributed import Security

    if protocol != "tls":
        return None
    for name in (AUTHORITY, CERTIFICATE, KEY):
        try:
            mode = (place / name).stat().st_mode
        except OSError as error:
            raise BuildError(
                f"{place / name}: {error.strerror}: a farm asks for a certificate",
                hint="./inv farm keys makes one; that of another machine's farm comes from there: "
                "./inv farm keys --out FOLDER, copied here, and DOM0_DEBS_FARM_KEYS=FOLDER",
            ) from None
        if name == KEY and mode & 0o077:
            raise BuildError(f"{place / name}: others can read it", hint="chmod 600 it")
    files = {"cert": str(place / CERTIFICATE), "key": str(place / KEY)}
    each = {
        f"tls_{role}_{kind}": path
        for role in ("client", "scheduler", "worker")
        for kind, path in files.items()
    }
    return Security(
        tls_ca_file=str(place / AUTHORITY),
        require_encryption=True,
        tls_min_version=ssl.TLSVersion.TLSv1_3,
        **each,
    )
