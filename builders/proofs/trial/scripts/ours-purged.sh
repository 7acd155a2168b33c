# SPDX-License-Identifier: GPL-2.0-or-later
# Names and versions of packages are lists of words, which cases.variables sets.
# shellcheck shell=sh disable=SC2086,SC2154
# What was replaced has left its configuration, and is purged where the other one runs.
get purge $names
for package in $names; do
    ! dpkg-query --status "$package" >/dev/null 2>&1 || echo "! dpkg still knows $package"
done
whole
