# SPDX-License-Identifier: GPL-2.0-or-later
# Names and versions of packages are lists of words, which cases.variables sets.
# shellcheck shell=sh disable=SC2086,SC2154
get install $exact
dpkg --audit | sed 's/^/! /'
for package in $names; do
    test -n "$(installed "$package")" || echo "! apt did not install $package"
done
dpkg --verify $names | grep -v '^[^ ]* c ' | sed 's/^/! differs from the package: /'
