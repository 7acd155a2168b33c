# SPDX-License-Identifier: GPL-2.0-or-later
"""Tell what changed between two releases.

Inputs, packages, kernel options, and what the audit finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.verbs.option import option

if TYPE_CHECKING:
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options:
    path: tuple[str, ...] = option(
        "the folders of two releases, the old one first", (), value="FOLDER", words=True
    )
    format: str = option("how to say it", "markdown", choices=("markdown", "json"))


def run(options: Options) -> Outcome:
    from builders.release import notes
    from builders.show import releases

    if len(options.path) != 2:
        raise BuildError(
            f"diff compares two releases, {len(options.path)} named", hint="./inv diff OLD NEW"
        )
    return releases.changes(notes.difference(*map(Path, options.path)))
