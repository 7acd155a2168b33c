# SPDX-License-Identifier: GPL-2.0-or-later
# Makes a kept tree the one that is to be built: what is gone goes, what changed comes, with the time
# of now, so that make(1) sees it. Packages of the last build and what was read of them go too.
# Takes: $work, $tree and $debs, globs of the packages in the tree. $work/kept/ has gone.list, paths
# that end in a NUL, and changed.tar.
# shellcheck shell=sh disable=SC2086
: "${work:?}" "${tree:?}" "${debs?}"
rm -rf "$work/out" "$work/elf"
cd "$tree" || exit 1
rm -f $debs
xargs -0 -r rm -f -- <"$work/kept/gone.list"
tar -C "$work" -x -m --no-same-owner --recursive-unlink -f "$work/kept/changed.tar"
