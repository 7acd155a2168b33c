# SPDX-License-Identifier: GPL-2.0-or-later
"""Build only the dom0 kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.verbs.building import Building, MakesKernel

if TYPE_CHECKING:
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(MakesKernel, Building):
    pass


def run(options: Options) -> Outcome:
    from builders.verbs import builds

    return builds.make(options, options.flavour, ["kernel"])
