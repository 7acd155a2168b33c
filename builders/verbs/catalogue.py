# SPDX-License-Identifier: GPL-2.0-or-later
"""Which verbs there are. Each is a module of its name in this folder, loaded when it is needed."""

from __future__ import annotations

from typing import NamedTuple

from builders.verbs.command import Command


class Group(NamedTuple):
    """Verbs that are shown together.

    collection: of Invoke, in which they stand too, or "": then `devices` is host.devices as well.
    """

    title: str
    names: tuple[str, ...]
    collection: str = ""

    def within(self, name: str) -> str:
        """What a verb of the group is called in its collection."""
        return _WITHIN.get(name, name)

    def dotted(self, name: str) -> str:
        """Its name with the collection's."""
        return f"{self.collection}.{self.within(name)}"


_WITHIN = {"dom0-check": "check"}  # `check` alone is of packages


# In the order in which they are shown.
GROUPS = (
    Group("Build", ("build-all", "build-xen", "build-kernel", "finish", "shell", "clean")),
    Group("Inputs", ("fetch", "image", "lock", "outdated", "store", "farm")),
    Group("Prove", ("inspect", "check", "install-test", "boot-test", "reproduce", "bisect")),
    Group("Publish", ("release", "verify", "rebuild", "diff")),
    Group("This box", ("doctor", "recipes", "completion")),
    Group("The Xen host", ("devices", "dom0-config", "domu-config", "dom0-check"), "host"),
    Group("This project", ("test", "bench", "ci"), "dev"),
)

VERBS = {name: Command(name) for group in GROUPS for name in group.names}
FIRST = ("doctor", "build-all", "inspect")  # the three that a newcomer needs


def plain(word: str) -> str:
    """The plain name of a verb that is named with its collection; any other word as it is."""
    dotted = {g.dotted(name): name for g in GROUPS if g.collection for name in g.names}
    return dotted.get(word, word)
