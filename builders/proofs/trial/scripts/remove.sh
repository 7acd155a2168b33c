# SPDX-License-Identifier: GPL-2.0-or-later
# Names and versions of packages are lists of words, which cases.variables sets.
# shellcheck shell=sh disable=SC2086,SC2154
# Only configuration may stay: in /etc, and what the services kept in /var.
get remove $names
for package in $names; do
    test -z "$(installed "$package")" || echo "! $package is still installed"
done
snapshot >/tmp/removed
comm -13 /tmp/before /tmp/removed | grep -Ev '^(/etc|/var)/|^/var/lib ' | cut -d' ' -f1,2 |
    sed 's/^/! is left after remove: /'
comm -23 /tmp/before /tmp/removed | grep -v '^/etc/' | sed 's/^/! is gone after remove: /'
