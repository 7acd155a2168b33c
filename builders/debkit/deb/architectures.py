# SPDX-License-Identifier: GPL-2.0-or-later
"""The architectures that dpkg's tables have (dpkg-architecture(1)), of any of its versions.

From cputable and tupletable of dpkg 1.16 to 1.23; what those of one version do not have any more,
or not yet, is in here too.
"""

from __future__ import annotations

from functools import cache

_CPUS = """
    alpha amd64 arc arm arm64 armeb avr32 hppa i386 ia64 loong64 m32r m68k mips mips64 mips64el
    mips64r6 mips64r6el mipsel mipsr6 mipsr6el nios2 or1k powerpc powerpcel ppc64 ppc64el riscv64
    s390 s390x sh sh3 sh3eb sh4 sh4eb sheb sparc sparc64 sw64 tilegx
"""
# Of these an architecture has the name of its processor after it.
_SYSTEMS = """
    aix darwin dragonflybsd freebsd hurd kfreebsd knetbsd kopensolaris musl-linux netbsd openbsd
    solaris uclibc-linux uclinux
"""
_OTHERS = """
    arm64ilp32 armel armhf freebsd-riscv kfreebsd-armhf lpia mint-m68k mipsn32 mipsn32el mipsn32r6
    mipsn32r6el musl-linux-armhf powerpcspe uclibc-linux-armel uclinux-armel x32
"""
# What other tools call them.
_ALIASES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "x64": "amd64",
    "aarch64": "arm64",
    "armv8": "arm64",
    "armv7l": "armhf",
    "armv7hl": "armhf",
    "armv6l": "armhf",
    "armv5tel": "armel",
    "i486": "i386",
    "i586": "i386",
    "i686": "i386",
    "x86": "i386",
    "noarch": "all",
    "none": "all",
    "any": "all",
    "ppc64le": "ppc64el",
    "powerpc64le": "ppc64el",
    "powerpc64": "ppc64",
    "ppc": "powerpc",
    "loongarch64": "loong64",
}


@cache
def names() -> frozenset[str]:
    """Those that a binary package may state, without `all`; the wildcards are not among them."""
    cpus = _CPUS.split()
    made = (f"{system}-{cpu}" for system in _SYSTEMS.split() for cpu in cpus)
    return frozenset({*cpus, *made, *_OTHERS.split()})


def architecture_fault(text: str) -> str:
    """Why a binary package cannot be for the architecture `text`; "" where it can."""
    if text == "all" or text in names():
        return ""
    if (likely := _ALIASES.get(text.lower())) or (likely := text.lower()) in names() | {"all"}:
        return f"is not in dpkg's tables; {likely} is meant"
    if "any" in text.split("-"):
        return "is a wildcard, which only a source package can state"
    if len(text.split()) > 1 or "," in text:
        return "is a list, which only a source package can state"
    return "is not in dpkg's tables (dpkg-architecture -L)"
