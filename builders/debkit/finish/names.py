# SPDX-License-Identifier: GPL-2.0-or-later
"""What a package's file is called."""

from __future__ import annotations


def file_name(package: str, version: str, architecture: str, suffix: str = ".deb") -> str:
    """package_version_architecture.deb, without the epoch of the version (dpkg-name(1))."""
    return f"{package}_{version.partition(':')[2] or version}_{architecture}{suffix}"
