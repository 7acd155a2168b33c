# SPDX-License-Identifier: GPL-2.0-or-later
# Applies a quilt series to the tree. Takes: $work and $tree.
# shellcheck shell=sh
: "${work:?}" "${tree:?}"
cd "$tree" || exit 1
grep -v '^[[:space:]]*\(#\|$\)' "$work/patches/series" | while read -r name _; do
    echo "applying $name"
    patch -p1 --fuzz=0 --batch --forward --no-backup-if-mismatch <"$work/patches/$name"
done
