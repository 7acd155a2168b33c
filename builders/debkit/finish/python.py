# SPDX-License-Identifier: GPL-2.0-or-later
"""Python modules as Debian's Python Policy wants them, and dh_python3(1) makes them."""

from __future__ import annotations

import re

from builders.debkit.finish.work import Work

_MODULES = re.compile(
    r"/usr/lib/python(?P<version>(?P<major>[23])(\.\d+)?)/(site|dist)-packages(?=/)"
)
_CACHE = re.compile(r"/__pycache__(/|$)|\.py[co]$")
_EXTENSION = re.compile(r"\.cpython-3(\d{1,4})[a-z]*-[^/]*\.so$")
_ANY = re.compile(r"(^|[\s,|])python3:any\b")  # as dh_python3(1) writes it

# As debhelper's: -p compiles what dpkg lists of the package, and nothing of others. In postinst
# and prerm, of each version of the language.
_TOOLS = {"2": ("pycompile", "pyclean"), "3": ("py3compile", "py3clean")}
_CALL = """\
if command -v {tool} >/dev/null 2>&1; then
    {tool} -p {package}
fi
"""


def caches(work: Work) -> set[str]:
    """Compiled files, which every box makes for its own interpreter (Python Policy 2.6)."""
    return {entry.path for entry in work.entries if _CACHE.search(entry.path)}


def correct(work: Work) -> None:
    """Modules in dist-packages, compiled where they are installed, with a python3 that fits.

    - All public modules are in /usr/lib/python3/dist-packages, those of Python 2 in that folder of
      their version: Python Policy 2.5.
    - An extension module is for one version of the interpreter, so that the package needs that
      one: python3 (>= 3.11~), python3 (<< 3.12); else any python3 does: Python Policy 3.2. What
      Python 2 is called in a suite the recipe says.
    - postinst compiles what the package has, prerm removes that again: py3compile(1), or
      pycompile(1). Where it does already, only the name of a package that is renamed is corrected
      there.
    """
    versions: set[int] = set()
    majors: set[str] = set()
    for entry in work.kept:
        path = work.path(entry)
        match = _MODULES.match(path + "/")
        if not match:
            continue
        version = "3" if match["major"] == "3" else match["version"]
        home = f"/usr/lib/python{version}/dist-packages"
        if match[0] != home and not entry.info.isdir():
            work.moved[entry.path] = path = home + path[match.end() :]
        elif match[0] != home:
            work.removed.add(entry.path)
        if path.endswith(".py"):
            majors.add(match["major"])
        if extension := _EXTENSION.search(path):
            versions.add(int(extension[1]))
    if versions:
        work.depends.append(f"python3 (>= 3.{min(versions)}~)")
        work.depends.append(f"python3 (<< 3.{max(versions) + 1})")
    elif "3" in majors and not _ANY.search(work.package.control.get("Depends", "")):
        work.depends.append("python3")
    _rename(work)
    for major in sorted(majors):
        tools = _TOOLS[major]
        if re.search(rb"\b%b\b" % tools[0].encode(), work.control_file("postinst")):
            continue
        for script, tool in zip(("postinst", "prerm"), tools, strict=True):
            work.snippets.append((script, _CALL.format(tool=tool, package=work.name)))


def _rename(work: Work) -> None:
    """What dh_python3(1) wrote asks dpkg for the package's files by its name."""
    old = re.escape(work.package.control.get("Package", "").encode())
    call = re.compile(rb"\b(py(?:py)?3?(?:compile|clean) -p )%b(?=[\s:])" % old)
    for script in ("postinst", "prerm"):
        text = work.control_file(script)
        new = call.sub(lambda match: match[1] + work.name.encode(), text)
        if new != text:
            work.control_files[script] = new
