# SPDX-License-Identifier: GPL-2.0-or-later
# Names and versions of packages are lists of words, which cases.variables sets.
# shellcheck shell=sh disable=SC2086,SC2154
get install $exact
for package in $names; do
    test -n "$(installed "$package")" || echo "! apt did not install $package"
done
dpkg --audit | sed 's/^/! /'
dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' | grep '^installed' |
    LC_ALL=C sort >/tmp/after
comm -23 /tmp/packages /tmp/after | sed 's/^installed /! it removed /'
