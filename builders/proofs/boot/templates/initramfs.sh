# SPDX-License-Identifier: GPL-2.0-or-later
# Run in the suite's builder: $work/in has the package of Xen, and that of busybox where it is needed;
# $out/$name becomes the initramfs. ldd(1) asks the suite's own loader which files a program would
# get. initramfs.py sets the variables, and the function that lists the paths in the package.
# shellcheck shell=sh disable=SC2154
set -e
mkdir -p "$work/initrd/bin" "$work/tree" "$out"
cd "$work/tree"
for deb in "$work"/in/*.deb; do dpkg-deb -x "$deb" .; done
busybox=$(find . -name busybox -type f -perm -1 | head -n 1)
if test -n "$busybox"; then cp "$busybox" "$work/initrd/bin/busybox"; fi
libraries=$(find "$PWD" -name '*.so*' ! -type d -printf '%h\n' | sort -u | tr '\n' ':')
# pthread_cancel(3) loads it at run time.
set -- "$(find /lib /usr/lib -name libgcc_s.so.1 | head -n 1)"
# Python's modules are many, and no programs: they are copied at once.
copied() {
    sed 's,^/,,' | cpio --pass-through --make-directories --dereference --quiet "$work/initrd"
}
# shellcheck disable=SC2046
printf '%s\n' $(taken) | grep '\.py$' | copied
# shellcheck disable=SC2086 # globs of the suite
printf '%s\n' $beside | grep '\.pyc$' | (cd / && copied)
for path in $(taken); do
    test -e ".$path" || continue
    case $path in *.py) continue ;; esac
    mkdir -p "$work/initrd${path%/*}"
    cp -L ".$path" "$work/initrd$path"
    # A word for each library. What ldd says of a script goes nowhere.
    # shellcheck disable=SC2046
    set -- "$@" $(LD_LIBRARY_PATH="$libraries" ldd ".$path" 2>/dev/null | grep -o '/[^ )]*' || :)
    if LD_LIBRARY_PATH="$libraries" ldd ".$path" 2>/dev/null | grep 'not found'; then
        echo "error: $path needs a library that the suite's builder has not got"
        exit 1
    fi
done
for path in $beside; do
    test -e "$path" || continue
    case $path in *.pyc) continue ;; esac
    mkdir -p "$work/initrd${path%/*}"
    cp -L "$path" "$work/initrd$path"
    # shellcheck disable=SC2046
    set -- "$@" $(ldd "$path" 2>/dev/null | grep -o '/[^ )]*' || :)
done
for library in "$@"; do
    target="$work/initrd${library#"$PWD"}"
    mkdir -p "${target%/*}"
    cp -L "$library" "$target"
done
cd "$work/initrd"
find . -exec touch -h -d @0 {} +
find . -print0 | LC_ALL=C sort -z |
    cpio --null --create --format=newc --reproducible --owner=0:0 --quiet | gzip -9n >"$out/$name"
