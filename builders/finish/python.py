# SPDX-License-Identifier: GPL-2.0-or-later
"""Python modules as Debian's Python Policy wants them, and dh_python3(1) makes them."""

from __future__ import annotations

import re

from builders.finish.work import Work

_MODULES = re.compile(r"/usr/lib/python3(\.\d+)?/(site|dist)-packages(?=/)")
_HOME = "/usr/lib/python3/dist-packages"
_ANY = re.compile(r"(^|[\s,|])python3:any\b")  # as dh_python3(1) writes it
_CACHE = re.compile(r"/__pycache__(/|$)|\.py[co]$")
_EXTENSION = re.compile(r"\.cpython-3(\d+)[a-z]*-[^/]*\.so$")

# As debhelper's: -p compiles what dpkg lists of the package, and nothing of others.
_COMPILE = """\
if command -v py3compile >/dev/null 2>&1; then
    py3compile -p {package}
fi
"""
_CLEAN = """\
if command -v py3clean >/dev/null 2>&1; then
    py3clean -p {package}
fi
"""


def caches(work: Work) -> set[str]:
    """Compiled files, which every box makes for its own interpreter (Python Policy 2.6)."""
    return {entry.path for entry in work.entries if _CACHE.search(entry.path)}


def correct(work: Work) -> None:
    """Modules in dist-packages, compiled where they are installed, with a python3 that fits.

    - All public modules are in /usr/lib/python3/dist-packages: Python Policy 2.5.
    - An extension module is for one version of the interpreter, so that the package needs that
      one: python3 (>= 3.11~), python3 (<< 3.12); else any python3 does: Python Policy 3.2.
    - postinst compiles what the package has, prerm removes that again: py3compile(1). Where it
      does already, nothing is added.
    """
    versions: set[int] = set()
    modules = False
    for entry in work.kept:
        path = work.path(entry)
        match = _MODULES.match(path + "/")
        if not match:
            continue
        if match[0] != _HOME and not entry.info.isdir():
            work.moved[entry.path] = path = _HOME + path[match.end() :]
        elif match[0] != _HOME:
            work.removed.add(entry.path)
        modules = modules or path.endswith(".py")
        if extension := _EXTENSION.search(path):
            versions.add(int(extension[1]))
    if versions:
        work.depends.append(f"python3 (>= 3.{min(versions)}~)")
        work.depends.append(f"python3 (<< 3.{max(versions) + 1})")
    elif modules and not _ANY.search(work.package.control.get("Depends", "")):
        work.depends.append("python3")
    if modules and b"py3compile" not in work.control_file("postinst"):
        work.snippets.append(("postinst", _COMPILE.format(package=work.name)))
        work.snippets.append(("prerm", _CLEAN.format(package=work.name)))
