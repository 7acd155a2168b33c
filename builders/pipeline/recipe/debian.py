# SPDX-License-Identifier: GPL-2.0-or-later
"""How Debian writes names, versions and relations: what a recipe may state of a package.

Each function says what is wrong with a value, "" where nothing is.
"""

from __future__ import annotations

import re

from builders.debkit.deb.relations import STRICT_NAME, written_relations
from builders.versions import version_fault

NAME = STRICT_NAME.pattern
PRIORITIES = ("required", "important", "standard", "optional", "extra")  # Policy 2.5
MAINTAINER = re.compile(r"(?=\s*+[^<>])[^<>\n]+ <[^<>@\s]+@[^<>@\s]+>")  # Policy 5.6.2
LONGEST = 200  # characters of a name or a version: both become names of files


def name_problem(text: str) -> str:
    """Of the name of a package (Policy 5.6.1)."""
    if len(text) <= LONGEST and re.fullmatch(NAME, text):
        return ""
    return f"{text[:60]!r} is no package name (Policy 5.6.1)"


def version_problem(text: str) -> str:
    """Of a version (deb-version(7)); dpkg wants the upstream version to begin with a digit."""
    if (
        len(text) <= LONGEST
        and text[:1].isdigit()
        and text == text.strip()
        and not version_fault(text)
    ):
        return ""
    return f"{text[:60]!r} is no version (deb-version(7))"


def relations_problem(field: str, text: str) -> str:
    """Of the relations of a field, in lower case."""
    for part, why in written_relations(field, text)[1]:
        return f"{part[:60]!r} is no relation (Policy 7.1): it {why[:200]}"
    return ""
