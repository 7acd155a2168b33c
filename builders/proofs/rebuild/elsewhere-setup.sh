# SPDX-License-Identifier: GPL-2.0-or-later
# Make what another box has: its locale, another clock, and the library $shim that is its kernel's
# and file system's answers. $clock and $locales: the sources of these packages, which may be absent.
# shellcheck shell=sh disable=SC2154
mkdir -p elsewhere/locales
for package in in/"$clock"/*.deb in/"$locales"/*.deb; do
    test ! -e "$package" || dpkg-deb -x "$package" elsewhere
done
find elsewhere -name libfaketime.so.1 -exec cp {} elsewhere/ \;
gcc -shared -fPIC -O2 -std=gnu99 -DRELEASE="\"$release\"" -o elsewhere/box.so "$shim" -ldl -lpthread
I18NPATH=elsewhere/usr/share/i18n localedef -i "${locale%.*}" -f UTF-8 "elsewhere/locales/$locale"
