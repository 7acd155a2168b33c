# SPDX-License-Identifier: GPL-2.0-or-later
# Puts a package of debugging symbols into the result as it is: nothing of it is stripped, and it
# needs nothing. The globs of a recipe may have put it there already, as any other package.
# Takes: $out the result, $deb a glob that matches one package.
# shellcheck shell=sh disable=SC2086
: "${out:?}" "${deb:?}"
found=
for file in $deb; do
    if [ ! -f "$file" ] || [ -L "$file" ]; then
        echo "error: nothing matches $deb, or it is no plain file"
        exit 1
    fi
    if [ -n "$found" ]; then
        echo "error: two packages match $deb"
        exit 1
    fi
    found=$file
    name=${file##*/}
    cp "$file" "$out/"
    : >"$out/$name.depends"
    rm -f "$out/$name.symbols.tar"
done
