# SPDX-License-Identifier: GPL-2.0-or-later
# Writes $work/changes.patch: what makes the tree as it was, $work/a, the one that it is now, without
# what compilers and patch(1) leave. Takes: $work, $tree, and $most, the bytes that are wanted.
# shellcheck shell=sh
: "${work:?}" "${tree:?}" "${most:?}"
cd "$work" || exit 1
mv "$tree" b
{
    LC_ALL=C diff -ruN --no-dereference \
        -x '*.o' -x '*.a' -x '*.so' -x '*.so.*' -x '.*.d' -x '*.cmd' -x '*.rej' -x '*.orig' a b || :
} | head -c "$((most + 1))" | LC_ALL=C sed '/^Binary files .* differ$/d' >changes.patch
mv b "$tree"
