# SPDX-License-Identifier: GPL-2.0-or-later
# Names and versions of packages are lists of words, which cases.variables sets.
# shellcheck shell=sh disable=SC2086,SC2154
get install $exact
get purge $names
packages="$(theirs installed) $(theirs config-files)"
get purge $packages
dpkg --audit | sed 's/^/! /'
for package in $names $packages; do
    ! dpkg-query --status "$package" >/dev/null 2>&1 || echo "! dpkg still knows $package"
done
find / -xdev \( -path /proc -o -path /trial -o -path /downloads -o -path /tmp \
    -o -path /var/lib/apt -o -path /var/cache/apt \) -prune -o -path '*/xen*' -print |
    sed 's/^/! is left: /'
