# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of ./inv for fish: ./inv completion fish | source
# The candidates are those of ./inv itself; what looks like a path is completed by the shell.

function __dom0_debs_inv
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -l candidates ($program --complete -- $words[2..-1] $current 2>/dev/null)
    if string match -q ':files*' -- $candidates
        set -l flag (string match -r '^--[^=]+=' -- $current)
        for path in (__fish_complete_path (string replace -r '^--[^=]+=' '' -- $current))
            echo "$flag$path"
        end
        return
    end
    printf '%s\n' $candidates
end

complete -c inv -f -a '(__dom0_debs_inv)'
