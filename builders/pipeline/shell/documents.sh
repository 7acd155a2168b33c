# SPDX-License-Identifier: GPL-2.0-or-later
# The documents that every package of this source has: what a Debian source package says of its
# copyright (Policy 12.5), else what the tree says; and upstream's own list of changes.
# Takes: $work, $tree, $out where they go, and $source, which may be empty.
# shellcheck shell=sh
: "${work:?}" "${tree:?}" "${out:?}" "${source?}"
mkdir -p "$out"
for file in "$work/in/$source"/*.debian.tar.*; do
    test ! -e "$file" || tar -xOf "$file" debian/copyright >"$out/copyright" || true
done
for file in "$tree/debian/copyright" "$tree/COPYING" "$tree/LICENSE"; do
    test -s "$out/copyright" || test ! -s "$file" || cp "$file" "$out/copyright"
done
for file in "$tree/CHANGELOG.md" "$tree/ChangeLog" "$tree/NEWS"; do
    test -e "$out/changelog" || test ! -s "$file" || cp "$file" "$out/changelog"
done
test -s "$out/copyright" || rm -f "$out/copyright"
chmod -f 644 "$out/copyright" "$out/changelog" || true
