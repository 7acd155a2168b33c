# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a registry is: oci://HOST[:PORT]/PATH."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from builders.errors import BuildError

_HINT = "such as oci://registry.example.org/team/dom0-debs; credentials are those of `docker login`"
# A repository's name (OCI Distribution Specification, "Pulling manifests"), and its length there.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_LONGEST = 200
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]")


@dataclass(frozen=True)
class Address:
    """A repository in a registry. host: with its port, where one is named."""

    host: str
    path: str
    loopback: bool

    @property
    def base(self) -> str:
        """The URL that all requests begin with: plain http on this machine only."""
        return f"{'http' if self.loopback else 'https'}://{self.host}/v2/"

    def __str__(self) -> str:
        return f"oci://{self.host}/{self.path}"


def parse(text: str) -> Address:
    """The address that a person wrote. Raises BuildError (USAGE) where it is none."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise BuildError("--store: not an address", hint=_HINT) from None
    path = parts.path.removeprefix("/")
    if "@" in parts.netloc:  # it is not repeated: it may have a password
        raise BuildError("--store: an address has no user and no password", hint=_HINT)
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    if (
        parts.scheme != "oci"
        or len(path) > _LONGEST
        or not _HOST.fullmatch(host)
        or not _PATH.fullmatch(path)
        or parts.query
        or parts.fragment
    ):
        raise BuildError(f"--store {text[:300]!r}: not an address of a registry", hint=_HINT)
    return Address(parts.netloc, path, is_loopback(host.strip("[]")))


def is_loopback(host: str) -> bool:
    """Whether a host, without port and brackets, is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
