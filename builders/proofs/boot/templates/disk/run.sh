#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What a proof asks of the system comes on a second disk, which is a tar: its run.sh is run, with
# the folder of its files as the current one. The answers go to the console, between marks.
exec </dev/null >/dev/console 2>&1
dmesg --console-level 1
# systemd(1), SIGRTMIN+21: what its jobs do would come between what a proof says.
kill -55 1
mkdir -p /var/tmp/proof
cd /var/tmp/proof || exit
tar --extract --file=/dev/vdb

# shellcheck disable=SC2317 # for run.sh
ask() {
    name=$1
    shift
    echo "@@begin $name"
    "$@" 2>&1
    echo "@@end $name $?"
}
# shellcheck source=/dev/null
. ./run.sh
cd /
rm -rf /var/tmp/proof
sync
echo "@@off"
