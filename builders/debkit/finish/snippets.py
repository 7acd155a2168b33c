# SPDX-License-Identifier: GPL-2.0-or-later
"""Shell lines that corrections put into maintainer scripts (Policy 6), as debhelper(7) does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from builders.debkit.deb.scripts import code_lines, interpreter, open_documents, shell_of
from builders.debkit.finish.work import Work
from builders.text import printable

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
        new = joined(script, old, body, before=before)
        if new is None:
            first = printable(old.partition("\n")[0])
            work.notes.append(f"{script} begins with {first}: nothing could be added to it")
            continue
        work.control_files[script] = new.encode("utf-8", "surrogateescape")


def _note_old_name(work: Work) -> None:
    """Say which scripts may look for a package that was renamed under its old name."""
    name = work.package.control.get("Package", "")
    if name == work.name or not name:
        return
    for script in _WHEN:
        text = work.control_file(script).decode("utf-8", "replace")
        if re.search(rf"(?<![\w./+-]){re.escape(name)}(?![\w.+-])", text):
            work.notes.append(f"{script} names {printable(name)}, which is {work.name} now")


def joined(script: str, old: str, body: str, *, before: bool) -> str | None:
    """The script with `body` in it; None where it is not for a shell, or nothing can be added."""
    when = " || ".join(f'[ "$1" = "{each}" ]' for each in _WHEN[script])
    indented = "".join(f"    {line}\n" if line else "\n" for line in body.splitlines())
    # debhelper(7)'s marks: lintian and people tell by them what no person wrote.
    block = f"{_BEGIN}if {when}; then\n{indented}fi\n{_END}"
    if not old.strip():
        return f"#!/bin/sh\nset -e\n\n{block}"
    content = old.encode("utf-8", "surrogateescape")
    program = interpreter(content)
    if not shell_of(content) or (program is not None and program.fault()):
        return None
    # One without a first line is sh's already, by way of execvp(3).
    first, _, rest = old.partition("\n") if program is not None else ("#!/bin/sh", "", old)
    if before:
        return f"{first}\n{block}{rest}"
    if not "".join(line for _, line in code_lines(rest)).strip():
        return f"{first}\nset -e\n{rest.rstrip()}\n\n{block}".replace("\n\n\n", "\n\n")
    shell = shutil.which(shell_of(content)) or "/bin/sh"
    kept = _to_its_end(rest, shell)
    if kept is not None:
        return f"{first}\n{kept}\n\n{block}\nexit 0\n" if kept else f"{first}\nset -e\n\n{block}"
    return _apart(first, rest, block, shell)


# What may leave a script before its end, put another program in its place, or take its arguments
# away. A status other than 0 is a failure, after which nothing is to run.
_LEAVES = re.compile(
    r"(?:^|[\s;&|({`!])(?:exec|trap|return|shift|set\s+--)(?![\w-])|\bexit\b(?!\s+[1-9])"
)
_GOES_ON = re.compile(r"(?:\\|\|\||&&|\||[({])\s*$")


def _to_its_end(rest: str, shell: str) -> str | None:
    """The script without an "exit 0" at its end; None where it may not come to its end.

    Only what is certain: no word that leaves it, but for that line of its own, on which nothing
    before it depends.
    """
    text = rest.rstrip()
    lines = list(code_lines(text))
    last = text.count("\n") + 1
    if lines and lines[-1] == (last, "exit 0"):
        lines.pop()
        text = text.removesuffix("exit 0").rstrip()
    if any(_LEAVES.search(line) for _, line in lines) or open_documents(rest):
        return None
    lines = [(number, line) for number, line in lines if line.strip()]
    if lines and _GOES_ON.search(lines[-1][1]):
        return None
    return text if _is_whole(text, shell) else None


# What debconf needs at the top: it runs the script again, below its frontend.
_CONFMODULE = re.compile(r"(?:\.|source)\s+\S*/debconf/confmodule\b")
_APART = """\
# The package's own script, in a shell of its own: it may end anywhere.
(
{rest}
)
status=$?
if [ "$status" -ne 0 ]; then
    exit "$status"
fi
"""


def _apart(first: str, rest: str, block: str, shell: str) -> str | None:
    """The package's own part in a subshell, so that what comes after it runs all the same.

    It keeps its own way to stop at failures, which "|| exit" after it would take away (sh(1), set
    -e), and its exit status counts. None where that would make another script of it.
    """
    head = ""
    sources = [(n, line) for n, line in code_lines(rest) if _CONFMODULE.search(line)]
    if sources:
        number, line = sources[0]
        lines = rest.split("\n")
        head, rest = "\n".join(lines[:number]) + "\n", "\n".join(lines[number:])
        if not _CONFMODULE.match(line) or not _is_whole(head, shell) or _LEAVES.search(head):
            return None
    words = "".join(f"\n{word}" for word in open_documents(rest))
    joined = f"{head}{_APART.format(rest=rest.rstrip() + words)}\n{block}\nexit 0\n"
    return f"{first}\n{joined}" if _is_whole(rest, shell) and _is_whole(joined, shell) else None


def _is_whole(text: str, shell: str) -> bool:
    """Whether a shell takes this for all of a script (sh(1) -n runs nothing of it)."""
    try:
        done = subprocess.run(
            [shell, "-n"],
            input=text.encode("utf-8", "surrogateescape"),
            capture_output=True,
            timeout=10,
            check=False,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return not done.returncode
