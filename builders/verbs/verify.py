# SPDX-License-Identifier: GPL-2.0-or-later
"""Check a release: signatures, digests, nothing missing.

Exit status 1 where it is not sound.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.verbs.building import OfStore
from builders.verbs.option import Reported, option

if TYPE_CHECKING:
    from builders.progress import Reporter
    from builders.release.verify import Verdict
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported, OfStore):
    path: tuple[str, ...] = option("the folder of a release", (), value="FOLDER", words=True)
    key: str = option(
        "public keys that may have signed it", value="FILE", usual="the one in the release"
    )
    rebuilders: int = option(
        "how many others must have built the same, by their statements in the store", 0
    )
    rebuilder_keys: str = option("public keys of those others", value="FILE")


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
    if options.rebuilders < 0 or bool(options.rebuilders) != bool(options.rebuilder_keys):
        raise BuildError(
            "--rebuilders and --rebuilder-keys go together",
            hint="--rebuilders 2 --rebuilder-keys FILE, with their public keys",
        )
    verdict = verify.verify(Path(folder), reporter, key)
    if options.rebuilders and not verdict.problems:
        _ask(options, Path(folder), verdict, reporter)
    return releases.verification(folder, verdict)


def _ask(options: Options, folder: Path, verdict: Verdict, reporter: Reporter) -> None:
    """Note in the verdict who else built the same, and a problem where too few did."""
    from builders.pipeline.shared import Shared
    from builders.release import rebuilt, signing
    from builders.release.verify import Problem
    from builders.verbs import builds

    keys = signing.public_keys(Path(options.rebuilder_keys))
    address = builds.store_of(options, reporter)
    if address is None:
        raise BuildError(
            "--rebuilders: no store is named, where statements are",
            hint="--store oci://HOST/PATH, or DOM0_DEBS_STORE",
        )
    shared = Shared(address, reporter.line)
    for build in rebuilt.released(folder):
        said = shared.statements(build.tag)
        found = rebuilt.count(build, said, keys, verdict.fingerprint)
        verdict.notes += found.notes
        verdict.notes += [f"{build.target}: {who} built the same" for who in found.agree]
        verdict.notes += [f"{build.target}: {who} built something else" for who in found.differ]
        if len(found.agree) < options.rebuilders:
            why = f"{options.rebuilders} others were to have built the same: {len(found.agree)} did"
            verdict.problems.append(Problem(build.target, why))
