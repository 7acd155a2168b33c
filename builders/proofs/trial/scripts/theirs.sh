# SPDX-License-Identifier: GPL-2.0-or-later
# Names and versions of packages are lists of words, which cases.variables sets.
# shellcheck shell=sh disable=SC2086,SC2154
get install $rival
dpkg --audit | sed 's/^/! /'
for package in $rival; do
    test -n "$(installed "$package")" || echo "! apt did not install $package"
done
