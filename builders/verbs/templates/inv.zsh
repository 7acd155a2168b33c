#compdef inv
# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of ./inv for zsh: source <(./inv completion zsh), after compinit.
# The candidates are those of ./inv itself; what looks like a path is completed by the shell.

_dom0_debs_inv() {
    local line
    local -a plain open shown_plain shown_open
    local -a typed=("${(@Q)words[1,CURRENT]}")
    for line in "${(@f)$("${typed[1]/#\~\//$HOME/}" --complete -- "${(@)typed[2,-1]}" 2>/dev/null)}"; do
        [[ -n $line ]] || continue
        if [[ $line == :files* ]]; then
            compset -P '--[^=]##='
            _files
            return
        fi
        local candidate=${line%%$'\t'*} about=${line#*$'\t'}
        if [[ $candidate == *= ]]; then
            open+=("$candidate")
            shown_open+=("$candidate  $about")
        else
            plain+=("$candidate")
            shown_plain+=("$candidate  $about")
        fi
    done
    compadd -l -d shown_plain -a plain
    compadd -l -S '' -d shown_open -a open
}

(( ! $+functions[compdef] )) || compdef _dom0_debs_inv inv
