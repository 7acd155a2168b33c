# SPDX-License-Identifier: GPL-2.0-or-later
"""Conffiles and links that a correction takes away: dpkg would keep them (Policy 10.7.3, 6.6)."""

from __future__ import annotations

import re

from builders.debkit.deb.paths import folder_of, folders_above
from builders.debkit.deb.since import has_symlink_to_dir
from builders.debkit.deb.suites import tools
from builders.debkit.finish.work import Work
from builders.text import printable

# dpkg looks for its empty folder while it still has the file aside.
_TIDY = """\
if [ -d {folder} ]; then
    rmdir --ignore-fail-on-non-empty {folder}
fi
"""
# What dpkg-maintscript-helper(1) symlink_to_dir does, which came with dpkg 1.17.14.
_BY_HAND = {
    "preinst": """\
if [ -n "${{2:-}}" ] && [ -h {path} ] && [ "$(readlink {path})" = "{link}" ] &&
    dpkg --compare-versions "$2" le-nl "{version}~"; then
    mv -f {path} {path}.dpkg-backup
fi
""",
    "postinst": """\
if [ "$1" = "configure" ] && [ -h {path}.dpkg-backup ]; then
    rm -f {path}.dpkg-backup
fi
""",
    "postrm": """\
if [ -h {path}.dpkg-backup ]; then
    case "$1" in
        purge) rm -f {path}.dpkg-backup ;;
        abort-install | abort-upgrade) [ -e {path} ] || mv {path}.dpkg-backup {path} ;;
    esac
fi
""",
}


def correct(work: Work) -> None:
    """What the raw package lists as a conffile, and the verbs `move` and `remove` took, goes.

    On a host that has the raw package, dpkg-maintscript-helper(1) moves it within /etc, with what
    an administrator changed; one that left /etc is removed, and kept as .dpkg-bak where it was
    changed. Its folder goes with it, where it is empty then.

    A link whose place a directory takes goes first: dpkg would keep it, and unpack through it.
    """
    if work.name != work.package.control.get("Package"):
        return  # another package to dpkg: what it replaces is purged on its own
    _opened(work)
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
        folder = folder_of(entry.path)
        if folder not in there:
            work.snippets.append(("postinst", _TIDY.format(folder=folder)))


def _opened(work: Work) -> None:
    folders = folders_above(work.paths())
    for entry in work.entries:
        if not entry.info.issym() or entry.path not in folders:
            continue
        if not re.fullmatch(r"[\w./+:@-]+", entry.path + entry.info.linkname, re.ASCII):
            work.notes.append(f"{printable(entry.path)} stays a link on hosts that have it")
            continue
        if not has_symlink_to_dir(tools(work.beside.suite)):
            words = {"path": entry.path, "link": entry.info.linkname, "version": work.version}
            work.snippets += [(script, text.format(**words)) for script, text in _BY_HAND.items()]
            continue
        what = f"symlink_to_dir {entry.path} {entry.info.linkname} {work.version}~"
        line = f'dpkg-maintscript-helper {what} -- "$@"\n'
        work.snippets += [(script, line) for script in ("preinst", "postinst", "postrm")]
