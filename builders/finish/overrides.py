# SPDX-License-Identifier: GPL-2.0-or-later
"""What lintian(1) is told not to say of a package, each with the reason for it."""

from __future__ import annotations

from builders.deb import Added
from builders.finish.work import Work


def correct(work: Work) -> None:
    """Ship the verb `overrides` in /usr/share/lintian/overrides, the reason above each line."""
    text = ""
    for override in work.corrections.overrides:
        reason = " ".join(override.reason.split())
        context = f" {override.context}" if override.context else ""
        text += f"# {reason}\n{work.name}: {override.tag}{context}\n"
    if text:
        work.add.append(Added(f"/usr/share/lintian/overrides/{work.name}", text.encode()))
