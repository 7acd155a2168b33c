# SPDX-License-Identifier: GPL-2.0-or-later
"""Which verbs there are. Each is a module of its name in this folder, loaded when it is needed."""

from __future__ import annotations

from builders.verbs.command import Command

# In the order in which they are shown. A group that ends with a dot is a collection of Invoke's:
# its verbs are host.devices and so on, and their plain names stay.
GROUPS: dict[str, tuple[str, ...]] = {
    "build": (
        "build-all",
        "build-xen",
        "build-kernel",
        "fetch",
        "image",
        "finish",
        "shell",
        "clean",
    ),
    "prove": ("inspect", "check", "install-test", "boot-test", "reproduce"),
    "publish": ("release", "verify", "diff"),
    "look": ("doctor", "recipes"),
    "host.": ("devices", "dom0-config", "domu-config"),
    "dev.": ("test", "bench", "ci"),
}

VERBS = {name: Command(name) for names in GROUPS.values() for name in names}


def plain(word: str) -> str:
    """The plain name of a verb that is named with its collection; any other word as it is."""
    part, dot, name = word.partition(".")
    return name if name in GROUPS.get(part + dot, ()) else word
