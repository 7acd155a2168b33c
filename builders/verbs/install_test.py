# SPDX-License-Identifier: GPL-2.0-or-later
"""Install, use, upgrade and purge the packages.

On clean machines of the suite; exit status 1 on a failure (docs/trials.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.verbs.building import Trial

if TYPE_CHECKING:
    from builders.pipeline.run import Run
    from builders.proofs.trial import install
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Trial):
    pass


def run(options: Options) -> Outcome:
    from builders.show import trials
    from builders.verbs import builds

    return trials.cases(
        install_test(builds.begun(options, offline=options.offline, reads=True), options)
    )


def install_test(it: Run, options: Options) -> list[install.CaseResult]:
    """What became of the packages on clean machines."""
    from builders.proofs.trial import install
    from builders.verbs import builds

    with builds.tried(it, options) as (run, debs, raw):
        return install.install_test(run, debs, raw)
