# SPDX-License-Identifier: GPL-2.0-or-later
"""Check a release: signatures, digests, nothing missing.

Exit status 1 where it is not sound.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.verbs.option import Reported, option

if TYPE_CHECKING:
    from builders.progress import Reporter
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported):
    path: tuple[str, ...] = option("the folder of a release", (), value="FOLDER", words=True)
    key: str = option(
        "public keys that may have signed it", value="FILE", usual="the one in the release"
    )


def run(options: Options) -> Outcome:
    from builders.show.terminal import Terminal

    return verify(options, Terminal())


def verify(options: Options, reporter: Reporter) -> Outcome:
    """Check a release."""
    from builders.release import verify
    from builders.show import releases

    if len(options.path) != 1:
        raise BuildError(
            f"verify checks one release, {len(options.path)} named", hint="./inv verify FOLDER"
        )
    (folder,) = options.path
    key = Path(options.key) if options.key else None
    return releases.verification(folder, verify.verify(Path(folder), reporter, key))
