# SPDX-License-Identifier: GPL-2.0-or-later
# Names and versions of packages are lists of words, which cases.variables sets.
# shellcheck shell=sh disable=SC2086,SC2154
get install $exact
for package in $names; do
    test -n "$(installed "$package")" || echo "! apt did not install $package"
done
dpkg --audit | sed 's/^/! /'
if test -s /tmp/changed; then
    read -r file </tmp/changed
    grep -q '^# changed by a person' "$file" || echo "! the change in $file is lost"
    echo "= the change in $file is kept"
fi
files | grep '^/etc/' | while read -r f; do
    test "$f" != "$(cat /tmp/changed 2>&-)" || continue
    # shellcheck disable=SC2012 # dpkg chose the names
    ls "$f".dpkg-* 2>&- | sed 's/^/! a question about a file that nobody changed: /'
done
