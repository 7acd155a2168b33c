# SPDX-License-Identifier: GPL-2.0-or-later
"""What lintian(1) is told not to say of a package, each with the reason for it."""

from __future__ import annotations

from builders.debkit.deb import Added
from builders.debkit.finish.work import Work, is_plain


def correct(work: Work) -> None:
    """Ship the verb `overrides` in /usr/share/lintian/overrides, the reason above each line.

    They come below those that the package has.
    """
    text = ""
    for override in work.corrections.overrides:
        reason = " ".join(override.reason.split())
        context = f" {override.context}" if override.context else ""
        text += f"# {reason}\n{work.name}: {override.tag}{context}\n"
    if not text:
        return
    path = f"/usr/share/lintian/overrides/{work.name}"
    there = next((e for e in work.kept if work.path(e) == path and is_plain(e)), None)
    if there is None:
        work.add.append(Added(path, text.encode()))
    else:
        before = work.read([there.path]).get(there.path, b"")
        work.replaced[there.path] = (before.rstrip() + b"\n" if before else b"") + text.encode()
