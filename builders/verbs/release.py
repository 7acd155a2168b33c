# SPDX-License-Identifier: GPL-2.0-or-later
"""Make a signed apt repository of what was built.

With its attestations (docs/release.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.verbs.building import OfStore
from builders.verbs.option import Reported, option, recipe_read

if TYPE_CHECKING:
    from builders.progress import Reporter
    from builders.show.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Options(Reported, OfStore):
    recipe: str = recipe_read()
    flavour: str = option("release only this kernel", usual="every one that was built")
    sign_key: str = option("fingerprint or user id of your key, or a key file", usual="a trial key")
    out: str = option("the folder for it", value="FOLDER", usual="artifacts/RECIPE/release")
    url: str = option(
        "where it will be served, for the .sources file", usual="file: and the folder"
    )
    keep: int = option("how many older versions of each build stay; -1 keeps all", -1)
    key: str = option(
        "public keys that signed the release before, where another key does now", value="FILE"
    )
    clean: bool = option("build first in a clean tree what is from a kept one", False)
    spdx: bool = option("write the bills of materials as SPDX 2.3 too, beside CycloneDX", False)


def run(options: Options) -> Outcome:
    from builders.show.terminal import Terminal

    return release(options, Terminal())


def release(options: Options, reporter: Reporter) -> Outcome:
    """Make the release of a recipe."""
    from builders import forms
    from builders.pipeline import current
    from builders.release import publish
    from builders.show import releases
    from builders.verbs import builds

    if options.keep < -1:
        raise BuildError(
            f"--keep {options.keep}: how many is that?", hint="0, 1, ... or -1 for all"
        )
    problem = forms.address(options.url)
    if options.url and problem and not options.url.startswith("file:/"):
        raise BuildError(
            f"--url: {problem}", hint="where machines will find it, such as https://example.org/xen"
        )
    it = builds.with_store(builds.begin(options.recipe, [], reporter, reads=True), options)
    if options.clean:
        builds.build_kept_clean(it)
    made = publish.publish(
        it,
        current.named(it),
        flavour=options.flavour,
        key=options.sign_key,
        out=options.out,
        url=options.url,
        keep=options.keep,
        old_key=options.key,
        spdx=options.spdx,
    )
    if it.shared:
        builds.keep_stages(it, options.flavour)
    return releases.release(made)
