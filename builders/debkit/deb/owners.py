# SPDX-License-Identifier: GPL-2.0-or-later
"""Whom a member of an archive belongs to once dpkg unpacked it.

dpkg takes the name where the system knows it, and the number only where it does not. So an owner
is the same everywhere where both mean the same user, or root is named.
"""

from __future__ import annotations

# The users and groups of base-passwd: Debian gives these their ids on every system (Policy 9.2.2).
USERS = {
    "root": 0,
    "daemon": 1,
    "bin": 2,
    "sys": 3,
    "sync": 4,
    "games": 5,
    "man": 6,
    "lp": 7,
    "mail": 8,
    "news": 9,
    "uucp": 10,
    "proxy": 13,
    "www-data": 33,
    "backup": 34,
    "list": 38,
    "irc": 39,
    "_apt": 42,
    "nobody": 65534,
}
GROUPS = {
    "root": 0,
    "daemon": 1,
    "bin": 2,
    "sys": 3,
    "adm": 4,
    "tty": 5,
    "disk": 6,
    "lp": 7,
    "mail": 8,
    "news": 9,
    "uucp": 10,
    "man": 12,
    "proxy": 13,
    "kmem": 15,
    "dialout": 20,
    "fax": 21,
    "voice": 22,
    "cdrom": 24,
    "floppy": 25,
    "tape": 26,
    "sudo": 27,
    "audio": 29,
    "dip": 30,
    "www-data": 33,
    "backup": 34,
    "operator": 37,
    "list": 38,
    "irc": 39,
    "src": 40,
    "shadow": 42,
    "utmp": 43,
    "video": 44,
    "sasl": 45,
    "plugdev": 46,
    "staff": 50,
    "games": 60,
    "users": 100,
    "nogroup": 65534,
}


def fixed(name: str, number: int, table: dict[str, int]) -> bool:
    """Whether a user (`USERS`) or group (`GROUPS`) is the same one on every Debian system."""
    if name == "root":
        return True
    if name in table:
        return table[name] == number
    by_number = 60000 <= number <= 64999 or number == 65534
    return by_number or (not name and 0 <= number <= 99)
