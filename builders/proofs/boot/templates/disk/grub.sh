# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh # run by /proof/run, which has `ask`
# The boot loader as the suite's installer leaves it: on the disk, with a menu of what is in /boot.
ask grub grub-install /dev/vda
ask menu update-grub
