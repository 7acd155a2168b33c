# SPDX-License-Identifier: GPL-2.0-or-later
# untar: $1 is a tarball, $2 where what is in its one top folder goes. An archive of another form
# would lose the first part of each name if that were cut without a look.
# shellcheck shell=sh disable=SC2015,SC2086
export XZ_DEFAULTS=-T0
untar() {
    mkdir -p "$2" "$2.top"
    tar -C "$2.top" --no-same-owner -xf "$1"
    top=$(ls -A "$2.top")
    if [ -z "$top" ] || [ ! -d "$2.top/$top" ] || [ -L "$2.top/$top" ]; then
        echo "error: ${1##*/} has not one folder at its top, but: $(echo $top | cut -c -200)"
        exit 1
    fi
    # Nothing is there but what another archive has put there.
    rmdir "$2" 2>/dev/null && mv "$2.top/$top" "$2" || cp -a "$2.top/$top/." "$2/"
    chmod 755 "$2"
    rm -rf "$2.top"
}
