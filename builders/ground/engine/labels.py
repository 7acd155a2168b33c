# SPDX-License-Identifier: GPL-2.0-or-later
"""The labels on everything that this tool makes in an engine, by which it finds only its own."""

from __future__ import annotations

LABEL = "org.dom0-debs"


def labels(owner: str, recipe: str, role: str) -> dict[str, str]:
    """The labels of one container or volume: whose it is, and what for."""
    about = {"owner": owner, "recipe": recipe, "role": role}
    return {f"{LABEL}.{key}": value for key, value in about.items()}
