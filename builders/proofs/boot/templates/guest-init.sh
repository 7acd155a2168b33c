#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The first process of a guest in the boot proof: it tells what it was given, and stays.
/bin/busybox mkdir -p /proc /sys /dev /bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
dmesg -n 1
for module in /modules/*; do
    if test -e "$module"; then insmod "$module"; fi
done
# The front end finds its devices a moment after the kernel is up.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    test -e /sys/class/net/eth0 && break
    usleep 200000
done
for device in /sys/bus/pci/devices/*; do
    test -e "$device" || continue
    echo "@@card ${device##*/} $(cat "$device/vendor") $(cat "$device/device")" \
        "$(basename "$(readlink "$device/driver")")"
done
echo "@@net $(cd /sys/class/net && echo *)"
echo "@@up $(uname -r)"
while :; do sleep 60; done
