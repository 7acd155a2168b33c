# SPDX-License-Identifier: GPL-2.0-or-later
# Names and versions of packages are lists of words, which cases.variables sets.
# shellcheck shell=sh disable=SC2086,SC2154
get purge $names
for package in $names; do
    ! dpkg-query --status "$package" >/dev/null 2>&1 || echo "! dpkg still knows $package"
done
snapshot >/tmp/purged
comm -13 /tmp/before /tmp/purged | sed 's/^/! is left after purge: /'
comm -23 /tmp/before /tmp/purged | sed 's/^/! is gone after purge: /'
