# SPDX-License-Identifier: GPL-2.0-or-later
# Download into $downloads what apt would install for the packages $@, one run at a time.
# $options: of apt-get(8), words.
# shellcheck shell=sh disable=SC2086,SC2154
mkdir -p "$downloads/partial"
exec 9>"$downloads/.lock"
flock 9
apt-get install --yes -o "Dir::Cache::Archives=$downloads" -o Debug::NoLocking=1 $options \
    --download-only -- "$@"
