# SPDX-License-Identifier: GPL-2.0-or-later
# piuparts(1) on the packages $@, in a jail of $size whose trees lie in $trees. It ends after $hours.
# $options: of the way that is tried, words.
# shellcheck shell=sh disable=SC2086,SC2154
timeout --kill-after=60 "${hours}h" python3 -I "$jail" judge "$size" python3 -I "$jail" piuparts \
    --basetgz "$root" --keep-sources-list --no-eatmydata --tmpdir "$trees" \
    --distribution "$suite" --bindmount "$folder" --bindmount "$downloads" \
    --warn-on-others $options "$@"
