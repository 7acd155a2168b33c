# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh # run by /proof/run, which has `ask`
# The boot loader as the suite's installer leaves it: on the disk, with a menu of what is in /boot.
# Where no variable of the firmware names it, UEFI takes the file of a removable disk.
mount /boot/efi
ask grub grub-install --target=i386-pc /dev/vda
ask grub-efi grub-install --target=x86_64-efi --removable --no-nvram
ask menu update-grub
