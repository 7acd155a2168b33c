# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# Policy 9.3: an init script has links in the run levels. systemd.unit(5): a unit with an
# [Install] section is enabled, or deb-systemd-helper(1p) was told of it and left it disabled.
count=0
for script in $(files | grep '^/etc/init.d/.'); do
    name=${script##*/}
    count=$((count + 1))
    ls /etc/rc[S0-6].d/[SK][0-9][0-9]"$name" >/dev/null 2>&1 ||
        echo "! $script is in no run level"
done
echo "= $count init scripts"
count=0
for unit in $(files | grep -E '^(/usr)?/lib/systemd/system/[^/]*[.][a-z]+$'); do
    name=${unit##*/}
    grep -q '^.Install' "$unit" || continue
    count=$((count + 1))
    told=no
    for file in /etc/systemd/system/*/"$name" \
        /var/lib/systemd/deb-systemd-helper-enabled/"$name".dsh-also; do
        test ! -e "$file" -a ! -L "$file" || told=yes
    done
    test $told = yes || echo "! $unit can be enabled, and systemd was not told of it"
done
echo "= $count units"
