# SPDX-License-Identifier: GPL-2.0-or-later
"""What no sound package has, and reading can go on after: who reads decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from builders.debkit.deb.error import DebError


@dataclass(frozen=True)
class Oddity:
    """Something in an archive that no sound package has.

    kind: "duplicate", "absolute" and "odd": dpkg takes it; "traversal": a name leads out of the
        package; "refused": dpkg does not unpack it, or apt not read it.
    path: of the member that it is about, "" for none.
    refused_since: the first dpkg that does not unpack what is "odd"; () where all take it.
    """

    kind: str
    message: str
    path: str = ""
    refused_since: tuple[int, ...] = ()

    @property
    def error(self) -> DebError:
        """As an exception, for who cannot go on with it."""
        if self.kind == "traversal":
            return DebError(
                self.kind, self.message, "do not install it: no sound build makes such a package"
            )
        kind = "format" if self.kind in ("odd", "refused") else self.kind
        return DebError(kind, self.message, "write the archive as dpkg-deb does")


Tell = Callable[[Oddity], None]


def refuse(oddity: Oddity) -> None:
    """Take nothing that is odd; raises DebError."""
    raise oddity.error


def pass_over(oddity: Oddity) -> None:
    """Take what dpkg takes; raises DebError for all else."""
    if oddity.kind in ("traversal", "refused"):
        raise oddity.error
