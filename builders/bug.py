# SPDX-License-Identifier: GPL-2.0-or-later
"""What is left of an exception that nobody expected: a file with its traceback, and no secret."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from builders import VERSION

_KEPT = 20  # files of earlier defects that stay
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CRED|AUTH|COOKIE|SESSION|SIGN", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=//)[^\s/@'\"]+@")
_QUERY = re.compile(r"(?<=[a-z]://)([^\s?'\"]*)\?[^\s'\"]+")
_ARMOR = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY[A-Z ]*-----.*?(-----END [A-Z ]*-----|\Z)", re.DOTALL
)
_SHORT = 6  # characters; a shorter value would be found in innocent words


def folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where such files go: $XDG_STATE_HOME, or ~/.local/state, with /dom0-debs.

    A relative $XDG_STATE_HOME is ignored (XDG Base Directory Specification).
    """
    base = Path(environment.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():
        base = Path(environment.get("HOME") or Path.home()) / ".local" / "state"
    return base / "dom0-debs"


def masked(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """`text` without secrets: values of the environment's secret variables, keys, credentials.

    A variable is taken for secret by its name. What it holds is masked line by line too, and in
    the form in which Python shows it.
    """
    secrets: set[str] = set()
    for name, value in environment.items():
        if _SECRET.search(name):
            for part in (value, *value.split("\n")):
                secrets |= {part.strip(), repr(part.strip())[1:-1]}
    text = _ARMOR.sub("[masked]", text)
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORT:
            text = text.replace(secret, "[masked]")
    text = _QUERY.sub(r"\1?[masked]", text)
    return _USERINFO.sub("[masked]@", text)


def write(error: BaseException) -> Path | None:
    """Write the traceback to a file of the user's, readable by nobody else; None where none can.

    Its words are masked (`masked`), and no value of a local variable is in it.
    """
    words = [
        f"dom0-debs {VERSION}, Python {sys.version.split()[0]}, {' '.join(os.uname()[::4])}",
        "",
        "".join(traceback.format_exception(error, limit=-60)),
    ]
    content = masked("\n".join(words)).encode("utf-8", "backslashreplace")[: 1 << 20]
    name = time.strftime("bug-%Y%m%d-%H%M%S-", time.gmtime())
    for usual in (True, False):
        with suppress(OSError, RuntimeError):
            parent = folder() if usual else Path(tempfile.gettempdir())
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkstemp makes it with mode 0600.
            descriptor, path = tempfile.mkstemp(prefix=name, suffix=".txt", dir=parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            if usual:
                for old in sorted(parent.glob("bug-*.txt"))[:-_KEPT]:
                    old.unlink(missing_ok=True)
            return Path(path)
    return None


def brief(error: BaseException) -> str:
    """The exception in one line without secrets."""
    lines = masked(f"{type(error).__name__}: {error}"[: 1 << 16]).split("\n")
    return lines[0].strip()[:300]
