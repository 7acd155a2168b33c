# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on what a build left of itself in the package."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builders.debkit.audit.facts import Facts
from builders.debkit.audit.model import Found, Severity, rule


@rule(
    "build-path",
    Severity.WARNING,
    explanation="An object, or a file that builds read, names the folder that it was built in. No"
    " other system has that folder, its name may say whose it was, and another box"
    " does not build the same bytes.",
    reference="Policy 4.15 (reproducibility); gcc(1) -ffile-prefix-map",
    remedy="build with -ffile-prefix-map=<folder>=. or BUILD_PATH_PREFIX_MAP, and correct .pc and"
    " .la files",
)
def _build_path(facts: Facts) -> Iterator[Found]:
    for path, found in facts.traces.items():
        # The assertions of a program have the path in them in older suites.
        personal = any(not text.startswith(("/build/", "/builds/")) for text in found)
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        shown = next((t for t in found if not t.startswith("/build")), found[0])
        yield Found(f"names {shown}{more}", path, None if personal else Severity.INFO)


# Names that are given on purpose, so that every box builds the same.
_GENERIC = ("builder", "buildd", "build", "localhost", "debian", "reproducible")


@rule(
    "build-host",
    Severity.WARNING,
    explanation="A kernel says on which box it was built, and by whom, in the first line of every"
    " boot log. Another box does not build the same bytes.",
    reference="Documentation/kbuild/reproducible-builds.rst of the kernel",
    remedy="build with KBUILD_BUILD_USER and KBUILD_BUILD_HOST set",
)
def _build_host(facts: Facts) -> Iterator[Found]:
    for path, line in facts.kernels.items():
        match = re.search(r"\(([^()@ ]+)@([^()@ ]+)\)", line)
        # An address of a team has a domain; a box has a short name, or a local one.
        if match and match[2] in _GENERIC:
            continue
        if match and ("." not in match[2] or match[2].endswith((".local", ".localdomain", ".lan"))):
            yield Found(f"was built by {match[1]}@{match[2]}", path)
