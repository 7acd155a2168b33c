#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The first process of dom0 in the boot proof. What it finds goes to the console, each answer
# between two marks; checks.py reads them.
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /bin /var/run /var/log/xen/console /var/lib/xen \
    /var/lib/xenstored /var/lock
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LD_LIBRARY_PATH=/usr/lib:/usr/lib64
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
ln -s /proc/self/fd /dev/fd
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
mkdir -p /run/xen /run/xenstored /run/lock /var/run/xen /var/run/xenstored /var/lib/xen/dump
dmesg -n 1

ask() {
    name=$1
    shift
    echo "@@begin $name"
    "$@" 2>&1
    echo "@@end $name $?"
}
# What the kernel has as modules; their names say in which order.
load() {
    for module in /modules/*; do
        if test -e "$module"; then insmod "$module" || return; fi
    done
}
driver() {
    basename "$(readlink "/sys/bus/pci/devices/$1/driver")"
}
option() {
    if test -e /proc/config.gz; then zcat /proc/config.gz; else cat /boot/config; fi |
        grep -w "$1"
}
begin() {
    # Backgrounded by itself; the socket tells that it answers.
    xenstored --pid-file /run/xen/xenstored.pid
    # Where xl of Xen 4.2 looks.
    ln -sf /run/xen/xenstored.pid /var/run/xenstored.pid
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        test -S /run/xenstored/socket && break
        test -S /var/run/xenstored/socket && break
        usleep 200000
    done
    if test -x /usr/lib/xen/bin/xen-init-dom0; then
        /usr/lib/xen/bin/xen-init-dom0
    else
        xenstore-write /local/domain/0/name Domain-0 /local/domain/0/domid 0
    fi
}

echo "@@dom0"
ask modules load
mount -t xenfs xenfs /proc/xen
ask uname uname -r
ask begin begin
ask info xl info
ask list xl list
ask option option CONFIG_XEN_PCIDEV_BACKEND
ask assignable xl pci-assignable-list
ask hidden driver 0000:00:04.0
ask other driver 0000:00:05.0
for script in /proof/*.sh; do
    # shellcheck source=/dev/null # what a proof lays over the initramfs
    if test -e "$script"; then . "$script"; fi
done
echo "@@off"
poweroff -f
