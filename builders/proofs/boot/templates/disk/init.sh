#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The first process where the disk is booted for work on it, without systemd.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec </dev/null >/dev/console 2>&1
mount -o remount,rw /
/proof/run
sync
mount -o remount,ro /
echo o >/proc/sysrq-trigger
sleep 60
