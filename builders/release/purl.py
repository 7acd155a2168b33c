# SPDX-License-Identifier: GPL-2.0-or-later
"""Package URLs (the purl specification): one name for a package in every document."""

from __future__ import annotations

from packageurl import PackageURL

from builders.pipeline.recipe import DebianPackage, DebianSource, GitSource
from builders.release.facts import Origin
from builders.release.repository import ORIGIN


def debian(name: str, version: str = "", architecture: str = "") -> str:
    """A binary package of Debian."""
    qualifiers = {"arch": architecture} if architecture else None
    return PackageURL("deb", "debian", name, version or None, qualifiers).to_string()


def ours(name: str, version: str, architecture: str) -> str:
    """A package that was built here."""
    return PackageURL("deb", ORIGIN, name, version, {"arch": architecture}).to_string()


def of_source(origin: Origin) -> str:
    """A source: Debian's package, or a file or commit that upstream published."""
    about = origin.about
    if isinstance(about, DebianSource):
        return PackageURL(
            "deb", "debian", about.package, origin.version, {"arch": "source"}
        ).to_string()
    if isinstance(about, DebianPackage):
        return debian(about.package, origin.version)
    version = origin.version if isinstance(about, GitSource) else about.sha256  # of a tree too
    return PackageURL("generic", None, origin.name, version).to_string()
