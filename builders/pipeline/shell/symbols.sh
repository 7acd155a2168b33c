# SPDX-License-Identifier: GPL-2.0-or-later
# As dh_strip(1): $1 is an ELF file below tree/, sym/ gets its path without what no one needs to run
# it, and its debugging information by its build id. What cannot be stripped stays.
# symbols: $1 is the time of all its files, $2 the tar that it writes; files lists tree/'s ELF files.
# shellcheck shell=sh disable=SC2086
compress=
if objcopy --help | grep -q -e --compress-debug-sections; then
    compress=--compress-debug-sections
fi
archives=
if strip --help | grep -q -e --enable-deterministic-archives; then
    archives=--enable-deterministic-archives
fi
debug=sym/debug/usr/lib/debug
by_id() {
    id=$(readelf -n "$1" 2>/dev/null | sed -n 's/^ *Build ID: *\([0-9a-f]*\)$/\1/p' | head -n 1)
    rest=${id#??}
    test -z "$id" || echo "usr/lib/debug/.build-id/${id%"$rest"}/$rest.debug"
}
debugging() {
    readelf -S -W "$1" 2>/dev/null | grep -q ' \.z\{0,1\}debug_info '
}
separate() {
    # An executable has an interpreter or is static, whatever its ELF type.
    how='--remove-section=.comment'
    if readelf -l -W "$1" 2>/dev/null | grep -q '^ *DYNAMIC '; then
        how="$how --remove-section=.note"
        readelf -l -W "$1" | grep -q '^ *INTERP ' || how="$how --strip-unneeded"
    fi
    readelf -S -W "$1" | grep -q ' \.symtab \| \.z\{0,1\}debug_' || return 0
    new=sym/stripped/${1#tree/}
    mkdir -p "${new%/*}"
    if ! strip $how -o "$new" "$1"; then
        echo "not stripped: $1"
        rm -f "$new"
        return 0
    fi
    debugging "$1" || return 0
    path=$(by_id "$1")
    file=sym/debug/${path:-usr/lib/debug/${1#tree/}.debug}
    mkdir -p "${file%/*}"
    if [ ! -e "$file" ]; then
        objcopy --only-keep-debug $compress "$1" "$file"
        chmod 644 "$file"
    fi
    objcopy --add-gnu-debuglink="$file" "$new"
}
# What a package has in /usr/lib/debug already goes whole, and a link from its name to it.
keep() {
    readelf -h "$1" >/dev/null 2>&1 || return 0
    name=${1#tree/}
    name=${name#usr/lib/debug/}
    path=$(by_id "$1")
    mkdir -p "$debug/$(dirname "$name")"
    if [ -n "$path" ]; then
        path=${path#usr/lib/debug/}
        mkdir -p "$debug/${path%/*}"
        objcopy $compress "$1" "$debug/$path"
        chmod 644 "$debug/$path"
        case $name in
            */*) path=$(dirname "$name" | sed 's,[^/][^/]*,..,g')/$path ;;
        esac
        ln -s "$path" "$debug/$name"
    else
        cp "$1" "$debug/$name"
        chmod 644 "$debug/$name"
    fi
}
symbols() {
    rm -rf sym
    mkdir -p sym/stripped sym/debug
    # Only what is linked: e_type 2 and 3 (elf(5)), in the byte order of the suite's machine.
    perl -0ne '
        chomp; open F, "<", $_ or next; read(F, $b, 18) == 18 or next;
        $t = unpack "S", substr($b, 16); print "$_\n" if $t == 2 || $t == 3' files |
        while read -r file; do
        case $file in
            tree/boot/*) ;;
            *) separate "$file" ;;
        esac
    done
    find tree -path '*/modules' -prune -o -type f -name 'lib*.a' -print | while read -r file; do
        new=sym/stripped/${file#tree/}
        mkdir -p "${new%/*}"
        strip --strip-debug --remove-section=.comment $archives -o "$new" "$file" || rm -f "$new"
    done
    find tree/usr/lib/debug tree/boot -type f 2>/dev/null | while read -r file; do
        case $file in
            tree/usr/lib/debug/* | tree/boot/xen-syms*) keep "$file" ;;
        esac
    done
    if [ -n "$(find sym -type f)" ]; then
        (cd sym && find . -type f -o -type l) | LC_ALL=C sort |
            tar -C sym --owner=0 --group=0 --numeric-owner --mtime="@$1" --no-recursion \
                --format=gnu -T - -cf "$2"
    fi
}
