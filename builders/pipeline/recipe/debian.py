# SPDX-License-Identifier: GPL-2.0-or-later
"""How Debian writes names, versions and relations: what a recipe may state of a package.

Each function says what is wrong with a value, "" where nothing is.
"""

from __future__ import annotations

import re

NAME = r"[a-z0-9][a-z0-9+.-]+"  # Policy 5.6.1
VERSION = r"(?:[0-9]{1,9}:)?[0-9][A-Za-z0-9.+~-]*"  # deb-version(7)
RELATION = re.compile(  # Policy 7.1
    rf"(?P<name>{NAME})(?P<arch>:[a-z0-9-]+)?"
    r"(?:\s*\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^\s()]+)\s*\))?"
)
ALTERNATIVES = ("pre-depends", "depends", "recommends", "suggests")  # no "|" in the others
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
    if len(text) <= LONGEST and re.fullmatch(VERSION, text) and not text.endswith("-"):
        return ""
    return f"{text[:60]!r} is no version (deb-version(7))"


def relations_problem(field: str, text: str) -> str:
    """Of the relations of a field, in lower case."""
    for part in text.split(","):
        choices = part.split("|")
        if not part.strip():
            continue
        for choice in choices:
            match = RELATION.fullmatch(choice.strip())
            if not match or (match["version"] and version_problem(match["version"])):
                return f"{part.strip()[:60]!r} is no relation (Policy 7.1)"
        if len(choices) > 1 and field not in ALTERNATIVES:
            return f"{part.strip()[:60]!r} has alternatives (Policy 7.1)"
    return ""
