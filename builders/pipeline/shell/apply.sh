# SPDX-License-Identifier: GPL-2.0-or-later
# Applies patches that are sources to the tree, each as strictly as those of a series.
# Takes: $work, $tree and $patches, the names of the sources, in order.
# shellcheck shell=sh
: "${work:?}" "${tree:?}" "${patches:?}"
cd "$tree" || exit 1
for name in $patches; do
    for file in "$work/in/$name"/*; do
        echo "applying $name"
        patch -p1 --fuzz=0 --batch --forward --no-backup-if-mismatch <"$file"
    done
done
