# SPDX-License-Identifier: GPL-2.0-or-later
"""What is in memory while the box runs, and so no package can hold (Policy 9.1.4)."""

from __future__ import annotations

from builders.debkit.deb import Added
from builders.debkit.deb.places import IN_MEMORY, beneath
from builders.debkit.finish.members import below, unwanted
from builders.debkit.finish.work import Work

_TODAY = (("/var/run/", "/run/"), ("/var/lock/", "/run/lock/"))

# As debhelper's dh_installtmpfiles(1).
_CREATE = """\
if [ -x "$(command -v systemd-tmpfiles)" ]; then
    systemd-tmpfiles ${{DPKG_ROOT:+--root="$DPKG_ROOT"}} --create {file} || true
fi
"""


def volatile(work: Work) -> set[str]:
    """All members below /run, /var/run and /var/lock."""
    return {entry.path for entry in work.entries if beneath(f"{entry.path}/", IN_MEMORY)}


def correct(work: Work) -> None:
    """Directories of /run are made at each boot instead, by tmpfiles.d(5).

    What the verbs `remove` and `discard` name is not. A package that brings a tmpfiles.d of its
    own is taken to know what it needs.
    """
    lines = []
    gone = below(work.entries, unwanted(work, []))
    for entry in work.entries:
        path = entry.path + "/"
        if not beneath(path, IN_MEMORY) or entry.path in gone:
            continue
        for old, new in _TODAY:
            path = path.replace(old, new, 1) if path.startswith(old) else path
        path = path.rstrip("/")
        if path in (*IN_MEMORY, "/run/lock"):
            continue
        if not entry.info.isdir():
            work.notes.append(f"{entry.path} is not shipped: /run is empty at each boot")
            continue
        mode = entry.info.mode & 0o7777
        lines.append(f"d {path} {mode:04o} root root -\n")
    if lines and not any(p.startswith("/usr/lib/tmpfiles.d/") for p in work.paths()):
        file = f"{work.name}.conf"
        text = "# Made at each boot (tmpfiles.d(5)).\n" + "".join(sorted(set(lines)))
        work.add.append(Added(f"/usr/lib/tmpfiles.d/{file}", text.encode()))
        work.snippets.append(("postinst", _CREATE.format(file=file)))
