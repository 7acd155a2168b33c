# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# ld.so(8): lists what it would load; with LD_WARN and LD_BIND_NOW also symbols that nothing
# has. A module takes symbols from the program that loads it.
ld=/lib64/ld-linux-x86-64.so.2
elf >/tmp/elf
while read -r kind file; do
    if test "$kind" = module; then
        $ld --list "$file" 2>&1
    else
        LD_TRACE_LOADED_OBJECTS=1 LD_WARN=1 LD_BIND_NOW=1 $ld "$file" 2>&1
    fi | sed -n -e "s|^[[:space:]]*\(.*\) => not found.*|! $file needs \1, which no package has|p" \
        -e "s|.*undefined symbol: \([^ ,]*\).*|! $file: no library has the symbol \1|p" \
        -e "s|^$file: error.*: \(.*\)|! $file: \1|p"
done </tmp/elf
echo "= $(grep -c ^program /tmp/elf) programs, $(grep -c ^library /tmp/elf) libraries," \
    "$(grep -c ^module /tmp/elf) modules"
