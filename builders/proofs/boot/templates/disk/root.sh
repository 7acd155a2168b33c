#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Run as the root of a user namespace, with a clean root of the suite as a tar on standard input:
# it becomes a file system in a file, without a mount. $1: a folder of its own, with the files of
# this folder in it; $2: where in the file the file system begins, in bytes; $3: its size in KiB.
set -e
cd "$1"
mkdir root
# No namespace makes devices: the kernel makes them when it boots (devtmpfs).
tar --extract --preserve-permissions --numeric-owner --exclude='./dev/*' --file=- --directory=root
cp "$(find root/boot -name 'vmlinuz-*' | head -n 1)" vmlinuz
cp "$(find root/boot -name 'initrd.img-*' | head -n 1)" initrd
chmod 644 vmlinuz initrd
mkdir -p root/proof root/etc/default/grub.d
install -m 755 init.sh root/proof/init
install -m 755 run.sh root/proof/run
install -m 644 proof.service root/etc/systemd/system/proof.service
mkdir -p root/etc/systemd/system/multi-user.target.wants
ln -s ../proof.service root/etc/systemd/system/multi-user.target.wants/proof.service
# A prompt for a name would come between what a proof says.
ln -s /dev/null root/etc/systemd/system/serial-getty@.service
install -m 644 serial.cfg root/etc/default/grub.d/serial.cfg
mkdir root/boot/efi
cat >root/etc/fstab <<EOF
/dev/vda2 / ext4 errors=remount-ro 0 1
/dev/vda3 /boot/efi vfat umask=0077 0 0
EOF
echo host >root/etc/hostname
truncate -s $(($2 / 1024 + $3 + 1024))K disk # at the end is the second GPT
mke2fs -q -F -t ext4 -E "offset=$2" -d root disk "$3k"
chmod 644 disk
rm -rf root
