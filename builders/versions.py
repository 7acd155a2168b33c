# SPDX-License-Identifier: GPL-2.0-or-later
"""Versions of packages (deb-version(7)), as strictly as dpkg reads them from a package."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from debian.debian_support import Version

_EPOCH = 2**31 - 1
_UPSTREAM = re.compile(r"[0-9][A-Za-z0-9.+:~-]*")
_REVISION = re.compile(r"[A-Za-z0-9.+~]+")
_BLANK = " \t"


def version_fault(text: str) -> str:
    """Why dpkg takes `text` for no version; "" for one that it takes."""
    text = text.strip(_BLANK)
    if not text:
        return "is empty"
    if set(text) & set(_BLANK):
        return "has a space within"
    epoch, colon, rest = text.partition(":")
    if colon:
        digits = epoch.removeprefix("+").lstrip("0") or epoch[-1:]
        if not epoch:
            return "has an empty epoch"
        if not (digits.isascii() and digits.isdigit()):
            return "has an epoch that is no number"
        if len(digits) > 10 or int(digits) > _EPOCH:
            return "has an epoch that is too large"
        if not rest:
            return "has nothing after its epoch"
    else:
        rest = text
    upstream, hyphen, revision = rest.rpartition("-")
    if not hyphen:
        upstream = rest
    elif not revision:
        return "ends in a hyphen"
    if not upstream:
        return "has no upstream version"
    if not upstream[0].isdigit() or not upstream[0].isascii():
        return "does not begin with a digit"
    if not _UPSTREAM.fullmatch(upstream):
        return "has a character that no version has"
    if hyphen and not _REVISION.fullmatch(revision):
        return "has a character that no revision has"
    return ""


_LENGTH = 4000  # characters of a version that is compared; int of Python refuses 4300 digits


def parsed_version(text: str) -> Version | None:
    """The version, to be compared; None where dpkg takes it for none."""
    if len(text) > _LENGTH or version_fault(text):
        return None
    from debian.debian_support import Version  # slow to import

    text = text.strip(_BLANK)
    epoch, colon, rest = text.partition(":")
    if colon:
        text = f"{int(epoch)}:{rest}"
    try:
        return Version(text)
    except ValueError:
        return None
