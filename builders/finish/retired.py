# SPDX-License-Identifier: GPL-2.0-or-later
"""Conffiles that a correction takes away: dpkg itself would keep the old ones (Policy 10.7.3)."""

from __future__ import annotations

import posixpath
import re

from builders.finish.work import Work
from builders.progress import printable

# dpkg looks for its empty folder while it still has the file aside.
_TIDY = """\
if [ -d {folder} ]; then
    rmdir --ignore-fail-on-non-empty {folder}
fi
"""


def correct(work: Work) -> None:
    """What the raw package lists as a conffile, and the verbs `move` and `remove` took, goes.

    On a host that has the raw package, dpkg-maintscript-helper(1) moves it within /etc, with what
    an administrator changed; one that left /etc is removed, and kept as .dpkg-bak where it was
    changed. Its folder goes with it, where it is empty then.
    """
    if work.name != work.package.control.get("Package"):
        return  # another package to dpkg: what it replaces is purged on its own
    text = work.package.control_files.get("conffiles", b"").decode("utf-8", "surrogateescape")
    listed = set(text.split("\n"))
    there = work.paths()
    for entry in work.entries:
        new = work.moved.get(entry.path, entry.path)
        gone = entry.path in work.removed
        if entry.path not in listed or not (gone or new != entry.path):
            continue
        if not re.fullmatch(r"[\w./+:@-]+", entry.path + new, re.ASCII):
            work.notes.append(f"conffile {printable(entry.path)} stays on hosts that have it")
            continue
        if gone or not new.startswith("/etc/"):
            what = f"rm_conffile {entry.path}"
        else:
            what = f"mv_conffile {entry.path} {new}"
        line = f'dpkg-maintscript-helper {what} {work.version}~ -- "$@"\n'
        work.snippets += [(script, line) for script in ("preinst", "postinst", "postrm")]
        folder = posixpath.dirname(entry.path)
        if folder not in there:
            work.snippets.append(("postinst", _TIDY.format(folder=folder)))
