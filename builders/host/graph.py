# SPDX-License-Identifier: GPL-2.0-or-later
"""What needs what on a machine, as one graph; and what dom0 cannot do without."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from builders.host.pci import Bdf


class Node(NamedTuple):
    """Something that can be lost: kind ("pci", "block", "net", "mount", ...) and its name."""

    kind: str
    name: str


def function(bdf: Bdf) -> Node:
    """The node of a PCI function."""
    return Node("pci", str(bdf))


@dataclass(frozen=True)
class Vital:
    """What dom0 needs: at least one of `nodes` has to stay. kind: what sort of loss it is;
    words: the loss, for people."""

    kind: str
    words: str
    nodes: frozenset[Node]


@dataclass
class Graph:
    """Edges from what is needed to what needs it. What has lost one of its needs counts as lost:
    a mirror without a disk and a bond without a port may work, and nobody should bet dom0 on it.
    """

    needed_by: dict[Node, set[Node]] = field(default_factory=dict)
    needs: dict[Node, set[Node]] = field(default_factory=dict)

    def add(self, node: Node, need: Node) -> None:
        """`node` does not work without `need`."""
        if node != need:
            self.needs.setdefault(node, set()).add(need)
            self.needed_by.setdefault(need, set()).add(node)

    def lost(self, nodes: Iterable[Node]) -> frozenset[Node]:
        """These nodes and all that need them, directly or not."""
        return _reached(nodes, self.needed_by)

    def under(self, nodes: Iterable[Node]) -> frozenset[Node]:
        """These nodes and all that they need."""
        return _reached(nodes, self.needs)


def _reached(nodes: Iterable[Node], edges: dict[Node, set[Node]]) -> frozenset[Node]:
    reached = set(nodes)
    left = list(reached)
    while left:
        fresh = edges.get(left.pop(), set()) - reached
        reached |= fresh
        left.extend(fresh)
    return frozenset(reached)
