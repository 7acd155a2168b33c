# SPDX-License-Identifier: GPL-2.0-or-later
"""Who builds: the maintainer in place of the recipe's, as devscripts(1) finds out.

It is an override as any other: what was built says so in its manifest, and whoever builds again
needs the same one for the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from email.utils import parseaddr

from builders.errors import BuildError
from builders.ground import defaults


def source(environment: Mapping[str, str]) -> str:
    """Where `overrides` has the maintainer from, in a word."""
    return "DEBEMAIL" if environment.get("DEBEMAIL", "").strip() else defaults.NAME


def overrides(environment: Mapping[str, str], targets: Iterable[str]) -> list[str]:
    """KEY=VALUE overrides from DEBEMAIL and DEBFULLNAME, or dom0-debs.toml; none without either.

    targets: what the recipe builds. DEBEMAIL may be "Name <address>", whose name DEBFULLNAME has
    precedence over.
    """
    stated = environment.get("DEBEMAIL", "").strip()
    default = defaults.read(environment).maintainer
    if stated:
        name, address = parseaddr(stated)
        name = environment.get("DEBFULLNAME", "").strip() or name or environment.get("NAME", "")
    elif default:
        name, address = parseaddr(default.value)
    else:
        return []
    bad = any(c in name for c in '<>@"\\,()\n') or address.count("@") != 1 or " " in address
    if bad or not name or not address.isascii():
        if default and not stated:
            raise BuildError(
                f"maintainer = {default.value!r} is none (Policy 5.6.2; {default})",
                hint='such as maintainer = "Some One <some.one@example.org>"',
            )
        raise BuildError(
            f"DEBEMAIL={stated!r} and DEBFULLNAME={name!r} make no maintainer (Policy 5.6.2)",
            hint="set both, a name and an address, or unset DEBEMAIL for the recipe's",
        )
    value = json.dumps(f"{name} <{address}>", ensure_ascii=False)
    return [f"finish.{target}.maintainer={value}" for target in targets]
