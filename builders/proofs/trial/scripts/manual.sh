# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
files | grep '^/usr/share/man/.*[0-9][^/]*$' >/tmp/pages || :
while read -r page; do
    test -f "$page" || continue
    test "$(MANWIDTH=80 man --local-file "$page" 2>&- | wc -c)" -gt 100 ||
        echo "! man can't show $page"
    name=${page##*/}
    name=${name%.gz}
    man --where "${name##*.}" "${name%.*}" >/dev/null 2>&1 || echo "! man does not find $page"
done </tmp/pages
echo "= $(grep -c . /tmp/pages) pages"
