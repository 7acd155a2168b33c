# SPDX-License-Identifier: GPL-2.0-or-later
"""Places that are empty after a boot: no package has a file there (Policy 9.1.4, 10.6)."""

from __future__ import annotations

IN_MEMORY = ("/run", "/var/run", "/var/lock")  # a service makes what it needs, at each start
VOLATILE = (*IN_MEMORY, "/tmp", "/var/tmp", "/dev", "/proc", "/sys")  # noqa: S108  # names alone


def beneath(path: str, places: tuple[str, ...]) -> str:
    """The one of `places` that a path lies in, not that it is itself; "" for none."""
    return next((place for place in places if path.startswith(f"{place}/")), "")
