# SPDX-License-Identifier: GPL-2.0-or-later
# The names under which apt keeps what it would download for the packages $@, a line each.
# $options: of apt-get(8), words.
# shellcheck shell=sh disable=SC2086,SC2154
apt-get install --yes -o Dir::Cache::Archives=/none $options --print-uris --quiet=2 -- "$@" |
    sed -n "/^'file:/d; s/^'[^']*' \([^ ]*\) .*/\1/p"
