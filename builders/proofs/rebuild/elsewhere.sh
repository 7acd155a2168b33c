# SPDX-License-Identifier: GPL-2.0-or-later
# Whether this is another box: one that is not would prove nothing. variation.py sets the values that
# are to be, and what the box was before: $real (its clock), $here (its processors), $last (in /etc).
# shellcheck shell=sh disable=SC2154
is() {
    echo "$1: $2"
    test "$2" = "$3" || {
        echo "error: elsewhere the $1 has to be $3, and it is $2"
        exit 1
    }
}
late() {
    by=$(($(date +%s) - real))
    echo "clock ahead by: $by"
    if test "$by" -lt "$seconds" || test "$by" -ge "$((seconds + 600))"; then
        echo "error: elsewhere the clock has to be $seconds seconds ahead, not $by"
        exit 1
    fi
}
is 'host name' "$(uname -n)" "$hostname"
is user "$(id -un)" "$user"
is 'number of the user' "$(id -u)" "$uid"
is home "$(cd && pwd)" "$home"
is folder "$PWD" "$work"
is umask "$(umask)" "$umask"
is 'time zone' "$(date +%z)" +1400
is 'decimal point' "$(locale decimal_point)" ,
is 'order of letters' "$(printf 't\nz\n' | sort | tr -d '\n')" zt
is 'release of the kernel' "$(uname -r)" "$release"
# shellcheck disable=SC2012 # the order of the folder is what is looked at
is 'first in /etc' "$(ls -U /etc | head -n 1)" "$last"
is 'number of cores' "$(nproc)" "$((here + 1))"
is 'number of processors' "$(getconf _NPROCESSORS_ONLN)" "$((here + 1))"
late
