# SPDX-License-Identifier: GPL-2.0-or-later
# Names and versions of packages are lists of words, which cases.variables sets.
# shellcheck shell=sh disable=SC2086,SC2154
# dpkg(1): a line for each file that is not what the package's md5sums say.
dpkg --verify $names | sed 's/^/! differs from the package: /'
echo "= $(files | wc -l) files and folders"
