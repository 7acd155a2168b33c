# SPDX-License-Identifier: GPL-2.0-or-later
"""Amounts of memory and addresses, as a person types them."""

from __future__ import annotations

import ipaddress
import re

from builders.host.problems import Problems, quoted
from builders.pipeline.recipe import Recipe

LOOPBACK = "127.0.0.1"


def xen_version(recipe: Recipe) -> tuple[int, int]:
    """Major and minor version of a recipe's Xen; of a current one where it states none."""
    stated = re.match(r"(\d+)\.(\d+)", recipe.xen.version if recipe.xen else "")
    return (int(stated[1]), int(stated[2])) if stated else (4, 17)


def mebibytes(text: str, option: str, problems: Problems, least: int, most: int) -> int:
    """An amount with its unit, such as 4096M or 4G, in MiB."""
    hint = "write it with its unit: 4096M or 4G"
    found = re.fullmatch(r"([0-9]{1,9})([mMgG]?)", text.strip())
    if not text.strip():
        problems.add(f"{option} is missing", hint)
    elif not found:
        problems.add(f"{option} {quoted(text)}: no amount of memory", hint)
    elif not found[2]:
        problems.add(f"{option} {quoted(text)}: no unit", hint)
    else:
        size = int(found[1]) << (10 if found[2] in "gG" else 0)
        if size < least:
            problems.add(f"{option} {quoted(text)}: too little", f"at least {least}M")
        elif size > most:
            problems.add(f"{option} {quoted(text)}: more than Xen can manage", f"at most {most}M")
        return size
    return 0


def address(text: str, option: str, problems: Problems) -> str:
    """An IP address to listen on."""
    try:
        found = ipaddress.ip_address(text.strip())
    except ValueError:
        problems.add(f"{option} {quoted(text)}: no IP address", "such as 127.0.0.1 or 0.0.0.0")
        return LOOPBACK
    if getattr(found, "scope_id", None):
        problems.add(f"{option} {quoted(text)}: an address with a scope", "leave %... out")
    return str(found)


def exposed(listen: str) -> str:
    """What an address that is not loopback means; empty for one that is."""
    found = ipaddress.ip_address(listen)
    if found.is_loopback:
        return ""
    where = "every address of the host" if found.is_unspecified else f"the address {listen}"
    return (
        f"the screens of guests are served on {where}, without encryption and, unless a guest "
        "sets one, without a password"
    )
