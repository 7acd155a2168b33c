#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of ./inv for bash: source <(./inv completion bash)
# The candidates are those of ./inv itself; what looks like a path is completed by the shell.

_dom0_debs_inv() {
    local line=${COMP_LINE:0:COMP_POINT} current=${COMP_WORDS[COMP_CWORD]} candidate before
    local -a words
    read -ra words <<<"$line"
    [[ $line != *[[:space:]] ]] || words+=('')
    # Readline takes = and : for the ends of words: what stands before the last is there already.
    before=${words[-1]%"${words[-1]##*[=:]}"}
    [[ $current != [=:] ]] || current=''
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        if [[ $candidate == :files ]]; then
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
        fi
        [[ $candidate != *= ]] || compopt -o nospace
        COMPREPLY+=("${candidate#"$before"}")
    done < <("${words[0]/#\~\//$HOME/}" --complete -- "${words[@]:1}" 2>/dev/null)
}

complete -F _dom0_debs_inv inv
