# SPDX-License-Identifier: GPL-2.0-or-later
"""The address of a farm's scheduler: tls://HOST:PORT, or tcp://HOST:PORT on this machine alone."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass

from builders.errors import BuildError, not_installed
from builders.ground.registry.address import is_loopback
from builders.text import printable

PORT = 8786  # that Dask's scheduler has by default
_FORM = re.compile(r"(tls|tcp)://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})")


@dataclass(frozen=True)
class Address:
    """protocol: tls or tcp. host: a name, or an address (IPv6 without brackets)."""

    protocol: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol}://{host}:{self.port}"

    @property
    def local(self) -> bool:
        """Whether it is of this machine, which no other one reaches."""
        return is_loopback(self.host)


def parse(text: str) -> Address:
    """The address; BuildError where it is none, or one that others could reach without TLS."""
    match = _FORM.fullmatch(text)
    if not match or not 0 < int(match[3]) < 1 << 16:
        raise BuildError(
            f"{printable(text)[:200]!r} is no address of a farm",
            hint=f"such as tls://farm.example:{PORT}; ./inv farm up says its own",
        )
    found = Address(match[1], match[2].strip("[]"), int(match[3]))
    if found.protocol != "tls" and not found.local:
        raise BuildError(
            f"{found}: whoever reaches a farm runs code on its workers, so another machine's needs "
            "TLS",
            hint=f"tls://{found.host}:{found.port}, with the keys of ./inv farm keys",
        )
    return found


def has_engine() -> bool:
    """Whether Dask.distributed is installed, with all else that requirements-farm.lock has."""
    try:
        importlib.import_module("distributed")
    except ImportError:
        return False
    return True


def known_engine() -> None:
    """BuildError where Dask.distributed is not installed."""
    if not has_engine():
        raise not_installed("a farm: Dask.distributed", "requirements-farm.lock")
