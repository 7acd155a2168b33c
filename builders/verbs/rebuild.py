# SPDX-License-Identifier: GPL-2.0-or-later
"""Build a release again here, and state what came out.

The statement is signed, and others count it (`verify --rebuilders`).
Exit status 1 where a package differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.verbs.building import FromLock, OfStore
from builders.verbs.option import Reported, option

if TYPE_CHECKING:
    from builders.pipeline.run import Run
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(FromLock, Reported, OfStore):
    path: tuple[str, ...] = option("the folder of a release", (), value="FOLDER", words=True)
    key: str = option("public keys that may have signed the release", value="FILE")
    sign_key: str = option(
        "fingerprint or user id of your key, or a key file, for the statement", usual="a trial key"
    )
    recipe: str = option(
        "the recipe's file, where it is none of this project's", usual="that of the release"
    )
    only: tuple[str, ...] = option(
        "only this build, such as xen or kernel-minimal", (), value="BUILD"
    )
    out: str = option("also write the statements here", value="FOLDER")
    jobs: int = option("compilers at once", 0, usual="every core")


def run(options: Options) -> Outcome:
    from builders.pipeline.shared import Shared
    from builders.release import rebuild, signing
    from builders.show import rebuilds
    from builders.show.terminal import Terminal
    from builders.verbs import builds

    if len(options.path) != 1:
        raise BuildError(
            f"rebuild takes one release, {len(options.path)} named",
            hint="./inv rebuild FOLDER --key FILE",
        )
    if not options.key:
        raise BuildError(
            "--key is missing: what a release says decides what is built",
            hint="name the public key of whom you trust with that: --key FILE",
        )
    folder, reporter = Path(options.path[0]), Terminal()
    recipe, found = rebuild.of(folder, Path(options.key), reporter)
    there = [build.target for build in found]
    for name in options.only:
        if name not in there:
            raise BuildError(
                f"--only {name}: the release has no such build",
                hint=f"one of: {', '.join(there)}",
            )
    wanted = [build for build in found if not options.only or build.target in options.only]

    address = builds.store_of(options, reporter)

    def run_of(overrides: Sequence[str]) -> Run:
        it = builds.begin(
            options.recipe or recipe,
            overrides,
            reporter,
            jobs=options.jobs,
            locked=options.locked,
            maintained=False,
        )
        if address:  # sources and the image alone; a second build is no stage of anybody's
            reads, stop = options.store_mode != "write", it.live.stopping
            it.shared = Shared(address, reporter.line, reads, writes=False, stages=False, stop=stop)
        return it

    with signing.signer(options.sign_key, reporter) as signer:
        made = rebuild.rebuild(run_of, folder, wanted, signer)
        written = rebuilds.write(made, Path(options.out), signer) if options.out else []
        if address and options.store_mode != "read":
            shared = Shared(address, reporter.line)
            for again in made:
                tag = f"{again.build.tag}{signer.fingerprint[-16:].lower()}"
                shared.offer_statement(tag, again.statement, again.signature)
            if failure := shared.failure():
                raise failure
    return rebuilds.rebuilt(made, signer.fingerprint, written)
