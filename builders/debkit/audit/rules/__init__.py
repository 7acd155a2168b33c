# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules, a module for each thing that they are about."""

from builders.debkit.audit.rules import (
    boot,
    conffiles,
    control,
    depends,
    documents,
    elf,
    files,
    links,
    metadata,
    package,
    paths,
    python,
    scripts,
    sums,
    traces,
)

__all__ = [
    "boot",
    "conffiles",
    "control",
    "depends",
    "documents",
    "elf",
    "files",
    "links",
    "metadata",
    "package",
    "paths",
    "python",
    "scripts",
    "sums",
    "traces",
]
