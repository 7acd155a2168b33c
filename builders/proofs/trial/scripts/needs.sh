# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
satisfy
snapshot >/tmp/before
dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' | grep '^installed' |
    LC_ALL=C sort >/tmp/packages
echo "= $(grep -c . /tmp/packages) packages of the suite"
