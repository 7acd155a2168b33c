# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on the control file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from debian.debian_support import Version

from builders.audit.facts import Facts
from builders.audit.model import Found, Severity, rule


@rule(
    "control-field",
    Severity.ERROR,
    explanation="A field that every binary package has to have is missing or malformed.",
    reference="Policy 5.3, 5.6",
    remedy="state it in the recipe's corrections",
    data=False,
)
def _control_field(facts: Facts) -> Iterator[Found]:
    def value(name: str) -> str:
        return str(facts.control.get(name, "")).strip()

    for name in ("Package", "Version", "Architecture", "Maintainer", "Description"):
        if not value(name):
            yield Found(f"{name} is missing")
    if value("Package") and not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", value("Package")):
        yield Found(f"Package {value('Package')!r} is no package name (Policy 5.6.1)")
    if value("Version") and not _valid_version(value("Version")):
        yield Found(f"Version {value('Version')!r} is no version (deb-version(7))")
    if value("Architecture") and not re.fullmatch(r"[a-z0-9][a-z0-9-]*", value("Architecture")):
        yield Found(f"Architecture {value('Architecture')!r} is none (Policy 5.6.8)")
    if value("Maintainer") and not re.search(r"\S\s*<[^<>@\s]+@[^<>@\s]+>$", value("Maintainer")):
        yield Found(
            f"Maintainer {value('Maintainer')!r} is not of the form Name <address> (Policy 5.6.2)",
            severity=Severity.WARNING,
        )


def _valid_version(text: str) -> bool:
    try:
        Version(text)
    except ValueError:
        return False
    return bool(re.match(r"([0-9]+:)?[0-9]", text)) and not text.endswith("-")
