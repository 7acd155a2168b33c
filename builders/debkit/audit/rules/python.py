# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on Python (the Debian Python Policy)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builders.debkit import deb
from builders.debkit.audit.facts import Facts
from builders.debkit.audit.model import Found, Needs, Severity, rule

_MODULES = re.compile(r"/usr/lib/(python[23](?:\.[0-9]+)?)/(dist|site)-packages/(.+)")
_EXTENSION = re.compile(r".*\.cpython-([0-9])([0-9]+)[a-z]*-[^/]*\.so")


@rule(
    "python-cache",
    Severity.WARNING,
    explanation="The package has compiled Python. Each system compiles modules for the Python"
    " that it has: a file of the package is stale after the next upgrade of Python,"
    " and in the way of the new one.",
    reference="Debian Python Policy 3.8 (byte-compilation), py3compile(1)",
    remedy="finish the package: __pycache__ is removed, and py3compile called by postinst",
    needs=Needs.MEMBERS,
)
def _python_cache(facts: Facts) -> Iterator[Found]:
    told: set[str] = set()
    for entry in facts.entries:
        folder = entry.path.rpartition("/__pycache__")[0] or entry.path.rpartition("/")[0]
        cached = "/__pycache__" in entry.path or re.fullmatch(r".*\.py[co]", entry.path)
        if cached and folder not in told:
            told.add(folder)
            yield Found("has compiled Python", folder)


@rule(
    "python-site-packages",
    Severity.ERROR,
    explanation="Debian's Python does not look into site-packages below /usr/lib: the modules are"
    " not found.",
    reference="Debian Python Policy 2.5 (module path)",
    remedy="install with --install-layout=deb, or move the modules to dist-packages",
    needs=Needs.MEMBERS,
)
def _python_site_packages(facts: Facts) -> Iterator[Found]:
    told: set[str] = set()
    for entry in facts.entries:
        match = _MODULES.fullmatch(entry.path)
        if match and match[2] == "site" and match[1] not in told:
            told.add(match[1])
            yield Found(
                "is where Debian's Python does not look", f"/usr/lib/{match[1]}/site-packages"
            )


@rule(
    "python-dependency",
    Severity.WARNING,
    explanation="The package has Python modules and does not depend on Python; or it has modules"
    " that are compiled for one version, and no bounds on that (Depends: python3 (<<"
    " 3.12), python3 (>= 3.11)), so that they break with the next.",
    reference="Debian Python Policy 3.4 (dependencies), dh_python3(1)",
    remedy="state the relation that dh_python3 computes under depends in the recipe's corrections",
    needs=Needs.MEMBERS,
)
def _python_dependency(facts: Facts) -> Iterator[Found]:
    depends = facts.relations("Depends", "Pre-Depends")
    # Up to Debian 10 the package python was Python 2.
    python = [n for n in depends if re.match(r"(lib)?python[23]|python(-minimal)?$|pypy", n)]
    if facts.name.startswith(("python3", "libpython3", "python2", "libpython2")) and any(
        re.match(r"(lib)?python[23]\.", name) for name in (facts.name, *python)
    ):
        return
    modules: str = ""
    versions: dict[str, str] = {}
    for entry in facts.entries:
        if not deb.is_file(entry) or not _MODULES.fullmatch(entry.path):
            continue
        modules = modules or entry.path
        match = _EXTENSION.fullmatch(entry.path)
        if match:
            versions.setdefault(f"{match[1]}.{match[2]}", entry.path)
    if modules and not python:
        if not any(f"= {facts.control.get('Version')}" in limits for limits in depends.values()):
            yield Found("is a Python module, but Depends names no Python", modules)
        return
    if len(versions) != 1 or any(re.match(r"(lib)?python3\.[0-9]", name) for name in python):
        return
    for version, path in versions.items():
        limits = " ".join(depends.get("python3", ())) + " ".join(depends.get("python3-minimal", ()))
        if "<<" not in limits and "<" not in limits:
            yield Found(f"is for Python {version}, but Depends: python3 has no upper bound", path)
