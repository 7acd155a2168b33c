# SPDX-License-Identifier: GPL-2.0-or-later
# Run in the suite's builder with its GRUB: $out/$name becomes an image that UEFI starts, which reads
# /boot/grub/grub.cfg of the disk that it came from. efi.py sets the variables.
# shellcheck shell=sh disable=SC2154
set -e
mkdir -p "$out"
grub-mkimage --format=x86_64-efi --prefix=/boot/grub --output="$out/$name" \
    boot configfile fat gzio multiboot2 normal part_gpt part_msdos
