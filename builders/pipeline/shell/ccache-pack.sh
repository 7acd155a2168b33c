# SPDX-License-Identifier: GPL-2.0-or-later
# Packs what ccache has, to be carried elsewhere. Of what is larger than the limit a part is carried;
# the volume keeps the rest. A build of another run may be at work there: tar says with the status 1
# that a file changed or went, and ccache knows an entry that is not whole by its checksum.
# Takes: $work, $out the result, $limit of what is carried in MiB, $name of the tar.
# shellcheck shell=sh
: "${work:?}" "${out:?}" "${limit:?}" "${name:?}"
from=/ccache
if [ "$(du -sm /ccache | cut -f1)" -gt "$limit" ]; then
    from=$work/ccache
    cp -a /ccache "$from" || [ -d "$from" ]
    CCACHE_DIR="$from" CCACHE_MAXSIZE="${limit}M" ccache --cleanup >/dev/null
fi
mkdir -p "$out"
tar -C "$from" -cf "$out/$name" . || [ $? -eq 1 ]
