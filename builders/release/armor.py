# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenPGP data as bytes: ASCII armor (RFC 4880, 6) and the one form that a signature may have.

A signature has bytes that its own verification does not cover: the armor's checksum, the hints
beside the signed part, the length of a number in bits. Where each of them has one value only, a
byte that was changed anywhere is noticed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

_BLOCK = re.compile(
    rb"-----BEGIN PGP ([A-Z ]+)-----\r?\n(?:[A-Za-z]+: [^\n]*\n)*\r?\n(.*?)-----END PGP \1-----",
    re.DOTALL,
)
_ISSUER = 16  # subpackets (RFC 4880, 5.2.3.1)
_RSA = (1, 3)  # its signatures are one number, those of others two (9.1)
_HASHES = {8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}  # 9.4


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


def canonical(signature: bytes, data: bytes) -> bool:
    """Whether a detached signature of `data`, in armor, has no byte that could be another one.

    That is: gpg's armor and nothing else, one packet of version 4, beside the signed part only
    the issuer's key id and the digest's first bytes, and numbers of the length that they state
    (RFC 4880, 3.2, 5.2.3 and 5.2.4). gpgv(1) decides whether the signature is good.
    """
    try:
        packet = binary(signature)
        return armored("SIGNATURE", packet) == signature and _one_form(packet, data)
    except (NotArmor, IndexError):
        return False


def _one_form(packet: bytes, data: bytes) -> bool:
    # The packet's header: the old format with one or two octets of length, as gpg writes it.
    tag, wide = packet[0], packet[0] & 3
    if tag & 0xFC != 0x88 or wide > 1:
        return False
    head = 3 if wide else 2
    length = int.from_bytes(packet[1:head], "big")
    if length != len(packet) - head or wide != (length > 255):
        return False
    body = packet[head:]
    if body[0] != 4 or body[3] not in _HASHES:
        return False
    hashed = 6 + int.from_bytes(body[4:6], "big")
    end = hashed + 2 + int.from_bytes(body[hashed : hashed + 2], "big")
    beside = body[hashed + 2 : end]
    fingerprint = _signer(body[6:hashed])
    if beside and beside != bytes([9, _ISSUER]) + fingerprint[-8:]:
        return False
    trailer = body[:hashed] + b"\x04\xff" + hashed.to_bytes(4, "big")
    if body[end : end + 2] != hashlib.new(_HASHES[body[3]], data + trailer).digest()[:2]:
        return False
    place, numbers = end + 2, 0
    while place < len(body):
        bits = int.from_bytes(body[place : place + 2], "big")
        number = body[place + 2 : place + 2 + (bits + 7) // 8]
        if int.from_bytes(number, "big").bit_length() != bits:
            return False
        place, numbers = place + 2 + len(number), numbers + 1
    return place == len(body) and numbers == (1 if body[2] in _RSA else 2)


def _signer(area: bytes) -> bytes:
    """The fingerprint in the signed part: the issuer's subpacket (33, of version 4)."""
    place = 0
    while place < len(area):
        size = area[place]  # 191 and less stand for themselves; gpg writes no longer ones here
        if size > 191:
            return b""
        if area[place + 1] & 0x7F == 33:
            return area[place + 3 : place + 1 + size]
        place += 1 + size
    return b""
