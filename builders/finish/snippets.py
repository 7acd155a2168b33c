# SPDX-License-Identifier: GPL-2.0-or-later
"""Shell lines that corrections put into maintainer scripts (Policy 6), as debhelper(7) does."""

from __future__ import annotations

import re

from builders.finish.work import Work
from builders.progress import printable

# With which first argument a script's lines run (Policy 6.5).
_WHEN = {
    "preinst": ("install", "upgrade"),
    "postinst": ("configure", "abort-upgrade", "abort-deconfigure", "abort-remove"),
    "prerm": ("remove", "upgrade", "deconfigure"),
    "postrm": ("remove", "purge", "abort-install", "abort-upgrade"),
}
_BEGIN = "# Automatically added by dom0-debs\n"
_END = "# End automatically added section\n"


def correct(work: Work) -> None:
    """Join the lines that the corrections want with the package's own scripts.

    postinst: after the package's own; prerm: before it, in the other order, as what was set up
    last is to be taken down first.
    """
    _note_old_name(work)
    for script in _WHEN:
        lines = [text for name, text in work.snippets if name == script]
        if not lines:
            continue
        before = script in ("prerm", "postrm")
        body = "".join(reversed(lines) if before else lines)
        old = work.control_file(script).decode("utf-8", "surrogateescape")
        joined = _joined(script, old, body, before=before)
        if joined is None:
            first = printable(old.partition("\n")[0])
            work.notes.append(f"{script} begins with {first}: nothing was added to it")
            continue
        work.control_files[script] = joined.encode("utf-8", "surrogateescape")


def _note_old_name(work: Work) -> None:
    """Say which scripts may look for a package that was renamed under its old name."""
    name = work.package.control.get("Package", "")
    if name == work.name or not name:
        return
    for script in _WHEN:
        text = work.control_file(script).decode("utf-8", "replace")
        if re.search(rf"(?<![\w./+-]){re.escape(name)}(?![\w.+-])", text):
            work.notes.append(f"{script} names {printable(name)}, which is {work.name} now")


def _joined(script: str, old: str, body: str, *, before: bool) -> str | None:
    """The script with `body` in it; None where it is not for a shell."""
    when = " || ".join(f'[ "$1" = "{each}" ]' for each in _WHEN[script])
    indented = "".join(f"    {line}\n" if line else "\n" for line in body.splitlines())
    # debhelper(7)'s marks: lintian and people tell by them what no person wrote.
    block = f"{_BEGIN}if {when}; then\n{indented}fi\n{_END}"
    if not old.strip():
        return f"#!/bin/sh\nset -e\n\n{block}"
    first, _, rest = old.partition("\n")
    if not first.startswith(("#!/bin/sh", "#! /bin/sh", "#!/bin/bash", "#! /bin/bash")):
        return None
    if before:
        return f"{first}\n{block}{rest}"
    # An "exit 0" at the end would leave out what comes after it.
    kept = rest.rstrip().removesuffix("exit 0").rstrip()
    return f"{first}\n{kept}\n\n{block}\nexit 0\n" if kept else f"{first}\nset -e\n\n{block}"
