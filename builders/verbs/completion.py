# SPDX-License-Identifier: GPL-2.0-or-later
"""Print what makes a shell complete ./inv.

For bash and zsh: source <(./inv completion bash). For fish: ./inv completion fish | source.
The verbs, their options, recipes, flavours, rules and the keys of --set are completed.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.verbs.option import option

if TYPE_CHECKING:
    from builders.show.outcome import Outcome

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, kw_only=True)
class Options:
    shell: str = option("whose completion it is", MISSING, choices=SHELLS, what="shell")


def run(options: Options) -> Outcome:
    from builders.show.outcome import Outcome

    path = Path(__file__).with_name("templates") / f"inv.{options.shell}"
    return Outcome(text=path.read_text(encoding="utf-8"))
