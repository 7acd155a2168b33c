# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenPGP data as bytes: ASCII armor (RFC 4880, 6; RFC 9580, 6, which has no checksum)."""

from __future__ import annotations

import base64
import binascii
import re

_BLOCK = re.compile(
    rb"-----BEGIN PGP ([A-Z ]+)-----\r?\n(?:[A-Za-z]+: [^\n]*\n)*\r?\n(.*?)-----END PGP \1-----",
    re.DOTALL,
)


class NotArmor(ValueError):  # noqa: N818 - it is answered, not shown
    """The data is no sound OpenPGP data."""


def _crc24(data: bytes) -> int:
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc & 0xFFFFFF


def armored(kind: str, data: bytes) -> bytes:
    """`data` in ASCII armor, as gpg(1) writes it; kind: "SIGNATURE" or "PUBLIC KEY BLOCK"."""
    text = base64.b64encode(data)
    lines = [text[n : n + 64] for n in range(0, len(text), 64)]
    check = b"=" + base64.b64encode(_crc24(data).to_bytes(3, "big"))
    mark = f"PGP {kind}-----".encode()
    return b"\n".join([b"-----BEGIN " + mark, b"", *lines, check, b"-----END " + mark, b""])


def binary(data: bytes) -> bytes:
    """The content of the first armored block, or `data` itself where it has no armor.

    NotArmor where the armor is damaged.
    """
    if not data.lstrip().startswith(b"-----BEGIN PGP"):
        return data
    match = _BLOCK.search(data)
    if not match:
        raise NotArmor("its armor is damaged")
    body, _, check = match[2].replace(b"\r", b"").rstrip(b"\n").rpartition(b"\n=")
    if not body:
        body, check = match[2], b""
    try:
        content = base64.b64decode(b"".join(body.split()), validate=True)
        crc = int.from_bytes(base64.b64decode(check, validate=True), "big") if check else None
    except binascii.Error:
        raise NotArmor("its armor is damaged") from None
    if crc is not None and crc != _crc24(content):
        raise NotArmor("its armor's checksum is wrong")
    return content
