# SPDX-License-Identifier: GPL-2.0-or-later
# Programs that start where there is no hypervisor: `start`, with the path of one, its argument and
# what it must say, for each; then `started`.
# shellcheck shell=sh disable=SC2086,SC2317
count=0
start() {
    test -x "$1" || return 0
    said=$(timeout 10 "$1" $2 </dev/null 2>&1 || :)
    if echo "$said" | grep -q "$3"; then
        count=$((count + 1))
    else
        echo "! $1 $2 says: $(echo "$said" | tail -n 1)"
    fi
}
started() {
    echo "= $count programs start"
}
