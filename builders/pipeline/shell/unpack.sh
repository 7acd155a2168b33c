# SPDX-License-Identifier: GPL-2.0-or-later
# Unpacks the tree of a source and notes its date, after untar.sh.
# Takes: $work the folder of all, $tree where the tree goes, $source the source's name.
# A Debian source package gives its upstream tarball, a linux-source package the tarball inside.
# There is one such file, whose name is plain.
# shellcheck shell=sh disable=SC2010
: "${work:?}" "${tree:?}" "${source:?}"
unpack() {
    file=$(ls "$1"/*.orig.tar.?z* 2>/dev/null | grep -v '\.asc$' || ls "$1"/*)
    case $file in
        *.deb)
            dpkg-deb -x "$file" "$1.x"
            file=$(ls "$1".x/usr/src/*.tar.*) ;;
    esac
    untar "$file" "$2"
    rm -rf "$1.x"
}
unpack "$work/in/$source" "$tree"
# The newest file tells when the source was made; the same for everyone.
find "$tree" -type f -printf '%T@\n' | sort -n | tail -n 1 | cut -d. -f1 >"$work/epoch"
