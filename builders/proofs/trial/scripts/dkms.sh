# SPDX-License-Identifier: GPL-2.0-or-later
# Names and versions of packages are lists of words, which cases.variables sets.
# shellcheck shell=sh disable=SC2086,SC2154
# Modules from source, as dkms(8) makes them when a kernel is installed: ours, then the suite's.
get install $exact initramfs-tools gcc || { echo "! apt did not install $exact"; exit 0; }
# Their scripts compile for each kernel whose headers are there, and fail where that fails.
get install $dkms || :
release=$(files | sed -n 's|^/usr/src/linux-headers-\([^/]*\)/Makefile$|\1|p' | head -n 1)
config=/usr/src/linux-headers-$release/.config
mkdir /tmp/own
printf 'obj-m := own.o\n' >/tmp/own/Makefile
printf '#include <linux/module.h>\nMODULE_LICENSE("GPL");\n' >/tmp/own/own.c
if ! make -C "/lib/modules/$release/build" M=/tmp/own modules >/tmp/said 2>&1; then
    echo "! a module of one line does not compile with the headers of $release"
    grep -i -m 5 -e error -e 'not found' /tmp/said | sed 's/^/! /'
fi
# Whether a module of the suite compiles with the suite's own headers. It may not: a stable release
# of the kernel can change what a module of the suite was written for.
suits() {
    get install $own_headers || :
    own=$(find /usr/src -maxdepth 1 -name 'linux-headers-*-amd64' ! -name "*$release" |
        sed 's|.*/linux-headers-||' | head -n 1)
    test -n "$own" && dkms build -m "$1" -v "$2" -k "$own" </dev/null 2>&1 | sed 's/^/  /'
    dkms status -m "$1" -v "$2" -k "$own" | grep -q -e built -e installed
}
made() {
    module=$1
    file=$2
    option=$3
    if ! grep -q "^$option=[my]" "$config"; then
        echo "= $module: not tried, as the kernel has no $option"
        return
    fi
    version=$(find /usr/src -maxdepth 1 -name "$module-*" | sed "s|.*/$module-||")
    log=/var/lib/dkms/$module/$version/build/make.log
    if test "$(modinfo -k "$release" -F vermagic "$file" 2>&1 | cut -d ' ' -f 1)" = "$release"; then
        echo "= $module $version"
        return
    fi
    sed 's/^/  /' "$log"
    cp "$log" /tmp/log
    if suits "$module" "$version"; then
        echo "! $module $version does not compile with the headers of $release"
        grep -i -m 5 -e error -e undefined /tmp/log | sed 's/^/! /'
    else
        echo "= $module $version does not compile, and with the suite's own headers ($own) neither"
    fi
}
made v4l2loopback v4l2loopback CONFIG_VIDEO_DEV
made lttng-modules lttng-tracer CONFIG_TRACEPOINTS
