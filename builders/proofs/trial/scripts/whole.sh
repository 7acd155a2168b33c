# SPDX-License-Identifier: GPL-2.0-or-later
# Names and versions of packages are lists of words, which cases.variables sets.
# shellcheck shell=sh disable=SC2086,SC2154
# What stands in for the other one's packages, and whether it is all there: files, init scripts that
# can run and are in a run level, the folder of logs that Debian's postinst makes.
theirs() {
    dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' 'xen*' 'libxen*' 2>&- |
        sed -n "s/^$1 //p" | grep -vxF "$(echo $names | tr ' ' '\n')" || :
}
whole() {
    dpkg --audit | sed 's/^/! /'
    test -n "$(installed $rival)" || echo "! apt did not install $rival"
    packages=$(theirs installed)
    dpkg --verify $packages | grep -v '^[^ ]* c ' | sed 's/^/! differs from the package: /'
    for script in $(dpkg-query --listfiles $packages | grep '^/etc/init.d/.'); do
        test -x "$script" || echo "! $script can't run"
        ls /etc/rc[S0-6].d/[SK][0-9][0-9]"${script##*/}" >/dev/null 2>&1 ||
            echo "! $script is in no run level"
    done
    test -d /var/log/xen || echo "! there is no /var/log/xen"
    echo "= $(echo $packages | wc -w) packages of theirs"
}
