# SPDX-License-Identifier: GPL-2.0-or-later
# Every tag of every package $@ in $folder, whatever a person's own configuration says.
# $options: of lintian(1), words.
# shellcheck shell=sh disable=SC2086,SC2154
cd "$folder" || exit
lintian --no-cfg --color never --show-overrides $options "$@"
