# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own documents of a build: .buildinfo (deb-buildinfo(5)) and .changes (deb-changes(5)).

Neither says when or on which box it was built, so that another box gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from pathlib import Path

from builders import VERSION
from builders.debkit.deb import dump_control
from builders.ground.engine.container import ENVIRONMENT
from builders.release.facts import Build
from builders.release.repository import ORIGIN

_HASHES = {"Checksums-Sha1": "sha1", "Checksums-Sha256": "sha256"}


def buildinfo(build: Build) -> bytes:
    """What was installed and set when the packages were made."""
    environment = {**ENVIRONMENT, "SOURCE_DATE_EPOCH": str(build.epoch)}
    installed = [
        f"{p.name}{'' if p.architecture in ('all', 'amd64') else ':' + p.architecture}"
        f" (= {p.version})"
        for p in sorted(build.installed, key=lambda p: (p.name, p.architecture))
    ]
    fields = {
        "Format": "1.0",
        **_names(build),
        **_checksums([(p.path.name, p.path) for p in build.packages], md5=True),
        "Build-Origin": ORIGIN,
        "Build-Architecture": "amd64",
        "Build-Path": "/build/tree",
        "Installed-Build-Depends": "\n " + ",\n ".join(installed),
        "Environment": "".join(f'\n {k}="{v}"' for k, v in sorted(environment.items())),
    }
    return dump_control(fields)


def changes(build: Build, files: Mapping[str, Path]) -> bytes:
    """What an upload of the build consists of.

    files: the packages and the .buildinfo, by the names that they have beside the .changes.
    """
    synopses = []
    about = {p.path.name: p.control for p in build.packages}
    for control in about.values():
        short = control.get("Description", "").split("\n")[0]
        synopses.append(f"\n {control['Package']} - {short}")
    lines = ""
    for name, path in files.items():
        control = about.get(name, {})
        section, priority = control.get("Section", "misc"), control.get("Priority", "optional")
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        lines += f"\n {digest} {path.stat().st_size} {section} {priority} {name}"
    suite = build.recipe.suite.name
    made_of = "".join(f"\n   * Built from {o.name} {o.version}." for o in build.origins)
    fields = {
        "Format": "1.8",
        "Date": formatdate(build.epoch).replace("-0000", "+0000"),
        **_names(build),
        "Distribution": suite,
        "Urgency": "medium",
        "Maintainer": build.packages[0].control["Maintainer"],
        "Description": "".join(sorted(synopses)),
        "Changes": f"\n {build.source} ({build.version}) {suite}; urgency=medium\n .{made_of}"
        f"\n   * Built by {ORIGIN} {VERSION}.",
        **_checksums(files.items()),
        "Files": lines,
    }
    return dump_control(fields)


def _names(build: Build) -> dict[str, str]:
    arches = sorted({p.control["Architecture"] for p in build.packages})
    return {
        "Source": build.source,
        "Binary": " ".join(sorted({p.control["Package"] for p in build.packages})),
        "Architecture": " ".join(arches),
        "Version": build.version,
    }


def _checksums(files: Iterable[tuple[str, Path]], *, md5: bool = False) -> dict[str, str]:
    """The fields that list files by digest and size; Files does that with MD5 in a .changes."""
    hashes = ({"Checksums-Md5": "md5"} if md5 else {}) | _HASHES
    fields = dict.fromkeys(hashes, "")
    for name, path in files:
        for field, kind in hashes.items():
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, kind).hexdigest()
            fields[field] += f"\n {digest} {path.stat().st_size} {name}"
    return fields
