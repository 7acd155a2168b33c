# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# The modules that lie where python looks, each imported by the python of its folder.
files | sed -n 's|^/usr/lib/\(python[0-9.]*\)/dist-packages/\(.*\)$|\1 \2|p' |
    sed -n -e 's|/__init__\.py$||p' -e 's|\.py$||p' -e 's|\(\.cpython-[^/]*\)\{0,1\}\.so$||p' |
    sort -u | grep -v ' .*[^A-Za-z0-9_/.]' | tr / . >/tmp/modules
while read -r python module; do
    command -v "$python" >/dev/null || { echo "! there is no $python for $module"; continue; }
    said=$(cd / && "$python" -c "import $module" 2>&1) ||
        echo "! $python: import $module: $(echo "$said" | tail -n 1)"
done </tmp/modules
echo "= $(grep -c . /tmp/modules) modules"
