# SPDX-License-Identifier: GPL-2.0-or-later
# Names and versions of packages are lists of words, which cases.variables sets.
# shellcheck shell=sh disable=SC2086,SC2154
# Tests leave no trace of their own; apt asks nothing and keeps a changed file of /etc, as
# unattended-upgrades(8) does. What it and maintainer scripts print is indented: no line of theirs
# is taken for one of a case.
export PYTHONDONTWRITEBYTECODE=1
get() {
    { status=$({ { apt-get --yes --no-install-recommends -o Dpkg::Options::=--force-confdef \
        -o Dpkg::Options::=--force-confold "$@" </dev/null 3>&- 4>&- || echo $? >&3; } 2>&1 |
        sed --unbuffered 's/^/  /' >&4; } 3>&1); } 4>&1
    return "${status:-0}"
}
installed() {
    dpkg-query --show --showformat='${db:Status-Status} ${Package} ${Version}\n' "$1" 2>&- |
        sed -n 's/^installed //p'
}
files() {
    for package in $names; do dpkg-query --listfiles "$package"; done | LC_ALL=C sort -u
}

# All that a package could leave behind: files with owner and mode, what /etc says, the
# linker's libraries, what dpkg was told of. Not what apt, dpkg and their triggers keep.
snapshot() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp \
        -o -path /trial -o -path /downloads -o -path /var/lib/apt -o -path /var/cache/apt \
        -o -path /var/cache/debconf -o -path /var/cache/man -o -path /var/cache/ldconfig \
        -o -path '/var/log/*' -o -path /var/lib/dpkg -o -path /etc/ld.so.cache \) -prune \
        -o -printf '%p %y %m %u:%g %l\n' | LC_ALL=C sort
    find /etc /var/lib/dpkg/alternatives /var/lib/dpkg/diversions /var/lib/dpkg/statoverride \
        -xdev -type f ! -name ld.so.cache ! -name '*-' -exec md5sum {} + |
        awk '{ print $2 " has the digest " $1 }' | LC_ALL=C sort
    ldconfig -p | tail -n +2 | sed 's/^[[:space:]]*/in the cache of ld.so: /' | LC_ALL=C sort
}

# elf(5): dynamic files for this machine, with what they are; nothing of them is run.
elf() {
    files | grep -v '^/usr/lib/debug/' | perl -ne '
        chomp; next if -l $_ or !-f $_; open my $f, "<:raw", $_ or next;
        my $head; next if read($f, $head, 64) != 64 or substr($head, 0, 6) ne "\x7fELF\2\1";
        my ($type, $machine) = unpack "v2", substr $head, 16;
        next if $machine != 62 || $type != 2 && $type != 3;
        my ($at, $size, $count) = (unpack("Q<", substr $head, 32), unpack "v2", substr $head, 54);
        my %has;
        for my $n (0 .. $count - 1) {
            seek $f, $at + $n * $size, 0; read $f, my $part, 4; $has{unpack "V", $part} = 1;
        }
        next unless $has{2};
        print $has{3} ? "program" : m{/lib[^/]*\.so[^/]*$} ? "library" : "module", " $_\n"'
}
