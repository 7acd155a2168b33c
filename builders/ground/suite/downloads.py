# SPDX-License-Identifier: GPL-2.0-or-later
"""What an apt downloaded in a container, compared on the box with the suite's verified index.

apt-get(8) of an old suite says that all is well (status 0) whatever came, and leaves a forged file
under its proper name. So the package lists are read out of the container and verified here once
more, by their signature, and each file by the digest in them, before anything of it is installed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from builders.errors import BuildError, Exit
from builders.files import scratch
from builders.ground.engine.step import Step
from builders.ground.session import Session
from builders.ground.suite import archive, index
from builders.ground.suite.index import Offer
from builders.text import printable

ARCHIVES = "/var/cache/apt/archives"
_SHOWN = 5  # names in an error
_SUM = re.compile(r"([0-9a-f]{64})  (\S+\.deb)")


def install(run: Session, step: Step, phase: str, command: str, hint: str = "") -> None:
    """Run `command` (an apt-get that installs), once what it downloads was compared.

    BuildError (SOURCE) where a file is not what the index lists; nothing is installed then. What
    was not compared is not fetched by the second run either (apt-get(8) --no-download).
    """
    step.phase(f"download {phase}", f"{command} --download-only", hint=hint)
    check(run, step, ARCHIVES)
    step.phase(phase, f"{command} --no-download", hint=hint)


def check(run: Session, step: Step, folder: str, names: Sequence[str] | None = None) -> None:
    """Compare the .debs in `folder` of the step's container with the suite's index.

    names: those that count, as apt stores them; None stands for all. Those that are not as they
    should be are removed; BuildError (SOURCE) says which they are.
    """
    digests = _digests(step, folder)
    counted = digests if names is None else {name: digests.get(name, "") for name in names}
    if not counted:
        return
    step.say("compare", f"{len(counted)} packages")
    expected = _listed(run, step, {name.partition("_")[0] for name in counted})
    wrong = sorted(name for name, digest in counted.items() if digest not in expected.get(name, ()))
    if not wrong:
        return
    paths = " ".join(f"'{folder}/{name}'" for name in wrong if name in digests)
    step.attempt("remove", f"rm -f {paths}")
    what = "; ".join(
        f"{printable(name)} "
        + (
            "is not listed"
            if name not in expected
            else f"has the sha256 {counted[name] or '(none)'}"
        )
        for name in wrong[:_SHOWN]
    )
    more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    raise BuildError(
        f"{step.name}: Hash Sum mismatch: what apt downloaded is not what the signed index of "
        f"{run.recipe.suite.name} lists: {what}{more}",
        hint="the mirror, or somebody on the way to it, serves changed files: try again, or use "
        "another mirror (--set suite.mirror=...)",
        log=step.log,
        exit=Exit.SOURCE,
    )


def _digests(step: Step, folder: str) -> dict[str, str]:
    """File name -> sha256 of the .debs right inside a folder of the container."""
    script = f'cd {folder}; for f in *.deb; do test ! -f "$f" || sha256sum -- "$f"; done'
    matches = (_SUM.fullmatch(line) for line in step.output(script).splitlines())
    return {match[2]: match[1] for match in matches if match}


def _listed(run: Session, step: Step, packages: set[str]) -> dict[str, set[str]]:
    """The name under which apt stores a package -> the digests that the index has for it."""
    digests: dict[str, set[str]] = {}
    with scratch(archive.LISTED) as folder:
        lists = archive.held(run, step.container, folder)
        for path, at in lists.packages:
            for offer in index.packages(path, at, packages):
                digests.setdefault(stored(offer), set()).update(f.sha256 for f in offer.files)
    return digests


def stored(offer: Offer) -> str:
    """The name under which apt keeps a package: "%3a" stands for the colon of an epoch."""
    version = offer.version.replace(":", "%3a")
    return f"{offer.package}_{version}_{offer.architecture}.deb"
