# SPDX-License-Identifier: GPL-2.0-or-later
# Puts packages into the result, with what each needs as dpkg-shlibdeps(1) of the suite sees it, and
# with its files as symbols.sh, which stands before it, separates them.
# Takes: $work, $out the result, $debs the packages as globs, $first the first of them, which has
# to match.
# shellcheck shell=sh disable=SC2086
: "${work:?}" "${out:?}" "${debs:?}" "${first:?}"
mkdir -p "$out" "$work/elf/debian"
printf 'Source: raw\n\nPackage: raw\nArchitecture: any\n' >"$work/elf/debian/control"
cp "$work/epoch" "$out/epoch"
for deb in $debs; do
    if [ ! -e "$deb" ] && [ ! -L "$deb" ]; then
        echo "nothing matches $deb"
        continue
    fi
    echo "reading $deb"
    name=${deb##*/}
    if [ ! -f "$deb" ] || [ -L "$deb" ]; then
        echo "error: $deb is no plain file"
        exit 1
    fi
    if [ -e "$out/$name" ]; then
        echo "error: two packages are called $name"
        exit 1
    fi
    cp "$deb" "$out/"
    rm -rf "$work/elf/tree" "$work/elf/depends"
    dpkg-deb -x "$deb" "$work/elf/tree"
    (
        cd "$work/elf" || exit 1
        find tree -path tree/lib/modules -prune -o -path tree/usr/lib/debug -prune -o \
            -type f ! -name '*.o' ! -name '*.ko' -print0 |
            perl -0ne '
                chomp; open F, "<", $_ or next; read F, $b, 4;
                print "$_\0" if $b eq "\x7fELF"' >files
        libraries=$(find tree -name '*.so*' -printf '%h\n' | sort -u)
        # dpkg before 1.17 has no -l, and looks where the run-time linker would
        if dpkg-shlibdeps --help | grep -q '^ *-l'; then
            look=$(test -z "$libraries" || printf -- '-l%s ' $libraries)
        else
            look=
            LD_LIBRARY_PATH=$(printf '%s:' $libraries)
            export LD_LIBRARY_PATH="${LD_LIBRARY_PATH%:}"
        fi
        touch depends
        # both read tree/ only, so that two processors work at once
        if test -s files; then
            xargs -0 dpkg-shlibdeps --ignore-missing-info --warnings=0 -O $look <files >depends &
            needs=$!
        else
            needs=
        fi
        symbols "$(cat "$work/epoch")" "$out/$name.symbols.tar"
        test -z "$needs" || wait "$needs"
        # xargs may have run it more than once: a line each
        sed -n 's/^shlibs:Depends=//p' depends | tr '\n' ',' >"$out/$name.depends"
    )
done
test -n "$(ls "$out"/*.deb 2>/dev/null)" || { echo "error: no package: $debs"; exit 1; }
for deb in $first; do
    test -e "$deb" || { echo "error: nothing matches $first"; exit 1; }
done
