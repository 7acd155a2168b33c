# SPDX-License-Identifier: GPL-2.0-or-later
"""Have the suite's lintian and piuparts judge the packages.

Exit status 1 on a finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.verbs.building import Trial

if TYPE_CHECKING:
    from builders.pipeline.run import Run
    from builders.proofs.trial.judges import Verdict
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Trial):
    pass


def run(options: Options) -> Outcome:
    from builders.show import trials
    from builders.verbs import builds

    return trials.verdicts(
        judge(builds.begun(options, offline=options.offline, reads=True), options)
    )


def judge(it: Run, options: Options) -> list[Verdict]:
    """What lintian and piuparts of the suite say of the packages."""
    from builders.proofs.trial import judges
    from builders.verbs import builds

    with builds.tried(it, options) as (run, debs, raw):
        return judges.check(run, debs, raw)
