# SPDX-License-Identifier: GPL-2.0-or-later
"""Look after a store that several machines use.

It lists what is in it. A build fills and reads it where --store names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.verbs.building import OfStore
from builders.verbs.option import Reported, option

if TYPE_CHECKING:
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported, OfStore):
    check: bool = option("read all of it; exit status 1 where a byte is not what it was", False)
    log: str = option("print the log of a step that failed, by its tag", value="TAG")
    prune: bool = option("remove what is old and in no release", False)
    keep_days: int = option("with --prune: keep what is younger than so many days", 30)


def run(options: Options) -> Outcome:
    from builders.pipeline.shared import Shared
    from builders.show import stored
    from builders.show.terminal import Terminal
    from builders.verbs import builds

    if options.keep_days < 0:
        raise BuildError(f"--keep-days {options.keep_days}: less than none", hint="0 keeps none")
    if options.check and options.prune:
        raise BuildError("--check and --prune: one of them", hint="--check first, then --prune")
    reporter = Terminal()
    address = builds.store_of(options, reporter)
    if address is None:
        raise BuildError("no store is named", hint="--store oci://HOST/PATH, or DOM0_DEBS_STORE")
    shared = Shared(address, reporter.line)
    if options.log:
        return stored.log(options.log, shared.log(options.log))
    if options.check:
        return stored.damage(shared.damaged())
    if options.prune:
        return stored.pruned(shared.prune(options.keep_days))
    return stored.entries(shared.entries())
