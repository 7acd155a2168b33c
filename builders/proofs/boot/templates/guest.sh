# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=busybox
# Run by dom0 after its own questions: a guest is made, given the card, started again, taken away.
# The guest's kernel is dom0's; its initramfs is made here.
cd /guest/root || return
mkdir -p bin sbin
cp /bin/busybox bin/
printf '#!/bin/busybox sh\nexec /bin/busybox reboot -f\n' >sbin/reboot
printf '#!/bin/busybox sh\necho "@@asked to power off" >/dev/console\nexec /bin/busybox poweroff -f\n' >sbin/poweroff
chmod 755 init sbin/reboot sbin/poweroff
# An HVM guest reads it through ports: fewer bytes are less time.
find . | cpio -o -H newc 2>/dev/null | gzip -1 >/guest/initrd
cd /
log=/var/log/xen/console/guest-proof.log
tool=$(cat /guest/toolstack) # xl, or xm of Xen before 4.5
# That of Xen 4.2 stays in the foreground where the first process starts it.
sh -c 'xenconsoled --log=guest --log-dir=/var/log/xen/console --pid-file=/run/xen/xenconsoled.pid; :'
patience=$(cat /guest/patience) # seconds that anything may take

# The rest is a command that is asked until it holds.
wait_for() {
    until "$@"; do
        test "$(cut -d. -f1 /proc/uptime)" -lt "$until" || return 1
        sleep 1
    done
}
in_time() {
    until=$(($(cut -d. -f1 /proc/uptime) + patience))
    wait_for "$@"
}
has_come_up() {
    test "$(grep -c '@@up' "$log" 2>/dev/null)" = "$1"
}
is_gone() {
    ! $tool domid "$1" >/dev/null 2>&1
}
# $1: how often the guest has come up by then. What it said that time.
up() {
    in_time has_come_up "$1" || return
    tr -d '\r' <"$log" | awk -v life="$1" '/@@/ { if (n == life - 1) print } /@@up/ { n++ }'
}
# The ways in which the kernel can reset each hidden card, the one that it takes first.
resets() {
    while read -r address; do cat "/sys/bus/pci/devices/$address/reset_method"; done </boot/hidden
}

ask virt sh -c "xl info | grep virt_caps"
ask reset resets
assignable=pci-assignable-list
if test "$tool" = xm; then
    assignable=pci-list-assignable-devices
    echo 'root:x:0:0:root:/:/bin/sh' >/etc/passwd
    mkdir -p /var/run/xend /var/lib/xend/domains /var/lib/xend/state
    ask xend /etc/init.d/xend start
    ask xm-list xm list
fi
ask dry-run "$tool" create -n /guest/proof.cfg
ask create "$tool" create /guest/proof.cfg
if is_gone proof; then
    # What xl says of a device model that ended is a number.
    ask model cat /var/log/xen/qemu-dm-proof.log
    return
fi
ask first up 1
ask given "$tool" pci-list proof
# xend starts no guest again that ran for less than a minute.
if test "$tool" = xm; then sleep 60; fi
ask reboot "$tool" reboot proof
ask second up 2
ask given-again "$tool" pci-list proof
ask destroy "$tool" destroy proof
ask destroyed in_time is_gone proof
ask returned "$tool" "$assignable"
ask bound drivers

# As the machine goes down, the service has to end the guests in good order.
ask again "$tool" create /guest/proof.cfg
ask third up 3
if test -x /usr/lib/xen/bin/xendomains; then xendomains=/usr/lib/xen/bin/xendomains; else xendomains=/etc/init.d/xendomains; fi
if test -e /proof/no-save; then sed -i 's/^XENDOMAINS_SAVE=.*/XENDOMAINS_SAVE=""/' /etc/default/xendomains; fi
ask xendomains "$xendomains" stop
# xl of Xen 4.2 takes a guest off its list a moment after it ended.
until=$(($(cut -d. -f1 /proc/uptime) + 15))
wait_for is_gone proof
ask left "$tool" list
ask ended grep 'asked to power off' "$log"
ask saved ls /var/lib/xen/save
