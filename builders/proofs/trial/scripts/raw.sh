# SPDX-License-Identifier: GPL-2.0-or-later
# Names and versions of packages are lists of words, which cases.variables sets.
# shellcheck shell=sh disable=SC2034,SC2086,SC2154
# The raw package may not have declared its files in /etc; a person has changed one, and left
# the others.
names=$raw_names
get install $raw
file=$(files | grep -E '^/etc/.*[.](conf|cfg|sxp)$' | head -n 1)
test -n "$file" || { echo "= nothing to change in /etc"; exit 0; }
echo '# changed by a person' >>"$file"
echo "$file" >/tmp/changed
echo "= $file"
