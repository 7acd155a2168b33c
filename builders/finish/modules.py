# SPDX-License-Identifier: GPL-2.0-or-later
"""What depmod(8) writes beside a kernel's modules goes with the kernel (Policy 6.8)."""

from __future__ import annotations

import posixpath
import re

from builders.finish.work import Work

_FOLDER = re.compile(r"((?:/usr)?/lib/modules/([A-Za-z0-9.+~_-]+))(/.*)?")

# The kernel's own files are gone by then, and dpkg has looked for empty directories.
_GONE = """\
if [ "$1" = "remove" ]; then
    rm -f {folder}/modules.*
    rmdir {folder} {parent} 2>/dev/null || true
fi
"""


def correct(work: Work) -> None:
    """Have a package with a kernel clean its modules' directory when it is removed.

    depmod runs when the kernel is installed, or when an initramfs is first made for it.
    """
    paths = work.paths()
    folders = {m[1]: m[2] for path in paths if (m := _FOLDER.fullmatch(path))}
    for folder, version in sorted(folders.items()):
        if {f"/boot/vmlinuz-{version}", f"/boot/vmlinux-{version}"} & paths:
            parent = posixpath.dirname(folder)
            work.snippets.append(("postrm", _GONE.format(folder=folder, parent=parent)))
