# SPDX-License-Identifier: GPL-2.0-or-later
"""Say whether a Xen host is as its settings say.

What says it is dom0-check, which the package of dom0-config installs. Exit status 1 where a check
fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.verbs.option import Reported, option

if TYPE_CHECKING:
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported):
    ssh: str = option(
        "the host to ask, with a key that needs no password: root@HOST or a name of ssh's own",
        value="HOST",
        usual="this machine",
    )


def run(options: Options) -> Outcome:
    from builders.host import checked
    from builders.show import hosts

    return hosts.checked(checked.ask(options.ssh))
