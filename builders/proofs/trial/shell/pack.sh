# SPDX-License-Identifier: GPL-2.0-or-later
# The clean root in $root becomes the archive $packed for piuparts(1). In a user namespace nobody
# makes devices: files are in their place, which the jail binds. $folders: what it mounts there.
# Numbers for owners, as the judge's own users are others.
# shellcheck shell=sh disable=SC2086,SC2154
cd "$root" || exit
rm -rf dev .dockerenv
mkdir -p dev proc $folders
for name in null zero full random urandom tty console; do : >"dev/$name"; done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for name in stdin:0 stdout:1 stderr:2; do ln -s "fd/${name#*:}" "dev/${name%:*}"; done
tar --create --numeric-owner . | gzip -1 >"$packed"
rm -rf "$root"
