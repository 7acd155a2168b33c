# SPDX-License-Identifier: GPL-2.0-or-later
"""Build Xen and the dom0 kernel.

The finished packages go to artifacts/RECIPE/. What is finished already is not made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.verbs.building import Building, MakesKernel
from builders.verbs.option import option

if TYPE_CHECKING:
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(MakesKernel, Building):
    keep_going: bool = option("when one build fails, let the other one end", False)


def run(options: Options) -> Outcome:
    from builders.verbs import builds

    return builds.make(options, options.flavour, keep_going=options.keep_going)
